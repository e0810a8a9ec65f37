//! Kernels on their way into the transformed domain, and their gradients back.
//!
//! A packed kernel is cut into panels of as many outputs as a vector holds, each with its 36 matrices:
//! a product reads a panel from its beginning to its end.

use super::super::tile::Problem;
use super::tiles::POINTS;
use super::transform::{Lanes, PerLanes, kernel, kernel_gradient, over_channels};
use crate::kernel::simd::{prefetch, vectorised};
use rayon::prelude::*;

/// Planes of a kernel.
pub(super) const PLANES: usize = 3;

/// Positions of a kernel's plane.
const TAPS: usize = 9;

/// Outputs of a panel: a cache line.
const PANEL: usize = 16;

/// Inputs that change places with a panel's outputs at once: the lines they touch in all 36 matrices
/// fit the first-level cache.
const INPUTS: usize = 8;

/// A kernel's plane transformed; position `tap` of its nine begins at `start + tap * step`, or,
/// `mirrored`, at `start + (8 - tap) * step`.
#[inline(always)]
fn plane_of<const W: usize>(
    w: &[f32],
    (start, step, mirrored): (usize, usize, bool),
) -> [[Lanes<W>; 6]; 6] {
    let mut half = [[Lanes::ZERO; 3]; 6];
    for x in 0..3 {
        let mut column = [Lanes::ZERO; 3];
        for (y, value) in column.iter_mut().enumerate() {
            let tap = 3 * y + x;
            let tap = if mirrored { TAPS - 1 - tap } else { tap };
            *value = Lanes::load(w, start + tap * step);
        }
        for (half, value) in half.iter_mut().zip(kernel(column)) {
            half[x] = value;
        }
    }
    let mut plane = [[Lanes::ZERO; 6]; 6];
    for (plane, half) in plane.iter_mut().zip(half) {
        *plane = kernel(half);
    }
    plane
}

/// The panels of matrix `point` of a packed kernel: first output, outputs, and `[3 ci, outputs]`.
pub(super) fn panels<'a>(
    problem: &Problem,
    packed: &'a [f32],
    point: usize,
) -> impl Iterator<Item = (usize, usize, &'a [f32])> {
    let (depth, co) = (PLANES * problem.ci, problem.co);
    packed
        .chunks(POINTS * depth * PANEL)
        .enumerate()
        .map(move |(i, panel)| {
            let width = PANEL.min(co - i * PANEL);
            let matrix = depth * width;
            (i * PANEL, width, &panel[point * matrix..][..matrix])
        })
}

/// Makes the panels of a packed kernel; `make` gets one, its first output and its outputs.
fn packed(problem: &Problem, make: impl Fn(&mut [f32], usize, usize) + Sync) -> Vec<f32> {
    let (ci, co) = (problem.ci, problem.co);
    let mut packed = vec![0.0; POINTS * PLANES * ci * co];
    packed
        .par_chunks_mut(POINTS * PLANES * ci * PANEL)
        .enumerate()
        .for_each(|(i, panel)| make(panel, i * PANEL, PANEL.min(co - i * PANEL)));
    packed
}

/// Kernel `[co, 3, 3, 3, ci]` as panels of outputs, each 36 matrices `[3 ci, outputs]`.
pub(in crate::nn::conv3d) fn pack(problem: &Problem, w: &[f32]) -> Vec<f32> {
    let ci = problem.ci;
    packed(problem, |panel, first_output, outputs| {
        vectorised(
            #[inline(always)]
            || {
                for plane in 0..PLANES {
                    let start = (first_output * PLANES + plane) * TAPS * ci;
                    let mut first = 0;
                    while first + INPUTS <= ci {
                        let at = (start + first, plane * ci + first);
                        turned::<INPUTS>(&w[at.0..], at.1, outputs, ci, panel);
                        first += INPUTS;
                    }
                    for first in first..ci {
                        let at = (start + first, plane * ci + first);
                        turned::<1>(&w[at.0..], at.1, outputs, ci, panel);
                    }
                }
            },
        );
    })
}

/// Writes rows `row..row + W` of a panel's 36 matrices from `W` inputs of each output, which begin
/// with `w`: inputs and outputs change places.
#[inline(always)]
fn turned<const W: usize>(w: &[f32], row: usize, outputs: usize, ci: usize, panel: &mut [f32]) {
    let (step, matrix) = (PLANES * TAPS * ci, panel.len() / POINTS);
    for output in 0..outputs {
        // What the same output needs next, and far too little of it follows in memory.
        for tap in 0..TAPS {
            prefetch(w, output * step + tap * ci + W);
        }
        let made = plane_of::<W>(w, (output * step, ci, false));
        for (i, made) in made.into_iter().enumerate() {
            for (j, made) in made.into_iter().enumerate() {
                let at = (6 * i + j) * matrix + row * outputs + output;
                for (input, value) in made.0.into_iter().enumerate() {
                    panel[at + input * outputs] = value;
                }
            }
        }
    }
}

/// The forward kernel `[ci of the problem, 3, 3, 3, co of the problem]` mirrored in space, packed as
/// [`pack`] does.
pub(in crate::nn::conv3d) fn pack_mirrored(problem: &Problem, w: &[f32]) -> Vec<f32> {
    struct Work<'a> {
        w: &'a [f32],
        panel: &'a mut [f32],
        /// The kernel plane's first value, and where the matrix row begins that it becomes.
        from: usize,
        at: usize,
        /// Outputs of the kernel.
        outputs: usize,
    }
    impl PerLanes for Work<'_> {
        #[inline(always)]
        fn lanes<const W: usize>(&mut self, first: usize) {
            let matrix = self.panel.len() / POINTS;
            for tap in 0..TAPS {
                let next = self.from + (PLANES * TAPS + tap) * self.outputs;
                prefetch(self.w, next + first);
            }
            let made = plane_of::<W>(self.w, (self.from + first, self.outputs, true));
            for (i, made) in made.into_iter().enumerate() {
                for (j, value) in made.into_iter().enumerate() {
                    value.store(self.panel, (6 * i + j) * matrix + self.at + first);
                }
            }
        }
    }
    let (ci, co) = (problem.ci, problem.co);
    packed(problem, |panel, first_output, outputs| {
        vectorised(
            #[inline(always)]
            || {
                for input in 0..ci {
                    for plane in 0..PLANES {
                        let mirrored = input * PLANES + PLANES - 1 - plane;
                        let mut work = Work {
                            w,
                            panel: &mut *panel,
                            from: mirrored * TAPS * co + first_output,
                            at: (plane * ci + input) * outputs,
                            outputs: co,
                        };
                        over_channels(outputs, &mut work);
                    }
                }
            },
        );
    })
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
            vectorised(
                #[inline(always)]
                || {
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
                },
            );
        });
    dw
}
