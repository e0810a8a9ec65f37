//! Multiplies values by a factor drawn on either side of 1.

use super::{LARGEST, PerModality, change_each, check_some, draw_some, voxelwise};
use crate::draw::{Range, SampleRng};
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Multiplies every voxel of an image by a factor that is below and above 1 equally often.
///
/// **Law** `v' = factor * v`: 0 stays 0, so on standardised images the spread changes and the mean
/// tissue stays. With probability `p` the step runs on a row; then every modality takes part with
/// probability `p_modality` and draws its own factor, half the time from U(0.75, 1) and half from
/// U(1, 1.25). **Source** nnU-Net v2's multiplicative brightness, whose values the defaults are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Brightness {
    /// The factor: a number, a pair to draw uniformly between, a `choice`, or `around_one`; 0 to 1e6.
    pub factor: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

impl Default for Brightness {
    fn default() -> Self {
        Self {
            factor: Range::AroundOne {
                around_one: [0.75, 1.25],
            },
            p: 0.15,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Augment for Brightness {
    const NAME: &'static str = "brightness";
    const EXAMPLE: &'static str = "{ factor: { around_one: [0.75, 1.25] }, p: 0.15 }";
    type Draw = PerModality<f32>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.factor.check("factor", 0.0, LARGEST)?;
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn effect(&self) -> Effect {
        Effect::Pointwise
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
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
    fn values_are_multiplied_and_one_changes_nothing() {
        let changed = |factor: f32| {
            let draw = PerModality::from([("ct".to_owned(), factor)]);
            let row = row_of(&[-2.0, 0.0, 0.1, f32::INFINITY]);
            image_of(&Brightness::default().apply(&draw, row).unwrap())
        };
        assert_eq!(changed(1.25), [-2.5, 0.0, 0.1 * 1.25, f32::INFINITY]);
        assert_eq!(changed(1.0), [-2.0, 0.0, 0.1, f32::INFINITY]);
    }
}
