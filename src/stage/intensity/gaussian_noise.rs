//! Adds Gaussian noise of a drawn strength.

use super::{LARGEST, PerModality, change_each, check_augment, draw_each};
use crate::draw::{Range, SampleRng};
use crate::kernel::noise::add_normal;
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::{Change, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds Gaussian noise, independent from voxel to voxel, of a drawn standard deviation.
///
/// **Law** `v' = v + std * n` with `n` standard normal. With probability `p` the step runs on a
/// row; then every modality draws its own `std` and a seed from which its noise follows, so that
/// a replay produces the same voxels. **Source** nnU-Net v2's step, there with `p` 0.1 and one noise
/// level for all modalities.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GaussianNoise {
    /// The noise's standard deviation, in the units that arrive: a number, a pair to draw uniformly between, or a `choice`; 0 to 1e6.
    pub std: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// Noise of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Standard deviation.
    pub std: f32,
    /// Seed of [`add_normal`].
    pub seed: u64,
}

impl Default for GaussianNoise {
    fn default() -> Self {
        Self {
            std: Range::Uniform([0.0, 0.1]),
            p: 0.15,
            modalities: None,
        }
    }
}

impl Augment for GaussianNoise {
    const NAME: &'static str = "gaussian_noise";
    const EXAMPLE: &'static str = "{ std: [0.0, 0.1], p: 0.15 }";
    type Draw = PerModality<Noise>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.std.check("std", 0.0, LARGEST)?;
        check_augment(input, self.p, self.modalities.as_deref())
    }

    fn effect(&self) -> Effect {
        Effect::Pointwise
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        draw_each(rng, self.p, self.modalities.as_deref(), row, |rng| Noise {
            std: self.std.draw(rng) as f32,
            seed: rng.next_seed(),
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        change_each(draw, row, |&Noise { std, seed }| {
            Change::by_place(move |voxels, first| add_normal(voxels, std, seed, first))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    #[test]
    fn the_noise_has_the_drawn_strength_around_the_image() {
        let noise = Noise { std: 0.25, seed: 8 };
        let draw = PerModality::from([("ct".to_owned(), noise)]);
        let row = GaussianNoise::default().apply(&draw, row_of(&[3.0; 40_000]));
        let found = image_of(&row.unwrap());
        let n = found.len() as f64;
        let mean = found.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let square = found.iter().map(|v| (f64::from(*v) - 3.0).powi(2));
        let sd = (square.sum::<f64>() / n).sqrt();
        assert!(
            (mean - 3.0).abs() < 0.005 && (sd - 0.25).abs() < 0.004,
            "{mean} {sd}"
        );
    }
}
