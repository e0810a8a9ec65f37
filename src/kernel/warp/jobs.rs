//! What is read at the positions of a row: values or class numbers of one volume.

use super::walk::Taps;
use crate::kernel::sample::Ties;
use crate::kernel::simd::vectorised;

/// Weights this close to a half are halves.
const SNAP: f32 = 1e-6;
/// Sums of weights closer than this are equal.
const TIE: f32 = 1e-6;

/// One volume read through a route.
pub trait Job {
    /// Reads one row; `first` is the row's first voxel in the result.
    fn row(&mut self, taps: &Taps, first: usize);
}

/// Values by trilinear interpolation.
///
/// **Law** an affine route returns what [`sample_linear`](crate::kernel::sample::sample_linear) returns,
/// up to rounding; voxel centres keep their value, and so do voxels of one value, to the last bit. Voxels
/// without weight do not count, whatever they hold: a value that is not finite spreads to what it has a share
/// in, and no further.
pub struct Linear<'a> {
    source: &'a [f32],
    fill: f32,
    out: &'a mut [f32],
}

/// The weight of the upper neighbour from which it is the nearest, along x, y, z.
fn thresholds(ties: Ties) -> [f32; 3] {
    ties.up.map(|up| if up { 0.5 - SNAP } else { 0.5 + SNAP })
}

/// Class numbers of the nearest voxel.
///
/// **Law** the result holds numbers of the source and `fill` only.
pub struct Nearest<'a, T> {
    source: &'a [T],
    fill: T,
    out: &'a mut [T],
    upper: [f32; 3],
    nearest: Vec<u32>,
}

/// Class numbers by vote: smoother borders than the nearest voxel's.
///
/// **Law** of the 8 voxels around, the class whose trilinear weights sum to most; on a tie (sums
/// within 1e-6) the nearest voxel's class if it is among them, else the smallest number. The result
/// holds numbers of the source and `fill` only.
pub struct LabelLinear<'a, T> {
    source: &'a [T],
    fill: T,
    out: &'a mut [T],
    upper: [f32; 3],
}

impl<'a> Linear<'a> {
    /// Reads `source` into `out`; writes `fill` outside the source.
    pub fn new(source: &'a [f32], fill: f32, out: &'a mut [f32]) -> Self {
        Self { source, fill, out }
    }
}

impl<'a, T> Nearest<'a, T> {
    /// Reads `source` into `out`; writes `fill` outside the source.
    pub fn new(source: &'a [T], fill: T, out: &'a mut [T], ties: Ties) -> Self {
        Self {
            source,
            fill,
            out,
            upper: thresholds(ties),
            nearest: Vec::new(),
        }
    }
}

impl<'a, T> LabelLinear<'a, T> {
    /// Reads `source` into `out`; writes `fill` outside the source.
    pub fn new(source: &'a [T], fill: T, out: &'a mut [T], ties: Ties) -> Self {
        let upper = thresholds(ties);
        Self {
            source,
            fill,
            out,
            upper,
        }
    }
}

impl Job for Linear<'_> {
    fn row(&mut self, taps: &Taps, first: usize) {
        let out = &mut self.out[first..first + taps.at.len()];
        if !taps.any_inside {
            return out.fill(self.fill);
        }
        let (source, fill) = (self.source, self.fill);
        vectorised(
            #[inline(always)]
            || {
                let all_finite = match taps.any_upper {
                    true => linear_row::<true>(source, taps, out),
                    false => linear_row::<false>(source, taps, out),
                };
                if !all_finite {
                    repair(out, |i| linear_at(source, taps, i));
                }
                taps.fill(out, fill);
            },
        );
    }
}

/// Replaces the values that are not finite, which are few: the vectorised sums of a row multiply
/// every voxel by its weight, and 0 times infinity is not 0.
#[inline(never)]
pub(super) fn repair(out: &mut [f32], value: impl Fn(usize) -> f32) {
    for (i, old) in out.iter_mut().enumerate() {
        if !old.is_finite() {
            *old = value(i);
        }
    }
}

/// The sum of the voxels that have a weight along one axis.
#[inline(always)]
pub(super) fn weighted(parts: impl IntoIterator<Item = (f32, f32)>) -> f32 {
    let counted = parts.into_iter().filter(|(weight, _)| *weight != 0.0);
    counted.map(|(weight, value)| weight * value).sum()
}

/// One value of a row whose voxels without weight do not count.
fn linear_at(source: &[f32], taps: &Taps, i: usize) -> f32 {
    let at = taps.at[i] as usize;
    let strides = taps.stride.map(|s| s as usize);
    weighted((0..8).map(|corner| {
        let (mut weight, mut from) = (1.0, at);
        for (axis, (shares, stride)) in taps.weight.iter().zip(strides).enumerate() {
            let upper = corner >> axis & 1 == 1;
            weight *= if upper { shares[i] } else { 1.0 - shares[i] };
            from += usize::from(upper) * stride;
        }
        (weight, source[from])
    }))
}

/// Fills a row; returns `true` if all its values are finite. `UPPER`: some weights are 1.
#[inline(always)]
fn linear_row<const UPPER: bool>(source: &[f32], taps: &Taps, out: &mut [f32]) -> bool {
    let mut all_finite = true;
    let [sx, sy, sz] = taps.stride.map(|s| s as usize);
    let [u, v, w] = &taps.weight;
    let weights = u.iter().zip(v).zip(w);
    for ((value, &at), ((&u, &v), &w)) in out.iter_mut().zip(&taps.at).zip(weights) {
        let at = at as usize;
        let cell = &source[at..at + sz + sy + sx + 1];
        // What is blended are differences from the first voxel, or from the one that has all of the weight: all are
        // 0 where the voxels have one value, and that one's is.
        let all_of_it = |weight: f32, stride: usize| if weight == 1.0 { stride } else { 0 };
        let origin = match UPPER {
            true => cell[all_of_it(u, sx) + all_of_it(v, sy) + all_of_it(w, sz)],
            false => cell[0],
        };
        let more = |from: usize| cell[from] - origin;
        let along_x = |from: usize| more(from) * (1.0 - u) + more(from + sx) * u;
        let near = along_x(0) * (1.0 - v) + along_x(sy) * v;
        let far = along_x(sz) * (1.0 - v) + along_x(sz + sy) * v;
        *value = origin + (near * (1.0 - w) + far * w);
        all_finite &= value.is_finite();
    }
    all_finite
}

impl<T: bytemuck::Pod> Job for Nearest<'_, T> {
    fn row(&mut self, taps: &Taps, first: usize) {
        let out = &mut self.out[first..first + taps.at.len()];
        if !taps.any_inside {
            return out.fill(self.fill);
        }
        self.nearest.resize(taps.at.len(), 0);
        let (source, fill, upper) = (self.source, self.fill, self.upper);
        let nearest = &mut self.nearest;
        vectorised(
            #[inline(always)]
            || {
                nearest_offsets(taps, upper, nearest);
                for (value, &at) in out.iter_mut().zip(&*nearest) {
                    *value = source[at as usize];
                }
                taps.fill(out, fill);
            },
        );
    }
}

#[inline(always)]
fn nearest_offsets(taps: &Taps, upper: [f32; 3], to: &mut [u32]) {
    let [sx, sy, sz] = taps.stride;
    let [u, v, w] = &taps.weight;
    let weights = u.iter().zip(v).zip(w);
    for ((to, &at), ((&u, &v), &w)) in to.iter_mut().zip(&taps.at).zip(weights) {
        let x = if u >= upper[0] { sx } else { 0 };
        let y = if v >= upper[1] { sy } else { 0 };
        let z = if w >= upper[2] { sz } else { 0 };
        *to = at + x + y + z;
    }
}

impl<T: bytemuck::Pod + PartialOrd> Job for LabelLinear<'_, T> {
    fn row(&mut self, taps: &Taps, first: usize) {
        let out = &mut self.out[first..first + taps.at.len()];
        if !taps.any_inside {
            return out.fill(self.fill);
        }
        for (i, value) in out.iter_mut().enumerate() {
            *value = heaviest(self.source, taps, self.upper, i);
        }
        taps.fill(out, self.fill);
    }
}

#[inline(always)]
fn heaviest<T: Copy + PartialOrd>(source: &[T], taps: &Taps, upper: [f32; 3], i: usize) -> T {
    let at = taps.at[i] as usize;
    let [sx, sy, sz] = taps.stride.map(|s| s as usize);
    let corner =
        |bits: usize| source[at + (bits & 1) * sx + (bits >> 1 & 1) * sy + (bits >> 2 & 1) * sz];
    let classes = [0, 1, 2, 3, 4, 5, 6, 7].map(corner);
    let weights = [0, 1, 2].map(|a| taps.weight[a][i]);
    let nearest: usize = (0..3)
        .map(|a| usize::from(weights[a] >= upper[a]) << a)
        .sum();
    let nearest = classes[nearest];
    if classes.iter().all(|c| *c == nearest) {
        return nearest;
    }
    let share = |bits: usize| -> f32 {
        let along = |a: usize| {
            if bits >> a & 1 == 1 {
                weights[a]
            } else {
                1.0 - weights[a]
            }
        };
        along(0) * along(1) * along(2)
    };
    let shares = [0, 1, 2, 3, 4, 5, 6, 7].map(share);
    let sum = |class: T| -> f32 {
        let same = classes.iter().zip(shares).filter(|(c, _)| **c == class);
        same.map(|(_, share)| share).sum()
    };
    let most = classes.iter().map(|c| sum(*c)).fold(0.0, f32::max) - TIE;
    if sum(nearest) >= most {
        return nearest;
    }
    // The order of the corners is that of the array's axes; a tie must not depend on it.
    let tied = classes.into_iter().filter(|c| sum(*c) >= most);
    let smallest = |a: T, b: T| if b < a { b } else { a };
    tied.reduce(smallest).unwrap_or(nearest)
}
