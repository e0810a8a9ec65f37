//! The two passes over the logits. Sums are f64, over pieces cut by shape, in the pieces' order.

use super::super::cpu::{CHUNK, fill_pieces};
use super::super::overlap::Overlap;
use super::{DiceBce, IGNORE};
use rayon::prelude::*;
use std::ops::Range;

/// One call's sizes and options.
pub(super) struct Problem {
    /// Voxels of the batch.
    pub(super) voxels: usize,
    pub(super) regions: usize,
    /// `[256, regions]`: 1 where a label is in a region.
    pub(super) members: Vec<f32>,
    pub(super) squared: bool,
}

/// The sums of a batch.
pub(super) struct Sums {
    /// One a region.
    overlaps: Vec<Overlap>,
    /// Sum of the binary cross-entropy over voxels and regions.
    entropy: f64,
    /// Voxels that are not ignored.
    valid: u64,
}

impl Sums {
    fn zeros(regions: usize) -> Self {
        Self {
            overlaps: vec![Overlap::default(); regions],
            entropy: 0.0,
            valid: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.entropy += other.entropy;
        self.valid += other.valid;
        for (sum, value) in self.overlaps.iter_mut().zip(&other.overlaps) {
            *sum += *value;
        }
    }

    /// Regions in the mean of the Dice term.
    fn scored(&self) -> usize {
        self.overlaps.iter().filter(|o| o.truth > 0.0).count()
    }
}

impl Problem {
    fn pieces(&self) -> usize {
        (self.voxels * self.regions).div_ceil(CHUNK).max(1)
    }

    /// Voxels of a piece.
    fn piece(&self, index: usize) -> Range<usize> {
        let at = |piece: usize| self.voxels * piece / self.pieces();
        at(index)..at(index + 1)
    }

    /// In which regions a label is.
    fn members(&self, label: u8) -> &[f32] {
        &self.members[usize::from(label) * self.regions..][..self.regions]
    }
}

/// `1 / (1 + exp(-z))`, without overflow.
fn sigmoid(z: f32) -> f32 {
    let e = (-z.abs()).exp();
    match z >= 0.0 {
        true => 1.0 / (1.0 + e),
        false => e / (1.0 + e),
    }
}

/// `-t ln p - (1 - t) ln(1 - p)` of `p = sigmoid(z)`, from the logit: `max(z, 0) - z t + ln(1 + exp(-|z|))`.
fn entropy(z: f32, t: f32) -> f64 {
    f64::from(z.max(0.0) - z * t) + f64::from((-z.abs()).exp().ln_1p())
}

/// The pass over the logits that makes all sums.
pub(super) fn sums(problem: &Problem, logits: &[f32], target: &[u8]) -> Sums {
    let r = problem.regions;
    let of_piece = |index: usize| {
        let mut sums = Sums::zeros(r);
        for voxel in problem.piece(index) {
            let label = target[voxel];
            if label == IGNORE {
                continue;
            }
            sums.valid += 1;
            let z = &logits[voxel * r..][..r];
            for ((sum, z), t) in sums.overlaps.iter_mut().zip(z).zip(problem.members(label)) {
                let p = f64::from(sigmoid(*z));
                sums.entropy += entropy(*z, *t);
                sum.both += p * f64::from(*t);
                sum.predicted += if problem.squared { p * p } else { p };
                sum.truth += f64::from(*t);
            }
        }
        sums
    };
    let pieces: Vec<Sums> = (0..problem.pieces())
        .into_par_iter()
        .map(of_piece)
        .collect();
    let mut all = Sums::zeros(r);
    pieces.iter().for_each(|piece| all.add(piece));
    all
}

/// The loss from its sums.
pub(super) fn loss(problem: &Problem, config: &DiceBce, sums: &Sums) -> f64 {
    let scored = sums.overlaps.iter().filter(|o| o.truth > 0.0);
    let missing = scored.map(|o| 1.0 - o.dice(config.smooth));
    let dice = missing.sum::<f64>() / sums.scored().max(1) as f64;
    let entropy = sums.entropy / (sums.valid.max(1) as f64 * problem.regions as f64);
    config.dice_weight * dice + config.bce_weight * entropy
}

/// The pass that makes the gradient of the logits, times `g`.
///
/// With `a[r]` the derivative of the Dice term by `p[r]`: `dz = p (1 - p) a + bce_weight / (V R) (p - t)`.
pub(super) fn gradient(
    problem: &Problem,
    config: &DiceBce,
    sums: &Sums,
    logits: &[f32],
    target: &[u8],
    g: f32,
) -> Vec<f32> {
    let r = problem.regions;
    let factor = f64::from(g) * config.dice_weight / sums.scored().max(1) as f64;
    // a = [where t, everywhere (by q' = 1 or 2 p)].
    let terms = sums.overlaps.iter().map(|o| match o.truth > 0.0 {
        true => o.slopes(config.smooth, factor),
        false => [0.0; 2],
    });
    let terms: Vec<[f32; 2]> = terms.collect();
    let valid = sums.valid.max(1) as f64 * r as f64;
    let entropy = (f64::from(g) * config.bce_weight / valid) as f32;
    let lengths = (0..problem.pieces()).map(|i| problem.piece(i).len() * r);
    fill_pieces(
        lengths,
        || (),
        |(), index, out| {
            for (out, voxel) in out.chunks_exact_mut(r).zip(problem.piece(index)) {
                if target[voxel] == IGNORE {
                    continue;
                }
                let z = logits[voxel * r..][..r].iter();
                let members = problem.members(target[voxel]);
                for (((out, z), t), [inside, everywhere]) in
                    out.iter_mut().zip(z).zip(members).zip(&terms)
                {
                    let p = sigmoid(*z);
                    let slope = if problem.squared { 2.0 * p } else { 1.0 };
                    let a = inside * t + everywhere * slope;
                    *out = p * (1.0 - p) * a + entropy * (p - t);
                }
            }
        },
    )
}
