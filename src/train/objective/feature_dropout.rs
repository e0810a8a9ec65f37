//! Dropped feature channels: one at random (UniMatch), or complementary between two views (V2).
//!
//! **Source** Yang et al., UniMatch, CVPR 2023: channels of every encoder level of the weak view are
//! dropped with probability 1/2. Yang et al., UniMatch V2, 2025: `m = 2 Bernoulli(1/2)` for one
//! strong view and `2 - m` for the other, in half of the samples; the others keep all channels.

use super::pseudo_label::Normalize;
use crate::draw::DrawKey;
use crate::nn::dice_ce::DiceCe;
use crate::volume::Row;
use candle_core::{Device, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The student sees the weak view with dropped feature channels and learns the pseudo-labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureDropoutSpec {
    /// Probability that a channel of a skip connection or of the bottleneck is dropped; those kept grow by 1 / (1 - p).
    #[schemars(range(min = 0.0, max = 0.99))]
    pub p: f64,
    /// By how many voxels the term is divided.
    pub normalize: Normalize,
    /// Weight of the soft Dice loss within the term.
    #[schemars(range(min = 0.0))]
    pub dice: f64,
    /// Weight of the cross-entropy within the term.
    #[schemars(range(min = 0.0))]
    pub cross_entropy: f64,
    /// Final weight of the term.
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// When the term starts, as a fraction of training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub start: f64,
    /// How long the weight rises, as a fraction of training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ramp: f64,
}

impl Default for FeatureDropoutSpec {
    fn default() -> Self {
        Self {
            p: 0.5,
            normalize: Normalize::default(),
            dice: 1.0,
            cross_entropy: 1.0,
            weight: 1.0,
            start: 0.0,
            ramp: 0.3,
        }
    }
}

impl FeatureDropoutSpec {
    /// **Errors** one sentence where the probability is none, or leaves nothing.
    pub fn check(&self) -> std::result::Result<(), String> {
        match (0.0..=0.99).contains(&self.p) {
            true => Ok(()),
            false => Err(format!("`p` is {}, expected 0 to 0.99", self.p)),
        }
    }

    /// The loss of one head.
    pub fn loss(&self) -> DiceCe {
        DiceCe {
            dice_weight: self.dice,
            ce_weight: self.cross_entropy,
            ..DiceCe::default()
        }
    }
}

/// Which half of the channels a view keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Those that were drawn.
    Drawn,
    /// Those that were not.
    Other,
}

/// What each channel of some features is multiplied by, drawn anew for each row, encoder and level.
#[derive(Debug, Clone, Copy)]
pub enum ChannelDraw {
    /// Each channel dropped with this probability, the others grown by 1 / (1 - p).
    Single(f64),
    /// Half of the rows keep a half of their channels, twice as strong.
    Complementary(Half),
}

impl ChannelDraw {
    /// Factors of one level's channels.
    ///
    /// **Shape** f32 `[n, channels]`. **Randomness** keyed by each row's subject, epoch and
    /// sample, by the encoder and the level: both halves of a complementary pair draw alike.
    ///
    /// **Errors** when the device has no memory left.
    pub fn factors(
        self,
        seed: u64,
        rows: &[&Row],
        (encoder, level, channels): (usize, usize, usize),
        device: &Device,
    ) -> Result<Tensor> {
        let mut factors = Vec::with_capacity(rows.len() * channels);
        for row in rows {
            let key = DrawKey {
                seed,
                epoch: row.epoch,
                subject: &row.subject,
                sample: row.sample,
            };
            let path = |name: &str| format!("train.objective.{name}.{encoder}.{level}");
            match self {
                Self::Single(p) => {
                    let mut rng = key.rng(&path("feature_dropout"));
                    let kept = (1.0 / (1.0 - p)) as f32;
                    factors.extend((0..channels).map(|_| if rng.chance(p) { 0.0 } else { kept }));
                }
                Self::Complementary(half) => {
                    // Whether a row is dropped at all is one draw for all of its levels.
                    let name = "train.objective.complementary_dropout";
                    let drops = key.rng(name).chance(0.5);
                    let mut rng = key.rng(&path("complementary_dropout"));
                    factors.extend((0..channels).map(|_| {
                        let drawn = if rng.chance(0.5) { 2.0 } else { 0.0 };
                        match (drops, half) {
                            (false, _) => 1.0,
                            (true, Half::Drawn) => drawn,
                            (true, Half::Other) => 2.0 - drawn,
                        }
                    }));
                }
            }
        }
        Tensor::from_vec(factors, (rows.len(), channels), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(draw: ChannelDraw, level: usize, rows: &[Row]) -> Vec<Vec<f32>> {
        let rows: Vec<&Row> = rows.iter().collect();
        let factors = draw
            .factors(5, &rows, (0, level, 64), &Device::Cpu)
            .unwrap();
        assert_eq!(factors.dims(), [rows.len(), 64]);
        factors.to_vec2().unwrap()
    }

    fn rows() -> Vec<Row> {
        let row = |i| Row {
            subject: format!("s{i}"),
            ..Row::default()
        };
        (0..200).map(row).collect()
    }

    #[test]
    fn complementary_halves_sum_to_two_and_half_of_the_rows_keep_everything() {
        let rows = rows();
        let one = drawn(ChannelDraw::Complementary(Half::Drawn), 0, &rows);
        let two = drawn(ChannelDraw::Complementary(Half::Other), 0, &rows);
        let mut whole = 0;
        for (a, b) in one.iter().zip(&two) {
            assert!(a.iter().zip(b).all(|(a, b)| a + b == 2.0));
            if a.iter().all(|v| *v == 1.0) {
                whole += 1;
            } else {
                assert!(a.iter().all(|v| *v == 0.0 || *v == 2.0));
            }
        }
        // 100 expected of 200, standard deviation 7.
        assert!((72..=128).contains(&whole), "{whole}");
        // A row is dropped at every level or at none.
        let deeper = drawn(ChannelDraw::Complementary(Half::Drawn), 1, &rows);
        for (a, b) in one.iter().zip(&deeper) {
            assert_eq!(a.iter().all(|v| *v == 1.0), b.iter().all(|v| *v == 1.0));
        }
        assert_ne!(one, deeper);
    }

    #[test]
    fn dropped_channels_keep_the_mean() {
        let rows = rows();
        for p in [0.0, 0.25, 0.5] {
            let factors = drawn(ChannelDraw::Single(p), 0, &rows).concat();
            let dropped = factors.iter().filter(|v| **v == 0.0).count() as f64 / 12_800.0;
            let mean = factors.iter().map(|v| f64::from(*v)).sum::<f64>() / 12_800.0;
            assert!(
                (dropped - p).abs() < 0.02 && (mean - 1.0).abs() < 0.04,
                "{p}: {dropped} {mean}"
            );
        }
    }
}
