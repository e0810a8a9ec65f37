//! Sampling where every source axis follows one output axis: indices and weights come from tables.
//!
//! The output grows slice by slice: what is filled first, written then, and changed by the caller at
//! last stays in the cache meanwhile.

use super::tap::{Tap, nearest, reach, tap};
use glam::DAffine3;

/// Output voxels looked at together for one class.
const RUN: usize = 64;

/// Taps along one axis; outputs before and after have no source.
pub(super) struct AxisTable {
    begin: usize,
    taps: Vec<Tap>,
}

impl AxisTable {
    fn at(&self, output: usize) -> Option<Tap> {
        self.taps.get(output.checked_sub(self.begin)?).copied()
    }
}

pub(super) fn linear_tables(
    map: &DAffine3,
    source_shape: [usize; 3],
    shape: [usize; 3],
) -> [AxisTable; 3] {
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

/// Appends the volume to `out`; `done` receives it after every slice.
#[inline(always)]
pub(super) fn linear_separable<T: Copy>(
    (source, source_shape): (&[T], [usize; 3]),
    value: impl Fn(T) -> f32 + Copy,
    tables: &[AxisTable; 3],
    (shape, fill): ([usize; 3], f32),
    out: &mut Vec<f32>,
    done: &mut dyn FnMut(&mut [f32]),
) {
    let [along_x, along_y, along_z] = tables;
    let slice = shape[0] * shape[1];
    let ends = [along_x.taps.first(), along_x.taps.last()];
    let [Some(first), Some(last)] = ends else {
        out.resize(slice * shape[2], fill);
        return done(out);
    };
    let [nx, ny, _] = source_shape;
    // The stretch of source x that is read, and one voxel more so that every tap has a neighbour.
    let origin = first.low.min(last.low);
    let length = (first.low.max(last.low) + 2).min(nx) - origin;
    let mut blend = vec![0.0f32; length + 1];
    for z in 0..shape[2] {
        out.resize((z + 1) * slice, fill);
        let Some(tz) = along_z.at(z) else {
            done(out);
            continue;
        };
        for (y, out) in out[z * slice..].chunks_exact_mut(shape[0]).enumerate() {
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
            for (value, tap) in out[along_x.begin..].iter_mut().zip(&along_x.taps) {
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
        done(out);
    }
}

#[inline(always)]
fn mix<T: Copy>(blend: &mut [f32], value: impl Fn(T) -> f32, [near, far]: [&[T]; 2], weight: f32) {
    for (blend, (a, b)) in blend.iter_mut().zip(near.iter().zip(far)) {
        *blend = value(*a) * (1.0 - weight) + value(*b) * weight;
    }
}

/// Appends the volume to `out`. Stretches of one class are written whole, and slices read twice are copied.
#[inline(always)]
pub(super) fn nearest_separable<T: bytemuck::Pod>(
    (source, source_shape): (&[T], [usize; 3]),
    map: &DAffine3,
    shift: [f64; 3],
    (shape, fill): ([usize; 3], T),
    out: &mut Vec<T>,
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
                nearest(at, last, reach[axis], shift[axis]).map(|index| index * stride[axis])
            })
            .collect()
    });
    let begin = x.iter().take_while(|o| o.is_none()).count();
    let along_x: Vec<usize> = x.iter().copied().skip(begin).map_while(|o| o).collect();
    let slice = shape[0] * shape[1];
    for (index, &at_z) in z.iter().enumerate() {
        if index > 0 && z[index - 1] == at_z {
            out.extend_from_within(out.len() - slice..);
            continue;
        }
        out.resize((index + 1) * slice, fill);
        let Some(at_z) = at_z else { continue };
        for (row, &at_y) in out[index * slice..].chunks_exact_mut(shape[0]).zip(&y) {
            let Some(at_y) = at_y else { continue };
            let line = &source[at_z + at_y..][..nx];
            let offsets = along_x.chunks(RUN);
            for (out, offsets) in row[begin..].chunks_mut(RUN).zip(offsets) {
                read_run(line, offsets, out);
            }
        }
    }
}

/// Reads the voxels of a row at monotone offsets.
#[inline(always)]
fn read_run<T: bytemuck::Pod>(line: &[T], offsets: &[usize], out: &mut [T]) {
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
        return;
    };
    let stretch = &line[first.min(last)..=first.max(last)];
    // Compared as bytes: -0.0 is not 0.0, and a NaN is itself.
    let class = bytemuck::bytes_of(&stretch[0]);
    let same = |same, voxel: &T| same & (bytemuck::bytes_of(voxel) == class);
    if stretch.iter().fold(true, same) {
        out[..offsets.len()].fill(stretch[0]);
    } else {
        for (voxel, &offset) in out.iter_mut().zip(offsets) {
            *voxel = line[offset];
        }
    }
}
