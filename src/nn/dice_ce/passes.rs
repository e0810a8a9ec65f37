//! The two passes over the logits. Sums are f64, over pieces cut by shape, in the pieces' order.

use super::super::cpu::{CHUNK, fill_pieces};
use super::super::overlap::Overlap;
use super::{DiceCe, IGNORE};
use rayon::prelude::*;
use std::ops::Range;

/// One call's sizes and weights.
pub(in crate::nn) struct Problem {
    pub(in crate::nn) samples: usize,
    /// Voxels of a sample.
    pub(in crate::nn) voxels: usize,
    pub(in crate::nn) classes: usize,
    pub(in crate::nn) weights: Vec<f32>,
    pub(in crate::nn) squared: bool,
}

/// The sums of a batch.
pub(super) struct Sums {
    overlaps: Vec<Overlap>,
    /// Sum of w (-log p).
    entropy: f64,
    /// Sum of w.
    weight: f64,
}

/// Dice's sums put together over what shares a score: the batch, or a sample.
struct Scores {
    /// Per sample and class: none where the class is not in the mean.
    scored: Vec<Option<Overlap>>,
    /// Scores in the mean.
    count: usize,
    dice_sum: f64,
}

impl Problem {
    fn pieces_per_sample(&self) -> usize {
        (self.voxels * self.classes).div_ceil(CHUNK).max(1)
    }

    fn pieces(&self) -> usize {
        self.samples * self.pieces_per_sample()
    }

    fn piece(&self, index: usize) -> (usize, Range<usize>) {
        let pieces = self.pieces_per_sample();
        let (sample, piece) = (index / pieces, index % pieces);
        let at = |piece: usize| sample * self.voxels + self.voxels * piece / pieces;
        (sample, at(piece)..at(piece + 1))
    }
}

/// Writes softmax into `p` and returns the logarithm of its denominator, shifted logits being
/// `z - largest`.
fn softmax(z: &[f32], p: &mut [f32]) -> (f32, f32) {
    let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for (p, z) in p.iter_mut().zip(z) {
        *p = (z - largest).exp();
        total += *p;
    }
    p.iter_mut().for_each(|p| *p /= total);
    (largest, total.ln())
}

/// The pass over the logits that makes all sums.
pub(super) fn sums(problem: &Problem, logits: &[f32], target: &[u8]) -> Sums {
    let k = problem.classes;
    let pieces: Vec<Sums> = (0..problem.pieces())
        .into_par_iter()
        .map(|index| {
            let mut sums = Sums {
                overlaps: vec![Overlap::default(); k],
                entropy: 0.0,
                weight: 0.0,
            };
            let mut p = vec![0.0; k];
            for voxel in problem.piece(index).1 {
                let label = target[voxel];
                if label == IGNORE {
                    continue;
                }
                let (label, z) = (usize::from(label), &logits[voxel * k..][..k]);
                let (largest, log_total) = softmax(z, &mut p);
                let weight = f64::from(problem.weights[label]);
                sums.entropy += weight * (f64::from(log_total) - f64::from(z[label] - largest));
                sums.weight += weight;
                for (overlap, p) in sums.overlaps.iter_mut().zip(&p) {
                    let p = f64::from(*p);
                    overlap.predicted += if problem.squared { p * p } else { p };
                }
                sums.overlaps[label].both += f64::from(p[label]);
                sums.overlaps[label].truth += 1.0;
            }
            sums
        })
        .collect();
    let mut all = Sums {
        overlaps: vec![Overlap::default(); problem.samples * k],
        entropy: 0.0,
        weight: 0.0,
    };
    for (index, piece) in pieces.iter().enumerate() {
        all.entropy += piece.entropy;
        all.weight += piece.weight;
        let sample = problem.piece(index).0;
        add(&mut all.overlaps[sample * k..][..k], &piece.overlaps);
    }
    all
}

fn add(sums: &mut [Overlap], values: &[Overlap]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += *value;
    }
}

fn scores(problem: &Problem, config: &DiceCe, sums: &Sums) -> Scores {
    let k = problem.classes;
    let mut overlaps = sums.overlaps.clone();
    if config.batch_dice {
        let mut batch = vec![Overlap::default(); k];
        overlaps
            .chunks_exact(k)
            .for_each(|sample| add(&mut batch, sample));
        overlaps = batch.repeat(problem.samples);
    }
    let first = usize::from(!config.include_background);
    let scored: Vec<Option<Overlap>> = overlaps
        .iter()
        .enumerate()
        .map(|(i, overlap)| (i % k >= first && overlap.truth > 0.0).then_some(*overlap))
        .collect();
    // Over the batch every sample repeats the same scores.
    let distinct = if config.batch_dice {
        &scored[..k.min(scored.len())]
    } else {
        &scored[..]
    };
    let dice = |o: &Overlap| o.dice(config.smooth);
    Scores {
        count: distinct.iter().flatten().count(),
        dice_sum: distinct.iter().flatten().map(dice).sum(),
        scored,
    }
}

/// The loss from its sums.
pub(super) fn loss(problem: &Problem, config: &DiceCe, sums: &Sums) -> f64 {
    let scores = scores(problem, config, sums);
    let dice = if scores.count > 0 {
        1.0 - scores.dice_sum / scores.count as f64
    } else {
        0.0
    };
    let entropy = if sums.weight > 0.0 {
        sums.entropy / sums.weight
    } else {
        0.0
    };
    config.dice_weight * dice + config.ce_weight * entropy
}

/// The pass that makes the gradient of the logits, times `g`.
///
/// With `a[c]` the derivative of the Dice term by `p[c]`:
/// `dz[c] = p[c] (a[c] - sum(a p)) + w[t] / sum(w) (p[c] - t[c])`.
pub(super) fn gradient(
    problem: &Problem,
    config: &DiceCe,
    sums: &Sums,
    logits: &[f32],
    target: &[u8],
    g: f32,
) -> Vec<f32> {
    let k = problem.classes;
    let scores = scores(problem, config, sums);
    // a = [where t, everywhere (by q' = 1 or 2 p)].
    let factor = f64::from(g) * config.dice_weight / scores.count.max(1) as f64;
    let terms: Vec<[f32; 2]> = scores
        .scored
        .iter()
        .map(|overlap| match overlap {
            Some(o) => o.slopes(config.smooth, factor),
            None => [0.0; 2],
        })
        .collect();
    let entropy = if sums.weight > 0.0 {
        f64::from(g) * config.ce_weight / sums.weight
    } else {
        0.0
    };
    let lengths = (0..problem.pieces()).map(|i| problem.piece(i).1.len() * k);
    fill_pieces(
        lengths,
        || vec![0.0; k],
        |p, index, out| {
            let (sample, voxels) = problem.piece(index);
            let terms = &terms[sample * k..][..k];
            for (out, voxel) in out.chunks_exact_mut(k).zip(voxels) {
                if target[voxel] == IGNORE {
                    continue;
                }
                let label = usize::from(target[voxel]);
                softmax(&logits[voxel * k..][..k], p);
                let mut mean = 0.0;
                for (c, ((out, p), [inside, everywhere])) in
                    out.iter_mut().zip(p.iter()).zip(terms).enumerate()
                {
                    let a = if problem.squared {
                        everywhere * 2.0 * p
                    } else {
                        *everywhere
                    };
                    *out = if c == label { a + inside } else { a };
                    mean += *out * p;
                }
                let weight = (entropy * f64::from(problem.weights[label])) as f32;
                for (c, (out, p)) in out.iter_mut().zip(p.iter()).enumerate() {
                    let one = if c == label { 1.0 } else { 0.0 };
                    *out = p * (*out - mean) + weight * (p - one);
                }
            }
        },
    )
}
