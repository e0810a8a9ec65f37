//! Adds a drawn offset to values.

use super::{LARGEST, PerModality, change_each, check_augment, draw_each, voxelwise};
use crate::draw::{Range, SampleRng};
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds a drawn offset to every voxel of an image.
///
/// **Law** `v' = v + offset`, in the units that arrive: after `window` a fraction of the window,
/// after `zscore` standard deviations. With probability `p` the step runs on a row; then every
/// modality draws its own offset. **Source** the defaults are those of CMC (MICCAI 2024), which
/// shifts after normalisation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShiftIntensity {
    /// The offset: a number, a pair to draw uniformly between, or a `choice`; -1e6 to 1e6.
    pub offset: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

impl Default for ShiftIntensity {
    fn default() -> Self {
        Self {
            offset: Range::Uniform([-0.1, 0.1]),
            p: 0.1,
            modalities: None,
        }
    }
}

impl Augment for ShiftIntensity {
    const NAME: &'static str = "shift_intensity";
    const EXAMPLE: &'static str = "{ offset: [-0.1, 0.1], p: 0.1 }";
    type Draw = PerModality<f32>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.offset.check("offset", -LARGEST, LARGEST)?;
        check_augment(input, self.p, self.modalities.as_deref())
    }

    fn effect(&self) -> Effect {
        Effect::Pointwise
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        draw_each(rng, self.p, self.modalities.as_deref(), row, |rng| {
            self.offset.draw(rng) as f32
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        change_each(draw, row, |&offset| voxelwise(move |v| v + offset))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    #[test]
    fn every_voxel_is_shifted() {
        let draw = PerModality::from([("ct".to_owned(), -0.5f32)]);
        let row = ShiftIntensity::default().apply(&draw, row_of(&[-2.0, 0.0, 4.0]));
        assert_eq!(image_of(&row.unwrap()), [-2.5, -0.5, 3.5]);
    }
}
