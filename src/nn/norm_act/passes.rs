//! The passes over the voxels. Sums are f32 over blocks of rows, f64 above, in an order of their own.

use super::super::cpu::{CHUNK, fill_pieces};
use super::EPS;
use crate::kernel::simd::vectorised;
use rayon::prelude::*;

/// Rows whose sum is taken in f32.
const BLOCK: usize = 32;

/// One call's sizes.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Problem {
    pub(in crate::nn) samples: usize,
    pub(in crate::nn) voxels: usize,
    pub(in crate::nn) channels: usize,
    pub(in crate::nn) groups: usize,
    /// Factor of values that are not positive.
    pub(in crate::nn) slope: f32,
}

/// Mean and 1 / sqrt(variance + EPS) of each (sample, channel).
pub(super) struct Statistics {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

impl Problem {
    fn pieces_per_sample(&self) -> usize {
        (self.voxels * self.channels).div_ceil(CHUNK)
    }

    /// The voxels of piece `index`, counted over all samples, and its sample.
    fn piece(&self, index: usize) -> (usize, std::ops::Range<usize>) {
        let pieces = self.pieces_per_sample();
        let (sample, piece) = (index / pieces, index % pieces);
        let at = |piece: usize| sample * self.voxels + self.voxels * piece / pieces;
        (sample, at(piece)..at(piece + 1))
    }

    fn pieces(&self) -> usize {
        self.samples * self.pieces_per_sample()
    }

    fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.pieces()).map(|i| self.piece(i).1.len() * self.channels)
    }

    /// Per sample: factor and summand of each channel that normalise, scale and shift.
    fn affine(&self, scale: &[f32], shift: &[f32], statistics: &Statistics) -> Vec<[f32; 2]> {
        let c = self.channels;
        (0..self.samples * c)
            .map(|i| {
                let factor = scale[i % c] * statistics.inverse[i];
                [factor, shift[i % c] - statistics.mean[i] * factor]
            })
            .collect()
    }
}

/// Calls `row` for every row with f32 sums that are added to the f64 `sums` every few rows.
#[inline(always)]
fn sum_rows<const N: usize>(
    rows: usize,
    sums: &mut [Vec<f64>; N],
    mut row: impl FnMut(usize, &mut [Vec<f32>; N]),
) {
    let width = sums[0].len();
    let mut partial: [Vec<f32>; N] = std::array::from_fn(|_| vec![0.0; width]);
    for first in (0..rows).step_by(BLOCK) {
        partial.iter_mut().for_each(|p| p.fill(0.0));
        for r in first..(first + BLOCK).min(rows) {
            row(r, &mut partial);
        }
        for (sums, partial) in sums.iter_mut().zip(&partial) {
            sums.iter_mut()
                .zip(partial)
                .for_each(|(s, p)| *s += f64::from(*p));
        }
    }
}

/// Count, mean and sum of squared deviations, which can be merged without cancellation
/// (Chan, Golub and LeVeque 1983).
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares
                + other.squares
                + delta * delta * self.count * other.count / count,
        }
    }
}

/// First pass: mean and variance.
pub(super) fn statistics(problem: &Problem, x: &[f32]) -> Statistics {
    let c = problem.channels;
    let pieces: Vec<Vec<Moments>> = (0..problem.pieces())
        .into_par_iter()
        .map(|index| {
            let voxels = problem.piece(index).1;
            let (count, x) = (voxels.len(), &x[voxels.start * c..voxels.end * c]);
            vectorised(
                #[inline(always)]
                || moments(x, c, count),
            )
        })
        .collect();
    let mut statistics = Statistics {
        mean: vec![],
        inverse: vec![],
    };
    for sample in pieces.chunks_exact(problem.pieces_per_sample()) {
        let channels: Vec<Moments> = (0..c)
            .map(|j| {
                sample[1..]
                    .iter()
                    .fold(sample[0][j], |sum, piece| sum.merge(piece[j]))
            })
            .collect();
        for group in channels.chunks_exact(c / problem.groups) {
            let all = group[1..]
                .iter()
                .fold(group[0], |sum, channel| sum.merge(*channel));
            let inverse = 1.0 / (all.squares / all.count + EPS).sqrt();
            statistics
                .mean
                .extend(std::iter::repeat_n(all.mean as f32, group.len()));
            statistics
                .inverse
                .extend(std::iter::repeat_n(inverse as f32, group.len()));
        }
    }
    statistics
}

#[inline(always)]
fn moments(x: &[f32], c: usize, count: usize) -> Vec<Moments> {
    let mut sums = [vec![0.0f64; c]];
    sum_rows(count, &mut sums, |r, [sum]| {
        sum.iter_mut()
            .zip(&x[r * c..][..c])
            .for_each(|(s, x)| *s += x);
    });
    let means: Vec<f32> = sums[0].iter().map(|s| (s / count as f64) as f32).collect();
    let mut deviations = [vec![0.0f64; c], vec![0.0f64; c]];
    sum_rows(count, &mut deviations, |r, [sum, squares]| {
        for (((sum, squares), x), mean) in sum
            .iter_mut()
            .zip(squares)
            .zip(&x[r * c..][..c])
            .zip(&means)
        {
            let deviation = x - mean;
            *sum += deviation;
            *squares += deviation * deviation;
        }
    });
    let n = count as f64;
    (0..c)
        .map(|j| {
            // The f32 mean is a shift; what it lacks is made good here.
            let rest = deviations[0][j] / n;
            Moments {
                count: n,
                mean: f64::from(means[j]) + rest,
                squares: deviations[1][j] - n * rest * rest,
            }
        })
        .collect()
}

/// Second pass: normalise, scale, shift, activate.
pub(super) fn forward(
    problem: &Problem,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    statistics: &Statistics,
) -> Vec<f32> {
    let (c, slope) = (problem.channels, problem.slope);
    let affine = problem.affine(scale, shift, statistics);
    fill_pieces(
        problem.lengths(),
        || (),
        |(), index, out| {
            let (sample, voxels) = problem.piece(index);
            let (affine, x) = (&affine[sample * c..][..c], &x[voxels.start * c..]);
            vectorised(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                        for ((out, x), [factor, summand]) in out.iter_mut().zip(x).zip(affine) {
                            let u = x * factor + summand;
                            *out = if u > 0.0 { u } else { u * slope };
                        }
                    }
                },
            );
        },
    )
}

/// Both backward passes: dx, then dscale, then dshift, in one vector.
///
/// With `g = dy act'(u)` and `v = (x - mean) inverse`: `dshift = sum g`, `dscale = sum g v` and
/// `dx = inverse (scale g - mean(scale g) - v mean(scale g v))`, means over what shares statistics.
pub(super) fn backward(
    problem: &Problem,
    x: &[f32],
    dy: &[f32],
    scale: &[f32],
    shift: &[f32],
    statistics: &Statistics,
) -> Vec<f32> {
    let c = problem.channels;
    let affine = problem.affine(scale, shift, statistics);
    let slope = problem.slope;
    let pieces: Vec<[Vec<f64>; 2]> = (0..problem.pieces())
        .into_par_iter()
        .map(|index| {
            let (sample, voxels) = problem.piece(index);
            let (affine, mean) = (
                &affine[sample * c..][..c],
                &statistics.mean[sample * c..][..c],
            );
            let (x, dy) = (
                &x[voxels.start * c..voxels.end * c],
                &dy[voxels.start * c..voxels.end * c],
            );
            vectorised(
                #[inline(always)]
                || {
                    let mut sums = [vec![0.0; c], vec![0.0; c]];
                    sum_rows(voxels.len(), &mut sums, |r, [sum, product]| {
                        let rows = x[r * c..][..c]
                            .iter()
                            .zip(&dy[r * c..][..c])
                            .zip(affine.iter().zip(mean));
                        for ((sum, product), ((x, dy), ([factor, summand], mean))) in
                            sum.iter_mut().zip(product).zip(rows)
                        {
                            let g = if x * factor + summand > 0.0 {
                                *dy
                            } else {
                                dy * slope
                            };
                            *sum += g;
                            *product += g * (x - mean);
                        }
                    });
                    sums
                },
            )
        })
        .collect();

    let mut tail = vec![0.0f64; 2 * c];
    // dx = g a - (x - mean) b - e, per sample and channel.
    let mut terms = vec![[0.0f32; 3]; problem.samples * c];
    let width = c / problem.groups;
    for (sample, pieces) in pieces.chunks_exact(problem.pieces_per_sample()).enumerate() {
        let total =
            |which: usize, j: usize| pieces.iter().map(|piece| piece[which][j]).sum::<f64>();
        let inverse = &statistics.inverse[sample * c..][..c];
        let shifts: Vec<f64> = (0..c).map(|j| total(0, j)).collect();
        let scales: Vec<f64> = (0..c)
            .map(|j| total(1, j) * f64::from(inverse[j]))
            .collect();
        for first in (0..c).step_by(width) {
            let group = first..first + width;
            let count = (problem.voxels * width) as f64;
            let mean = |sums: &[f64]| {
                group
                    .clone()
                    .map(|j| sums[j] * f64::from(scale[j]))
                    .sum::<f64>()
                    / count
            };
            let (plain, product) = (mean(&shifts), mean(&scales));
            for j in group.clone() {
                let inverse = f64::from(inverse[j]);
                terms[sample * c + j] = [
                    f64::from(scale[j]) * inverse,
                    product * inverse * inverse,
                    plain * inverse,
                ]
                .map(|v| v as f32);
                tail[j] += scales[j];
                tail[c + j] += shifts[j];
            }
        }
    }

    fill_pieces(
        problem.lengths().chain([2 * c]),
        || (),
        |(), index, out| {
            if index == problem.pieces() {
                out.iter_mut()
                    .zip(&tail)
                    .for_each(|(out, sum)| *out = *sum as f32);
                return;
            }
            let (sample, voxels) = problem.piece(index);
            let (affine, mean) = (
                &affine[sample * c..][..c],
                &statistics.mean[sample * c..][..c],
            );
            let (terms, x, dy) = (
                &terms[sample * c..][..c],
                &x[voxels.start * c..],
                &dy[voxels.start * c..],
            );
            vectorised(
                #[inline(always)]
                || {
                    for ((out, x), dy) in out
                        .chunks_exact_mut(c)
                        .zip(x.chunks_exact(c))
                        .zip(dy.chunks_exact(c))
                    {
                        let constants = affine.iter().zip(mean).zip(terms);
                        for (((out, x), dy), (([factor, summand], mean), [a, b, e])) in
                            out.iter_mut().zip(x).zip(dy).zip(constants)
                        {
                            let g = if x * factor + summand > 0.0 {
                                *dy
                            } else {
                                dy * slope
                            };
                            *out = g * a - (x - mean) * b - e;
                        }
                    }
                },
            );
        },
    )
}
