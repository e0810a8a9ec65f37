//! Kernels on their way into the transformed domain, and their gradients back.
//!
//! A task makes one row of the 6 x 6 products: rows do not depend on each other.

use super::super::tile::Problem;
use super::tiles::POINTS;
use super::transform::{KERNEL, Lanes, PerLanes, kernel, kernel_gradient, over_channels};
use crate::kernel::simd::vectorised;
use rayon::prelude::*;

/// Planes of a kernel.
pub(super) const PLANES: usize = 3;

/// Positions of a kernel's plane.
const TAPS: usize = 9;

/// Outputs, and inputs, that are exchanged at once: a row of them is a cache line.
const BLOCK: usize = 16;

/// Row `i` of the transformed plane of a kernel; position `tap` of its nine begins at
/// `start + tap * step`, or, `mirrored`, at `start + (8 - tap) * step`.
#[inline(always)]
fn row_of<const W: usize>(
    w: &[f32],
    (start, step, mirrored): (usize, usize, bool),
    i: usize,
) -> [Lanes<W>; 6] {
    let mut across = [Lanes::ZERO; 3];
    for (x, across) in across.iter_mut().enumerate() {
        for (y, factor) in KERNEL[i].into_iter().enumerate() {
            let tap = 3 * y + x;
            let tap = if mirrored { TAPS - 1 - tap } else { tap };
            *across = *across + Lanes::load(w, start + tap * step) * factor;
        }
    }
    kernel(across)
}

/// Kernel `[co, 3, 3, 3, ci]` as 36 matrices `[3 ci, co]`.
pub(in crate::nn::conv3d) fn pack(problem: &Problem, w: &[f32]) -> Vec<f32> {
    let (ci, co) = (problem.ci, problem.co);
    let matrix = PLANES * ci * co;
    let mut packed = vec![0.0; POINTS * matrix];
    packed
        .par_chunks_mut(6 * matrix)
        .enumerate()
        .for_each(|(i, rows)| {
            vectorised(|| {
                for o in (0..co).step_by(BLOCK) {
                    let outputs = BLOCK.min(co - o);
                    for plane in 0..PLANES {
                        let mut first = 0;
                        while first + BLOCK <= ci {
                            turned::<BLOCK>(w, (i, plane, first), (o, outputs), [ci, co], rows);
                            first += BLOCK;
                        }
                        for first in first..ci {
                            turned::<1>(w, (i, plane, first), (o, outputs), [ci, co], rows);
                        }
                    }
                }
            });
        });
    packed
}

/// Writes `W` inputs by `outputs` outputs of row `i` of the 36 matrices: inputs and outputs change
/// places.
#[inline(always)]
fn turned<const W: usize>(
    w: &[f32],
    (i, plane, first): (usize, usize, usize),
    (o, outputs): (usize, usize),
    [ci, co]: [usize; 2],
    rows: &mut [f32],
) {
    let mut block = [[[0.0f32; BLOCK]; W]; 6];
    for output in 0..outputs {
        let start = ((o + output) * PLANES + plane) * TAPS * ci + first;
        let made = row_of::<W>(w, (start, ci, false), i);
        for (block, made) in block.iter_mut().zip(made) {
            for (row, value) in block.iter_mut().zip(made.0) {
                row[output] = value;
            }
        }
    }
    for (j, block) in block.iter().enumerate() {
        for (input, row) in block.iter().enumerate() {
            let at = ((j * PLANES + plane) * ci + first + input) * co + o;
            rows[at..at + outputs].copy_from_slice(&row[..outputs]);
        }
    }
}

/// The forward kernel `[ci of the problem, 3, 3, 3, co of the problem]` mirrored in space, as 36
/// matrices `[3 ci, co]`.
pub(in crate::nn::conv3d) fn pack_mirrored(problem: &Problem, w: &[f32]) -> Vec<f32> {
    struct Work<'a> {
        w: &'a [f32],
        rows: &'a mut [f32],
        /// The kernel plane's first value, and the matrix row it becomes.
        from: usize,
        row: usize,
        channels: usize,
        matrix: usize,
        i: usize,
    }
    impl PerLanes for Work<'_> {
        #[inline(always)]
        fn lanes<const W: usize>(&mut self, first: usize) {
            let taps = (self.from + first, self.channels, true);
            let made = row_of::<W>(self.w, taps, self.i);
            for (j, value) in made.into_iter().enumerate() {
                value.store(
                    self.rows,
                    j * self.matrix + self.row * self.channels + first,
                );
            }
        }
    }
    let (ci, co) = (problem.ci, problem.co);
    let matrix = PLANES * ci * co;
    let mut packed = vec![0.0; POINTS * matrix];
    packed
        .par_chunks_mut(6 * matrix)
        .enumerate()
        .for_each(|(i, rows)| {
            vectorised(|| {
                for input in 0..ci {
                    for plane in 0..PLANES {
                        let mut work = Work {
                            w,
                            rows: &mut *rows,
                            from: (input * PLANES + PLANES - 1 - plane) * TAPS * co,
                            row: plane * ci + input,
                            channels: co,
                            matrix,
                            i,
                        };
                        over_channels(co, &mut work);
                    }
                }
            });
        });
    packed
}

/// The kernel's gradient `[co, 3, 3, 3, ci]` from sums of 36 matrices `[co, 3 ci]` each.
pub(super) fn unpack_gradient(problem: &Problem, sums: &[Vec<f32>]) -> Vec<f32> {
    struct Work<'a> {
        sums: &'a [Vec<f32>],
        /// Where the plane begins in a matrix.
        at: usize,
        matrix: usize,
        channels: usize,
        plane: &'a mut [f32],
    }
    impl PerLanes for Work<'_> {
        #[inline(always)]
        fn lanes<const W: usize>(&mut self, first: usize) {
            let mut down = [[Lanes::<W>::ZERO; 3]; 6];
            for (x, down) in down.iter_mut().enumerate() {
                let mut column = [Lanes::ZERO; 6];
                for (y, value) in column.iter_mut().enumerate() {
                    let at = (6 * y + x) * self.matrix + self.at + first;
                    for sum in self.sums {
                        *value = *value + Lanes::load(sum, at);
                    }
                }
                *down = kernel_gradient(column);
            }
            for y in 0..3 {
                let mut row = [Lanes::ZERO; 6];
                for (value, down) in row.iter_mut().zip(&down) {
                    *value = down[y];
                }
                let row = kernel_gradient(row);
                for (x, value) in row.into_iter().enumerate() {
                    value.store(self.plane, (3 * y + x) * self.channels + first);
                }
            }
        }
    }
    let (ci, co) = (problem.ci, problem.co);
    let mut dw = vec![0.0; co * PLANES * TAPS * ci];
    dw.par_chunks_mut(PLANES * TAPS * ci)
        .enumerate()
        .for_each(|(o, planes)| {
            vectorised(|| {
                for (plane, values) in planes.chunks_exact_mut(TAPS * ci).enumerate() {
                    let mut work = Work {
                        sums,
                        at: (o * PLANES + plane) * ci,
                        matrix: PLANES * ci * co,
                        channels: ci,
                        plane: values,
                    };
                    over_channels(ci, &mut work);
                }
            });
        });
    dw
}
