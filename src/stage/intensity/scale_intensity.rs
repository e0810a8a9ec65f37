//! Multiplies values by a drawn factor.

use super::{LARGEST, PerModality, change_each, check_augment, draw_each, voxelwise};
use crate::draw::{Range, SampleRng};
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Multiplies every voxel of an image by a drawn factor.
///
/// **Law** `v' = factor * v`. With probability `p` the step runs on a row; then every modality
/// draws its own factor. **Source** the defaults are those of CMC (MICCAI 2024); nnU-Net v2 uses
/// [0.75, 1.25] with `p` 0.15.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScaleIntensity {
    /// The factor: a number, a pair to draw uniformly between, or a `choice`; 0 to 1e6.
    pub factor: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

impl Default for ScaleIntensity {
    fn default() -> Self {
        Self {
            factor: Range::Uniform([0.9, 1.1]),
            p: 0.1,
            modalities: None,
        }
    }
}

impl Augment for ScaleIntensity {
    const NAME: &'static str = "scale_intensity";
    const EXAMPLE: &'static str = "{ factor: [0.9, 1.1], p: 0.1 }";
    type Draw = PerModality<f32>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.factor.check("factor", 0.0, LARGEST)?;
        check_augment(input, self.p, self.modalities.as_deref())
    }

    fn effect(&self) -> Effect {
        Effect::Pointwise
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        draw_each(rng, self.p, self.modalities.as_deref(), row, |rng| {
            self.factor.draw(rng) as f32
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        change_each(draw, row, |&factor| voxelwise(move |v| v * factor))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    #[test]
    fn every_voxel_is_multiplied() {
        let draw = PerModality::from([("ct".to_owned(), 1.5f32)]);
        let row = ScaleIntensity::default().apply(&draw, row_of(&[-2.0, 0.0, 4.0]));
        assert_eq!(image_of(&row.unwrap()), [-3.0, 0.0, 6.0]);
    }
}
