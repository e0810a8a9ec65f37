//! Gaussian smoothing, one axis after the other.
//!
//! A plane is smoothed along x and y while it is in the cache and kept in a ring of planes; the
//! sum along z is written back in place. The volume is read once and written once.

use super::simd::vectorised;

/// Smooths `[z, y, x]` voxels of `shape_xyz` in place.
///
/// **Law** along each axis `v'[i] = sum over k of w[|k|] * v[i + k]`, `|k| <= r`, with
/// `w[k] ~ exp(-k^2 / (2 sigma^2))` adding up to 1 and `r = floor(cut * sigma + 1/2)`. Borders are
/// mirrored with the edge voxel repeated (`d c b a | a b c d | d c b a`), also more than once.
/// **Source** SciPy `gaussian_filter` with `mode="reflect"` and `truncate=cut`.
/// **Units** `sigma_xyz` in voxels; an axis with `cut * sigma < 1/2` stays as it is, bit for bit.
/// A voxel that is not finite spreads over the kernel's reach; see [`smooth_finite`].
pub fn smooth(values: &mut [f32], shape_xyz: [usize; 3], sigma_xyz: [f64; 3], cut: f64) {
    let weights = sigma_xyz.map(|sigma| weights(sigma, cut));
    if values.is_empty() || weights.iter().all(|w| w.len() == 1) {
        return;
    }
    vectorised(
        #[inline(always)]
        || smooth_planes(values, shape_xyz, &weights),
    );
}

/// As [`smooth`], but voxels that are not finite stay what they are and lend nothing to others:
/// `v' = (w * v) / (w * 1)` over the finite voxels. Without any it is [`smooth`], bit for bit.
pub fn smooth_finite(values: &mut [f32], shape_xyz: [usize; 3], sigma_xyz: [f64; 3], cut: f64) {
    if values.iter().fold(true, |all, v| all & v.is_finite()) {
        return smooth(values, shape_xyz, sigma_xyz, cut);
    }
    let mut share = vec![1f32; values.len()];
    let mut odd = Vec::new();
    for (i, (v, share)) in values.iter_mut().zip(&mut share).enumerate() {
        if !v.is_finite() {
            odd.push((i, *v));
            (*v, *share) = (0.0, 0.0);
        }
    }
    smooth(values, shape_xyz, sigma_xyz, cut);
    smooth(&mut share, shape_xyz, sigma_xyz, cut);
    // A voxel that is finite has a share of its own, so nothing is divided by zero.
    values.iter_mut().zip(&share).for_each(|(v, s)| *v /= s);
    odd.into_iter().for_each(|(i, v)| values[i] = v);
}

/// Weights of a Gaussian at 0, 1, ... r; the two halves and the middle add up to 1.
pub(super) fn weights(sigma: f64, cut: f64) -> Vec<f32> {
    let radius = (cut * sigma + 0.5).max(0.0) as usize;
    let raw = (0..=radius).map(|k| exp_minus(0.5 * (k as f64 / sigma).powi(2)));
    // A sigma of 0 would make the middle 0 / 0; it is the only weight then.
    let raw: Vec<f64> = std::iter::once(1.0).chain(raw.skip(1)).collect();
    let sum = raw[0] + 2.0 * raw[1..].iter().sum::<f64>();
    raw.iter().map(|w| (w / sum) as f32).collect()
}

/// `exp(-x)` for `x` from 0 to 1000, from multiplications alone: the same on every machine.
fn exp_minus(x: f64) -> f64 {
    let t = -x / 1024.0;
    let terms = (1..=8).rev();
    let series = terms.fold(1.0, |sum, n| 1.0 + t / f64::from(n) * sum);
    (0..10).fold(series, |power, _| power * power)
}

/// Index of a position that may lie outside `0..count`, mirrored with the edge repeated.
pub(super) fn mirrored(position: isize, count: usize) -> usize {
    let within = position.rem_euclid(2 * count as isize) as usize;
    within.min(2 * count - 1 - within)
}

#[inline(always)]
fn smooth_planes(values: &mut [f32], [nx, ny, nz]: [usize; 3], weights: &[Vec<f32>; 3]) {
    let plane = nx * ny;
    let [along_x, along_y, along_z] = weights;
    let radius = along_z.len() - 1;
    // Plane z waits in slot z % slots for as long as a sum needs it.
    let slots = (2 * radius + 1).min(nz);
    let mut ring = vec![0f32; slots * plane];
    let mut rows = vec![0f32; plane];
    let mut padded = vec![0f32; nx + 2 * (along_x.len() - 1)];
    let mut ready = 0;
    for z in 0..nz {
        while ready < nz && ready <= z + radius {
            let source = &values[ready * plane..(ready + 1) * plane];
            let slot = ready % slots * plane;
            smooth_rows(source, &mut rows, &mut padded, along_x);
            let target = &mut ring[slot..slot + plane];
            for (y, out) in target.chunks_exact_mut(nx).enumerate() {
                let row = |y: isize| &rows[mirrored(y, ny) * nx..][..nx];
                let y = y as isize;
                weighted_sum(out, along_y, row(y), |k| [row(y - k), row(y + k)]);
            }
            ready += 1;
        }
        let slot = |z: isize| &ring[mirrored(z, nz) % slots * plane..][..plane];
        let out = &mut values[z * plane..(z + 1) * plane];
        let z = z as isize;
        weighted_sum(out, along_z, slot(z), |k| [slot(z - k), slot(z + k)]);
    }
}

#[inline(always)]
fn smooth_rows(source: &[f32], target: &mut [f32], padded: &mut [f32], weights: &[f32]) {
    let radius = weights.len() - 1;
    let nx = padded.len() - 2 * radius;
    for (row, out) in source.chunks_exact(nx).zip(target.chunks_exact_mut(nx)) {
        for i in 0..radius {
            padded[i] = row[mirrored(i as isize - radius as isize, nx)];
            padded[radius + nx + i] = row[mirrored((nx + i) as isize, nx)];
        }
        padded[radius..radius + nx].copy_from_slice(row);
        let from = |k: isize| &padded[(radius as isize + k) as usize..][..nx];
        weighted_sum(out, weights, from(0), |k| [from(-k), from(k)]);
    }
}

/// `out = centre + sum of w[k] * (a + b - 2 centre)`, added in this order: voxels of one value keep it to the last
/// bit.
///
/// Several pairs are summed at once, so that `out` is written once for kernels up to radius 3.
#[inline(always)]
fn weighted_sum<'a>(
    out: &mut [f32],
    weights: &[f32],
    centre: &[f32],
    pair: impl Fn(isize) -> [&'a [f32]; 2],
) {
    let n = out.len();
    let beside = |a: f32, b: f32, c: f32| (a + b) - (c + c);
    let pair = |k: isize| pair(k).map(|side| &side[..n]);
    let centre = &centre[..n];
    match *weights {
        [] | [_] => out.copy_from_slice(centre),
        [_, w1] => {
            let [a, b] = pair(1);
            for i in 0..n {
                let v = centre[i];
                out[i] = v + w1 * beside(a[i], b[i], v);
            }
        }
        [_, w1, w2] => {
            let ([a, b], [c, d]) = (pair(1), pair(2));
            for i in 0..n {
                let v = centre[i];
                out[i] = v + w1 * beside(a[i], b[i], v) + w2 * beside(c[i], d[i], v);
            }
        }
        [_, w1, w2, w3, ref rest @ ..] => {
            let ([a, b], [c, d], [e, f]) = (pair(1), pair(2), pair(3));
            for i in 0..n {
                let v = centre[i];
                let sum = v + w1 * beside(a[i], b[i], v) + w2 * beside(c[i], d[i], v);
                out[i] = sum + w3 * beside(e[i], f[i], v);
            }
            for (k, &w) in rest.iter().enumerate() {
                let [a, b] = pair(k as isize + 4);
                for i in 0..n {
                    out[i] += w * beside(a[i], b[i], centre[i]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
