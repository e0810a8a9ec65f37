//! Reading a volume between its voxels: trilinear for values, nearest for class numbers.
//!
//! A map gives for each output voxel index the source voxel index, both x, y, z. Where every
//! source axis follows one output axis (spacing changes, flips, transposes) indices and weights
//! come from one table an axis; every other map walks rows in 32.32 fixed point.
//!
//! **Outside** the source's outermost voxel centres the edge value holds for half a voxel of the
//! coarser of the two grids; beyond that the result is `fill`.

mod general;

use super::reorient::{AxisMap, reorient};
use super::simd::vectorised;
use general::{Walk, linear_general, nearest_general};
use glam::DAffine3;

/// Positions this close to a voxel centre are on it: affines are stored as f32 in files.
const SNAP: f64 = 1e-6;
/// Off-axis drift in source voxels over a whole volume that still counts as axis-aligned.
const AXIS_TOLERANCE: f64 = 1e-4;

/// Samples values by trilinear interpolation.
///
/// **Shape** source `[z, y, x]` of `source_shape_xyz`, result of `shape_xyz`.
/// **Law** positions on voxel centres give the stored value exactly.
pub fn sample_linear(
    source: &[f32],
    source_shape_xyz: [usize; 3],
    source_from_output: &DAffine3,
    shape_xyz: [usize; 3],
    fill: f32,
) -> Vec<f32> {
    let mut out = vec![fill; shape_xyz.iter().product()];
    match source_axes(source_from_output, shape_xyz) {
        Some([0, 1, 2]) => {
            return sample_linear_stored(
                source,
                |v| v,
                source_shape_xyz,
                source_from_output,
                shape_xyz,
                fill,
            );
        }
        Some(source_axis) => {
            let (turned, shape, map) =
                follow_axes(source, source_shape_xyz, source_axis, source_from_output);
            let tables = linear_tables(&map, shape, shape_xyz);
            vectorised(
                #[inline(always)]
                || linear_separable(&turned, |v| v, shape, &tables, shape_xyz, &mut out),
            );
        }
        None => {
            let walk = Walk::new(source_from_output, source_shape_xyz);
            vectorised(
                #[inline(always)]
                || linear_general(source, &walk, shape_xyz, &mut out),
            );
        }
    }
    out
}

/// [`sample_linear`] of stored numbers, each taken for its `value`.
///
/// Where axes keep their order no volume of values is made first: a row is converted while it is
/// read.
pub fn sample_linear_stored<T: bytemuck::Pod>(
    source: &[T],
    value: impl Fn(T) -> f32 + Copy,
    source_shape_xyz: [usize; 3],
    source_from_output: &DAffine3,
    shape_xyz: [usize; 3],
    fill: f32,
) -> Vec<f32> {
    if source_axes(source_from_output, shape_xyz) != Some([0, 1, 2]) {
        let values: Vec<f32> = source.iter().map(|v| value(*v)).collect();
        return sample_linear(
            &values,
            source_shape_xyz,
            source_from_output,
            shape_xyz,
            fill,
        );
    }
    let mut out = vec![fill; shape_xyz.iter().product()];
    let tables = linear_tables(source_from_output, source_shape_xyz, shape_xyz);
    vectorised(
        #[inline(always)]
        || {
            linear_separable(
                source,
                value,
                source_shape_xyz,
                &tables,
                shape_xyz,
                &mut out,
            )
        },
    );
    out
}

/// Samples class numbers by nearest neighbour; halves go up.
///
/// **Shape** source `[z, y, x]` of `source_shape_xyz`, result of `shape_xyz`.
/// **Law** `index = floor(position + 1/2)`: the result holds numbers of the source and `fill` only.
pub fn sample_nearest<T: bytemuck::Pod>(
    source: &[T],
    source_shape_xyz: [usize; 3],
    source_from_output: &DAffine3,
    shape_xyz: [usize; 3],
    fill: T,
) -> Vec<T> {
    let mut out = vec![fill; shape_xyz.iter().product()];
    match source_axes(source_from_output, shape_xyz) {
        Some([0, 1, 2]) => {
            let map = source_from_output;
            nearest_separable(source, source_shape_xyz, map, shape_xyz, &mut out);
        }
        Some(source_axis) => {
            let (turned, shape, map) =
                follow_axes(source, source_shape_xyz, source_axis, source_from_output);
            nearest_separable(&turned, shape, &map, shape_xyz, &mut out);
        }
        None => {
            let walk = Walk::new(source_from_output, source_shape_xyz);
            nearest_general(source, &walk, shape_xyz, &mut out);
        }
    }
    out
}

/// For output x, y, z the source axis it moves along, where each moves along just one.
fn source_axes(map: &DAffine3, shape_xyz: [usize; 3]) -> Option<[usize; 3]> {
    let mut used = [false; 3];
    let mut axes = [0; 3];
    for (output, axis) in axes.iter_mut().enumerate() {
        let column = map.matrix3.col(output);
        *axis = column.abs().max_position();
        let length = shape_xyz[output] as f64;
        let drift = (0..3)
            .filter(|s| s != axis)
            .map(|s| column[s].abs() * length);
        if used[*axis] || drift.fold(0.0, f64::max) > AXIS_TOLERANCE {
            return None;
        }
        used[*axis] = true;
    }
    Some(axes)
}

/// Transposes the source so that output x moves along source x, and so on.
fn follow_axes<T: bytemuck::Pod>(
    source: &[T],
    source_shape_xyz: [usize; 3],
    source_axis: [usize; 3],
    map: &DAffine3,
) -> (Vec<T>, [usize; 3], DAffine3) {
    let turn = AxisMap {
        source_axis,
        reversed: [false; 3],
    };
    let turned_from_source = turn.source_from_output(source_shape_xyz).inverse();
    (
        reorient(source, source_shape_xyz, &turn),
        turn.output_shape(source_shape_xyz),
        turned_from_source * *map,
    )
}

/// How far past the outermost voxel centres of each source axis the edge value holds.
fn reach(map: &DAffine3) -> [f64; 3] {
    let rows = map.matrix3.transpose();
    [rows.x_axis, rows.y_axis, rows.z_axis].map(|row| 0.5 * row.length().max(1.0) + SNAP)
}

/// Between which source voxels an output voxel lies.
#[derive(Debug, Clone, Copy)]
struct Tap {
    low: usize,
    weight: f32,
}

/// Taps along one axis; outputs before and after have no source.
struct AxisTable {
    begin: usize,
    taps: Vec<Tap>,
}

impl AxisTable {
    fn end(&self) -> usize {
        self.begin + self.taps.len()
    }

    fn at(&self, output: usize) -> Option<Tap> {
        self.taps.get(output.checked_sub(self.begin)?).copied()
    }
}

fn linear_tables(map: &DAffine3, source_shape: [usize; 3], shape: [usize; 3]) -> [AxisTable; 3] {
    let reach = reach(map);
    [0, 1, 2].map(|axis| {
        let (step, start) = (map.matrix3.col(axis)[axis], map.translation[axis]);
        let last = source_shape[axis] as f64 - 1.0;
        let taps = (0..shape[axis]).map(|i| tap(start + step * i as f64, last, reach[axis]));
        let begin = taps.clone().take_while(Option::is_none).count();
        // Positions are monotone, so the taps are one run.
        let taps = taps.skip(begin).map_while(|t| t).collect();
        AxisTable { begin, taps }
    })
}

#[inline(always)]
fn tap(position: f64, last: f64, reach: f64) -> Option<Tap> {
    if !(position >= -reach && position <= last + reach) {
        return None;
    }
    let position = position.clamp(0.0, last);
    // Truncation is the floor of a number that is not negative.
    let low = position as usize;
    let weight = position - low as f64;
    Some(if weight < SNAP {
        Tap { low, weight: 0.0 }
    } else if weight > 1.0 - SNAP {
        Tap {
            low: low + 1,
            weight: 0.0,
        }
    } else {
        Tap {
            low,
            weight: weight as f32,
        }
    })
}

#[inline(always)]
fn linear_separable<T: Copy>(
    source: &[T],
    value: impl Fn(T) -> f32 + Copy,
    source_shape: [usize; 3],
    tables: &[AxisTable; 3],
    shape: [usize; 3],
    out: &mut [f32],
) {
    let [along_x, along_y, along_z] = tables;
    let ends = [along_x.taps.first(), along_x.taps.last()];
    let [Some(first), Some(last)] = ends else {
        return;
    };
    let [nx, ny, _] = source_shape;
    // The stretch of source x that is read, and one voxel more so that every tap has a neighbour.
    let origin = first.low.min(last.low);
    let length = (first.low.max(last.low) + 2).min(nx) - origin;
    let mut blend = vec![0.0f32; length + 1];
    for z in along_z.begin..along_z.end() {
        let Some(tz) = along_z.at(z) else { continue };
        for y in along_y.begin..along_y.end() {
            let Some(ty) = along_y.at(y) else { continue };
            let row = |dz: usize, dy: usize| {
                let from = ((tz.low + dz) * ny + ty.low + dy) * nx + origin;
                &source[from..from + length]
            };
            match (tz.weight > 0.0, ty.weight > 0.0) {
                (false, false) => {
                    for (blend, stored) in blend.iter_mut().zip(row(0, 0)) {
                        *blend = value(*stored);
                    }
                }
                (false, true) => mix(&mut blend, value, [row(0, 0), row(0, 1)], ty.weight),
                (true, false) => mix(&mut blend, value, [row(0, 0), row(1, 0)], tz.weight),
                (true, true) => {
                    let (v, w) = (ty.weight, tz.weight);
                    let rows = row(0, 0)
                        .iter()
                        .zip(row(0, 1))
                        .zip(row(1, 0))
                        .zip(row(1, 1));
                    for (blend, (((a, b), c), d)) in blend.iter_mut().zip(rows) {
                        let near = value(*a) * (1.0 - v) + value(*b) * v;
                        let far = value(*c) * (1.0 - v) + value(*d) * v;
                        *blend = near * (1.0 - w) + far * w;
                    }
                }
            }
            blend[length] = blend[length - 1];
            let to = (z * shape[1] + y) * shape[0];
            let values = &mut out[to + along_x.begin..to + along_x.end()];
            for (value, tap) in values.iter_mut().zip(&along_x.taps) {
                let at = tap.low - origin;
                let pair = &blend[at..at + 2];
                // Without a weight the neighbour must not count, not even as 0 · infinity.
                *value = if tap.weight == 0.0 {
                    pair[0]
                } else {
                    pair[0] * (1.0 - tap.weight) + pair[1] * tap.weight
                };
            }
        }
    }
}

#[inline(always)]
fn mix<T: Copy>(blend: &mut [f32], value: impl Fn(T) -> f32, [near, far]: [&[T]; 2], weight: f32) {
    for (blend, (a, b)) in blend.iter_mut().zip(near.iter().zip(far)) {
        *blend = value(*a) * (1.0 - weight) + value(*b) * weight;
    }
}

fn nearest_separable<T: Copy>(
    source: &[T],
    source_shape: [usize; 3],
    map: &DAffine3,
    shape: [usize; 3],
    out: &mut [T],
) {
    let reach = reach(map);
    // Buffer offset that each output index adds, or none outside.
    let [nx, ny, _] = source_shape;
    let stride = [1, nx, nx * ny];
    let [x, y, z]: [Vec<Option<usize>>; 3] = [0, 1, 2].map(|axis| {
        let (step, start) = (map.matrix3.col(axis)[axis], map.translation[axis]);
        let last = source_shape[axis] as f64 - 1.0;
        (0..shape[axis])
            .map(|i| {
                let at = start + step * i as f64;
                nearest(at, last, reach[axis]).map(|index| index * stride[axis])
            })
            .collect()
    });
    let begin = x.iter().take_while(|o| o.is_none()).count();
    let along_x: Vec<usize> = x.iter().copied().skip(begin).map_while(|o| o).collect();
    for (row, values) in out.chunks_exact_mut(shape[0]).enumerate() {
        let (Some(oz), Some(oy)) = (z[row / shape[1]], y[row % shape[1]]) else {
            continue;
        };
        let line = &source[oz + oy..oz + oy + nx];
        for (value, &offset) in values[begin..].iter_mut().zip(&along_x) {
            *value = line[offset];
        }
    }
}

fn nearest(position: f64, last: f64, reach: f64) -> Option<usize> {
    (position >= -reach && position <= last + reach)
        .then(|| (position + 0.5 + SNAP).clamp(0.0, last + 0.5) as usize)
}

#[cfg(test)]
mod tests;
