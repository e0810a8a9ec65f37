//! Stretches values about their mean.

use super::{LARGEST, PerModality, apply_each, check_augment, draw_each};
use crate::draw::{Range, SampleRng};
use crate::kernel::moments::{finite_bounds, moments};
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stretches the values of an image about their mean by a drawn factor.
///
/// **Law** `v' = (v - mean) * factor + mean`, with the mean of all finite voxels, then with
/// `keep_range` clipped to the image's former extremes. With probability `p` the step runs on a
/// row; then every modality draws its own factor. **Source** nnU-Net v2, which draws factors below
/// and above 1 equally often: `factor: { around_one: [0.75, 1.25] }`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Contrast {
    /// The factor: a number, a pair to draw uniformly between, a `choice`, or `around_one`; 0 to 1e6.
    pub factor: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Whether values are clipped to the image's former smallest and largest.
    pub keep_range: bool,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

impl Default for Contrast {
    fn default() -> Self {
        Self {
            factor: Range::Uniform([0.75, 1.25]),
            p: 0.15,
            keep_range: true,
            modalities: None,
        }
    }
}

impl Augment for Contrast {
    const NAME: &'static str = "contrast";
    const EXAMPLE: &'static str = "{ factor: [0.75, 1.25], p: 0.15 }";
    type Draw = PerModality<f32>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.factor.check("factor", 0.0, LARGEST)?;
        check_augment(input, self.p, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        draw_each(rng, self.p, self.modalities.as_deref(), row, |rng| {
            self.factor.draw(rng) as f32
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_each(draw, row, |factor, voxels| {
            let Some([low, high]) = finite_bounds(voxels) else {
                return;
            };
            let mean = moments(voxels, f32::is_finite).mean as f32;
            let [low, high] = if self.keep_range {
                [low, high]
            } else {
                [f32::NEG_INFINITY, f32::INFINITY]
            };
            for v in voxels {
                let stretched = ((*v - mean) * factor + mean).clamp(low, high);
                *v = if v.is_finite() { stretched } else { *v };
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    #[test]
    fn values_move_from_the_mean_and_stay_in_range() {
        let values = [0.0, 1.0, 3.0, 4.0, f32::NAN];
        let mut stage = Contrast::default();
        let draw = PerModality::from([("ct".to_owned(), 1.5f32)]);
        let found = image_of(&stage.apply(&draw, row_of(&values)).unwrap());
        assert_eq!(found[..4], [0.0, 0.5, 3.5, 4.0]);
        assert!(found[4].is_nan());
        stage.keep_range = false;
        let found = image_of(&stage.apply(&draw, row_of(&values)).unwrap());
        assert_eq!(found[..4], [-1.0, 0.5, 3.5, 5.0]);
    }
}
