//! Sharpens images.

use super::gaussian_blur::{CUT, LARGEST_SIGMA};
use super::{LARGEST, PerModality, apply_on_grid, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::gaussian::smooth_finite;
use crate::kernel::moments::finite_bounds;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds to an image what a Gaussian blur would take away (unsharp masking).
///
/// **Law** `v' = v + amount * (v - blur(v))` with the blur of `gaussian_blur` of one `sigma` for all
/// axes, then with `keep_range` clipped to the image's former extremes. Voxels that are not finite stay
/// and lend nothing to their neighbours. `amount: 0` changes nothing. With probability `p` the step
/// runs on a row; then every modality takes part with probability `p_modality` and draws its own
/// `amount` and `sigma`. **Source** the sharpening step of nnU-Net's DA5 trainer (`p` 0.2,
/// `p_modality` 0.5, strength 0.1 to 1, clipped), there with a Laplacian for the difference.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sharpen {
    /// Share of the difference that is added: a number, a pair to draw uniformly between, or a `choice`; 0 to 1e6.
    pub amount: Range,
    /// Standard deviation of the blur in voxels: a number, a pair to draw uniformly between, or a `choice`; 0 to 50.
    pub sigma_voxels: Range,
    /// Whether values are clipped to the image's former smallest and largest.
    pub keep_range: bool,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs; 0.5 in DA5.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// Sharpening of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Share of the difference that is added.
    pub amount: f32,
    /// Standard deviation of the blur in voxels.
    pub sigma_voxels: f32,
}

impl Default for Sharpen {
    fn default() -> Self {
        Self {
            amount: Range::Uniform([0.1, 1.0]),
            sigma_voxels: Range::Fixed(1.0),
            keep_range: true,
            p: 0.2,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Augment for Sharpen {
    const NAME: &'static str = "sharpen";
    const EXAMPLE: &'static str = "{ amount: [0.1, 1.0], sigma_voxels: 1.0, p: 0.2 }";
    type Draw = PerModality<Edge>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.amount.check("amount", 0.0, LARGEST)?;
        self.sigma_voxels
            .check("sigma_voxels", 0.0, LARGEST_SIGMA)?;
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| Edge {
            amount: self.amount.draw(rng) as f32,
            sigma_voxels: self.sigma_voxels.draw(rng) as f32,
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |edge, grid, voxels| {
            let Some(range) = finite_bounds(voxels) else {
                return;
            };
            if edge.amount == 0.0 {
                return;
            }
            let mut blurred = voxels.to_vec();
            let sigma = [f64::from(edge.sigma_voxels); 3];
            smooth_finite(&mut blurred, grid.shape_xyz(), sigma, CUT);
            let [low, high] = if self.keep_range {
                range
            } else {
                [f32::NEG_INFINITY, f32::INFINITY]
            };
            for (v, blurred) in voxels.iter_mut().zip(&blurred) {
                let sharp = (*v + edge.amount * (*v - blurred)).clamp(low, high);
                *v = if v.is_finite() { sharp } else { *v };
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn sharpened(keep_range: bool, amount: f32, values: &[f32]) -> Vec<f32> {
        let stage = Sharpen {
            keep_range,
            ..Sharpen::default()
        };
        let edge = Edge {
            amount,
            sigma_voxels: 0.5,
        };
        let draw = PerModality::from([("ct".to_owned(), edge)]);
        image_of(
            &stage
                .apply(&draw, row_on(values, [values.len(), 1, 1]))
                .unwrap(),
        )
    }

    #[test]
    fn what_a_blur_takes_is_added() {
        let step = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        // Weights of sigma 0.5: 0.786571, 0.106451, 0.000264; beyond the step 0.106715 is lost.
        let found = sharpened(false, 2.0, &step);
        let expected = [
            0.0, 0.0, -0.000_528, -0.213_43, 1.213_43, 1.000_528, 1.0, 1.0,
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-6, "{found} {expected}");
        }
        let kept = sharpened(true, 2.0, &step);
        assert!(kept.iter().all(|v| (0.0..=1.0).contains(v)));
    }

    #[test]
    fn no_amount_changes_no_bit_and_odd_voxels_stay() {
        let values = [0.3, -7.0, f32::NAN, 2.0, f32::INFINITY, 1.0];
        let found = sharpened(true, 0.0, &values);
        assert_eq!(
            [found[0], found[1], found[3], found[5]],
            [0.3, -7.0, 2.0, 1.0]
        );
        let found = sharpened(true, 1.0, &values);
        assert!(found[2].is_nan() && found[4] == f32::INFINITY);
        assert_eq!(found.iter().filter(|v| !v.is_finite()).count(), 2);
    }
}
