//! Bends the grey values of one place by a drawn power.

use super::{PerModality, apply_on_grid, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::math::{exp2, unit_pow};
use crate::kernel::moments::finite_bounds;
use crate::kernel::simd::vectorised;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Raises grey values to a drawn power, in full at a drawn place and ever less around it.
///
/// **Law** with `low` and `width` the image's smallest finite value and range, `t = (v - low) / width`
/// and `b = exp(-sum over axes of (u - centre)^2 / (2 size^2))`, `v' = v + b * width * (t^gamma - t)`:
/// the mix of the image and its bent self by the weight `b`. Places `u` and sizes are shares of the
/// volume's edges, `u` from 0 to 1. `gamma: 1` changes nothing; voxels that are not finite stay. With
/// probability `p` the step runs on a row; then every modality takes part with probability
/// `p_modality` and draws its own power, and a centre and size for each axis.
/// **Source** `LocalGammaTransform` of nnU-Net's DA5 trainer: `p` 0.3, `p_modality` 0.5, sizes from a
/// sixth to the whole edge, powers 0.01 to 0.8 and 1.5 to 4 equally often.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalGamma {
    /// The power at the centre: a number, a pair to draw uniformly between, a `choice`, or `around_one`; 0.01 to 100.
    pub gamma: Range,
    /// Place of the centre along each axis, 0 and 1 being the volume's faces: a number, a pair to draw uniformly between, or a `choice`; -10 to 10.
    pub centre: Range,
    /// Standard deviation of the weight along each axis, as a share of the volume's edge: a number, a pair to draw uniformly between, or a `choice`; 0.01 to 100.
    pub size: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs; 0.5 in DA5.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// What happens where in one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Blob {
    /// The power at the centre.
    pub gamma: f32,
    /// Centre along x, y, z, as shares of the edges.
    pub centre: [f32; 3],
    /// Standard deviations along x, y, z, as shares of the edges.
    pub size: [f32; 3],
}

impl Default for LocalGamma {
    fn default() -> Self {
        Self {
            gamma: Range::AroundOne {
                around_one: [0.3, 3.0],
            },
            centre: Range::Uniform([-0.5, 1.5]),
            size: Range::Uniform([1.0 / 6.0, 1.0]),
            p: 0.3,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Blob {
    /// The weight's factors along one axis.
    fn weights(&self, axis: usize, count: usize) -> Vec<f32> {
        let (centre, size) = (self.centre[axis], self.size[axis]);
        let weight = |i: usize| {
            let distance = ((i as f32 + 0.5) / count as f32 - centre) / size;
            exp2(-0.5 * std::f32::consts::LOG2_E * distance * distance)
        };
        (0..count).map(weight).collect()
    }

    fn bend(&self, shape: [usize; 3], voxels: &mut [f32]) {
        let Some([low, high]) = finite_bounds(voxels) else {
            return;
        };
        let width = high - low;
        if !(width >= f32::MIN_POSITIVE && width.is_finite()) || self.gamma == 1.0 {
            return;
        }
        let [along_x, along_y, along_z] = [0, 1, 2].map(|a| self.weights(a, shape[a]));
        let gamma = self.gamma;
        vectorised(
            #[inline(always)]
            || {
                for (row, voxels) in voxels.chunks_exact_mut(shape[0]).enumerate() {
                    let most = along_y[row % shape[1]] * along_z[row / shape[1]] * width;
                    for (v, weight) in voxels.iter_mut().zip(&along_x) {
                        let t = (*v - low) / width;
                        let bent = *v + most * weight * (unit_pow(t, gamma) - t);
                        let (above, below) = (t >= 0.0, t <= 1.0);
                        *v = if above & below { bent } else { *v };
                    }
                }
            },
        );
    }
}

impl Augment for LocalGamma {
    const NAME: &'static str = "local_gamma";
    const EXAMPLE: &'static str = "{ gamma: { around_one: [0.3, 3.0] }, p: 0.3 }";
    type Draw = PerModality<Blob>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.gamma.check("gamma", 0.01, 100.0)?;
        self.centre.check("centre", -10.0, 10.0)?;
        self.size.check("size", 0.01, 100.0)?;
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| Blob {
            gamma: self.gamma.draw(rng) as f32,
            centre: [(); 3].map(|()| self.centre.draw(rng) as f32),
            size: [(); 3].map(|()| self.size.draw(rng) as f32),
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |blob, grid, voxels| {
            blob.bend(grid.shape_xyz(), voxels);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn bent(blob: Blob, values: &[f32]) -> Vec<f32> {
        let draw = PerModality::from([("ct".to_owned(), blob)]);
        image_of(
            &LocalGamma::default()
                .apply(&draw, row_on(values, [5, 4, 3]))
                .unwrap(),
        )
    }

    #[test]
    fn the_weight_fades_from_its_centre() {
        let values: Vec<f32> = (0..60).map(|i| ((i * 37) % 60) as f32 - 10.0).collect();
        let blob = Blob {
            gamma: 2.0,
            centre: [0.5, 0.25, -0.1],
            size: [0.3, 0.5, 1.0],
        };
        let found = bent(blob, &values);
        for (i, (found, v)) in found.iter().zip(&values).enumerate() {
            let at = [i % 5, i / 5 % 4, i / 20];
            let square: f64 = (0..3)
                .map(|a| {
                    let u = (at[a] as f64 + 0.5) / [5.0, 4.0, 3.0][a];
                    ((u - f64::from(blob.centre[a])) / f64::from(blob.size[a])).powi(2)
                })
                .sum();
            let (b, t) = ((-0.5 * square).exp(), (f64::from(*v) + 10.0) / 59.0);
            let expected = -10.0 + 59.0 * (b * t * t + (1.0 - b) * t);
            assert!(
                (f64::from(*found) - expected).abs() < 2e-5,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn a_power_of_one_changes_no_bit_and_odd_voxels_stay() {
        let mut values: Vec<f32> = (0..60).map(|i| (i as f32 * 0.9).sin()).collect();
        let mut blob = Blob {
            gamma: 1.0,
            centre: [0.5; 3],
            size: [0.5; 3],
        };
        assert_eq!(bent(blob, &values), values);
        blob.gamma = 3.0;
        values[7] = f32::NAN;
        values[8] = f32::NEG_INFINITY;
        let found = bent(blob, &values);
        assert!(found[7].is_nan() && found[8] == f32::NEG_INFINITY);
        assert_eq!(found.iter().filter(|v| !v.is_finite()).count(), 2);
        assert_eq!(bent(blob, &[4.0; 60]), [4.0; 60]);
    }
}
