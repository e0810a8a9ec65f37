//! Blurs images with a Gaussian of a drawn width.

use super::{PerModality, apply_on_grid, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::gaussian::smooth_finite;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest standard deviation, in voxels.
pub(super) const LARGEST_SIGMA: f64 = 50.0;

/// Convolves an image with a Gaussian whose standard deviation is drawn for each axis.
///
/// **Law** along each axis weights `exp(-k^2 / (2 sigma^2))`, `|k| <= floor(3 sigma + 1/2)`, that add
/// up to 1; borders are mirrored with the edge voxel repeated (SciPy's `reflect`). `sigma` is in
/// voxels: what is lost is a matter of the grid a network sees. Voxels that are not finite stay and
/// lend nothing to their neighbours. With probability `p` the step runs on a row; then every
/// modality takes part with probability `p_modality` and draws its own three `sigma`.
/// **Source** nnU-Net v2: `p` 0.2, `p_modality` 0.5, U(0.5, 1.0), the kernel cut to 6 sigma in all.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GaussianBlur {
    /// Standard deviation in voxels: a number, a pair to draw uniformly between, or a `choice`; 0 to 50.
    pub sigma_voxels: Range,
    /// Whether the three axes share one draw.
    pub same_axes: bool,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs; 0.5 in nnU-Net.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// Sigmas on either side at which kernels are cut.
pub(super) const CUT: f64 = 3.0;

impl Default for GaussianBlur {
    fn default() -> Self {
        Self {
            sigma_voxels: Range::Uniform([0.5, 1.0]),
            same_axes: false,
            p: 0.2,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Augment for GaussianBlur {
    const NAME: &'static str = "gaussian_blur";
    const EXAMPLE: &'static str = "{ sigma_voxels: [0.5, 1.0], p: 0.2 }";
    /// Standard deviations along x, y, z in voxels.
    type Draw = PerModality<[f32; 3]>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.sigma_voxels
            .check("sigma_voxels", 0.0, LARGEST_SIGMA)?;
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
            let sigma = [(); 3].map(|()| self.sigma_voxels.draw(rng) as f32);
            if self.same_axes { [sigma[0]; 3] } else { sigma }
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |sigma, grid, voxels| {
            smooth_finite(voxels, grid.shape_xyz(), sigma.map(f64::from), CUT);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn blurred(sigma: [f32; 3], values: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let draw = PerModality::from([("ct".to_owned(), sigma)]);
        image_of(
            &GaussianBlur::default()
                .apply(&draw, row_on(values, shape))
                .unwrap(),
        )
    }

    #[test]
    fn a_point_becomes_the_kernel_along_its_axis() {
        let mut point = vec![0f32; 9 * 9];
        point[4 * 9 + 4] = 1.0;
        let found = blurred([0.0, 0.0, 1.0], &point, [9, 1, 9]);
        // exp(-k^2 / 2) for k = 0 to 3, over the sum of all seven.
        for (k, expected) in [0.399_050_3, 0.242_036_2, 0.054_005_6, 0.004_433_0, 0.0]
            .into_iter()
            .enumerate()
        {
            for z in [4 - k, 4 + k] {
                assert!((found[z * 9 + 4] - expected).abs() < 1e-6, "{k}");
            }
        }
        assert!(
            found
                .iter()
                .enumerate()
                .all(|(i, v)| i % 9 == 4 || *v == 0.0)
        );
    }

    #[test]
    fn no_width_changes_no_bit_and_odd_voxels_stay() {
        let values: Vec<f32> = (0..60).map(|i| (i as f32 * 0.7).sin()).collect();
        assert_eq!(blurred([0.0; 3], &values, [5, 4, 3]), values);
        let mut with_odd = values;
        with_odd[30] = f32::NAN;
        let found = blurred([1.0, 0.6, 0.8], &with_odd, [5, 4, 3]);
        assert_eq!(found.iter().filter(|v| v.is_nan()).count(), 1);
        assert!(found[30].is_nan());
    }
}
