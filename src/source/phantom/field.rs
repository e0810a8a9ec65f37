//! Smooth random fields `[z, y, x]`: texture, bias, and the blur at borders.

use crate::draw::SampleRng;

/// Index of the lower node and weight of the upper one, for each voxel of an axis.
fn nodes(voxels: usize, cells: usize) -> Vec<(usize, f32)> {
    (0..voxels)
        .map(|i| {
            let at = i as f64 * cells as f64 / (voxels.max(2) - 1) as f64;
            let low = (at.floor() as usize).min(cells - 1);
            (low, (at - low as f64) as f32)
        })
        .collect()
}

/// Trilinear between standard normal nodes, one every `voxels_per_cell` voxels.
pub(super) fn smooth_noise(
    rng: &mut SampleRng,
    shape: [usize; 3],
    voxels_per_cell: usize,
) -> Vec<f32> {
    let cells = shape.map(|n| n.div_ceil(voxels_per_cell).max(1));
    let [_, rows, columns] = cells.map(|c| c + 1);
    let node: Vec<f32> = (0..cells.iter().map(|c| c + 1).product())
        .map(|_| rng.normal() as f32)
        .collect();
    let axes: [Vec<(usize, f32)>; 3] = std::array::from_fn(|a| nodes(shape[a], cells[a]));
    let mut out = Vec::with_capacity(shape.iter().product());
    let mut line = vec![0f32; columns];
    for &(z, wz) in &axes[0] {
        for &(y, wy) in &axes[1] {
            // One line of nodes for this z and y; along x it is interpolated.
            for (x, value) in line.iter_mut().enumerate() {
                let at = |z: usize, y: usize| node[(z * rows + y) * columns + x];
                let low = at(z, y) * (1.0 - wy) + at(z, y + 1) * wy;
                let high = at(z + 1, y) * (1.0 - wy) + at(z + 1, y + 1) * wy;
                *value = low * (1.0 - wz) + high * wz;
            }
            out.extend(
                axes[2]
                    .iter()
                    .map(|&(x, wx)| line[x] * (1.0 - wx) + line[x + 1] * wx),
            );
        }
    }
    out
}

/// A multiplicative field exp(strength · q), with a random quadratic polynomial q whose largest
/// magnitude over a 5 x 5 x 5 sample of the volume is 1.
pub(super) fn bias(rng: &mut SampleRng, shape: [usize; 3], strength: f64) -> Vec<f32> {
    let c: [f64; 9] = std::array::from_fn(|_| rng.normal());
    let q = |z: f64, y: f64, x: f64| {
        c[0] * x
            + c[1] * y
            + c[2] * z
            + c[3] * x * y
            + c[4] * x * z
            + c[5] * y * z
            + c[6] * (x * x - 0.5)
            + c[7] * (y * y - 0.5)
            + c[8] * (z * z - 0.5)
    };
    let sample = [-1.0, -0.5, 0.0, 0.5, 1.0];
    let largest = sample
        .iter()
        .flat_map(|&z| sample.iter().map(move |&y| (z, y)))
        .flat_map(|(z, y)| sample.iter().map(move |&x| (z, y, x)))
        .fold(1e-6, |m: f64, (z, y, x)| m.max(q(z, y, x).abs()));
    let axis = |n: usize| (0..n).map(move |i| 2.0 * i as f64 / (n.max(2) - 1) as f64 - 1.0);
    let mut out = Vec::with_capacity(shape.iter().product());
    for z in axis(shape[0]) {
        for y in axis(shape[1]) {
            out.extend(axis(shape[2]).map(|x| (strength * q(z, y, x) / largest).exp() as f32));
        }
    }
    out
}

/// Blurs by [1, 2, 1] / 4 along each axis; edge voxels are repeated.
pub(super) fn soften(values: &mut [f32], shape: [usize; 3]) {
    let [_, height, width] = shape;
    for (stride, length) in [(1, width), (width, height), (width * height, shape[0])] {
        let block = stride * length;
        for block in values.chunks_exact_mut(block) {
            let mut before: Vec<f32> = block[..stride].to_vec();
            for i in 0..length {
                let (now, next) = (i * stride, (i + 1).min(length - 1) * stride);
                for (j, before) in before.iter_mut().enumerate() {
                    let value = block[now + j];
                    block[now + j] = 0.25 * *before + 0.5 * value + 0.25 * block[next + j];
                    *before = value;
                }
            }
        }
    }
}

/// Means over blocks of `parts` values along z, y, x.
///
/// **Shape** `values` of `shape` times `parts`; the result of `shape`.
pub(super) fn averaged(values: Vec<f32>, shape: [usize; 3], parts: [usize; 3]) -> Vec<f32> {
    if parts == [1; 3] {
        return values;
    }
    let [_, height, width] = shape;
    let mut out = vec![0.0; shape.iter().product()];
    let share = 1.0 / parts.iter().product::<usize>() as f32;
    for (row, values) in values.chunks_exact(width * parts[2]).enumerate() {
        let (z, y) = (
            row / (height * parts[1]) / parts[0],
            row % (height * parts[1]) / parts[1],
        );
        let out = &mut out[(z * height + y) * width..][..width];
        for (out, block) in out.iter_mut().zip(values.chunks_exact(parts[2])) {
            *out += block.iter().sum::<f32>() * share;
        }
    }
    out
}
