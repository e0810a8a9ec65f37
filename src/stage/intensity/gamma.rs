//! Bends the grey values by a drawn power.

use super::{PerModality, apply_each, check_augment, draw_each};
use crate::draw::{Range, SampleRng, check_probability};
use crate::kernel::math::unit_pow;
use crate::kernel::moments::{finite_bounds, moments};
use crate::kernel::simd::vectorised;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Raises grey values, taken from 0 to 1 between the image's extremes, to a drawn power.
///
/// **Law** `v' = ((v - low) / (high - low))^gamma * (high - low) + low`, with `low` and `high` the
/// image's smallest and largest finite value, or `range`. Inverted, the same is done to `-v`: the
/// bright end is bent instead of the dark one. With `keep_stats` mean and standard deviation of the
/// result are then brought back to those before. Voxels outside `range`, and those that are not
/// finite, are not bent. With probability `p` the step runs on a row; then every modality draws its
/// own `gamma` and whether it is inverted.
/// **Source** nnU-Net v2's two gamma steps as one. Exactly they are `gamma` twice, with `invert_p: 1, p: 0.1`
/// and `invert_p: 0, p: 0.3`, each with `gamma: { around_one: [0.7, 1.5] }`: below and above 1 equally often.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gamma {
    /// The power: a number, a pair to draw uniformly between, a `choice`, or `around_one`; 0.01 to 100.
    pub gamma: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability that an image is bent inverted, given that the step runs.
    pub invert_p: f64,
    /// Whether mean and standard deviation are kept.
    pub keep_stats: bool,
    /// Fixed ends of the curve, such as [0, 1] after `window`; the image's extremes where left out. With `keep_stats: false` a value's change then does not depend on what else the patch shows.
    pub range: Option<[f64; 2]>,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// Curve of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The power.
    pub gamma: f32,
    /// Whether the image is bent inverted.
    pub invert: bool,
}

impl Default for Gamma {
    fn default() -> Self {
        Self {
            gamma: Range::Uniform([0.7, 1.5]),
            p: 0.3,
            invert_p: 0.25,
            keep_stats: true,
            range: None,
            modalities: None,
        }
    }
}

impl Gamma {
    fn bend(&self, curve: &Curve, voxels: &mut [f32]) {
        let range = self.range.map(|r| r.map(|v| v as f32));
        let Some([low, high]) = range.or_else(|| finite_bounds(voxels)) else {
            return;
        };
        let width = high - low;
        if !(width >= f32::MIN_POSITIVE && width.is_finite()) {
            return;
        }
        let before = self.keep_stats.then(|| moments(voxels, f32::is_finite));
        let (start, direction) = if curve.invert {
            (high, -1.0)
        } else {
            (low, 1.0)
        };
        vectorised(
            #[inline(always)]
            || {
                for v in voxels.iter_mut() {
                    let t = (*v - start) * direction / width;
                    let bent = start + direction * width * unit_pow(t, curve.gamma);
                    // Two comparisons without a branch between them, so that the loop vectorises.
                    let (above, below) = (t >= 0.0, t <= 1.0);
                    *v = if above & below { bent } else { *v };
                }
            },
        );
        let Some(before) = before else { return };
        let after = moments(voxels, f32::is_finite);
        if after.sd > 0.0 {
            let scale = (before.sd / after.sd) as f32;
            let (from, to) = (after.mean as f32, before.mean as f32);
            voxels
                .iter_mut()
                .for_each(|v| *v = (*v - from) * scale + to);
        }
    }
}

impl Augment for Gamma {
    const NAME: &'static str = "gamma";
    const EXAMPLE: &'static str = "{ gamma: [0.7, 1.5], p: 0.3, invert_p: 0.25 }";
    type Draw = PerModality<Curve>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.gamma.check("gamma", 0.01, 100.0)?;
        check_probability(self.invert_p).map_err(|e| e.replace("`p`", "`invert_p`"))?;
        if let Some([low, high]) = self.range
            && !((low as f32) < high as f32 && (high as f32 - low as f32).is_finite())
        {
            return Err(format!(
                "`range` is [{low}, {high}]; expected two different numbers, the smaller first"
            ));
        }
        check_augment(input, self.p, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        draw_each(rng, self.p, self.modalities.as_deref(), row, |rng| Curve {
            gamma: self.gamma.draw(rng) as f32,
            invert: rng.chance(self.invert_p),
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_each(draw, row, |curve, voxels| self.bend(curve, voxels))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    fn bent(stage: &Gamma, gamma: f32, invert: bool, values: &[f32]) -> Vec<f32> {
        let draw = PerModality::from([("ct".to_owned(), Curve { gamma, invert })]);
        image_of(&stage.apply(&draw, row_of(values)).unwrap())
    }

    fn plain() -> Gamma {
        Gamma {
            keep_stats: false,
            ..Gamma::default()
        }
    }

    #[test]
    fn the_curve_is_the_formula_and_keeps_its_ends() {
        let values = [-1.0, 0.0, 1.0, 2.0, 3.0];
        assert_eq!(
            bent(&plain(), 2.0, false, &values),
            [-1.0, -0.75, 0.0, 1.25, 3.0]
        );
        assert_eq!(
            bent(&plain(), 2.0, true, &values),
            [-1.0, 0.75, 2.0, 2.75, 3.0]
        );
        assert_eq!(bent(&plain(), 1.5, false, &[4.0; 3]), [4.0; 3]);
    }

    #[test]
    fn a_fixed_range_makes_the_change_local() {
        let fixed = Gamma {
            range: Some([0.0, 1.0]),
            ..plain()
        };
        let found = bent(&fixed, 2.0, false, &[0.5, -3.0, 7.0, f32::INFINITY]);
        assert_eq!(found, [0.25, -3.0, 7.0, f32::INFINITY]);
        assert_eq!(bent(&fixed, 2.0, false, &[0.5, 0.75]), [0.25, 0.5625]);
    }

    #[test]
    fn statistics_are_kept_and_odd_voxels_left_alone() {
        let mut values: Vec<f32> = (0..2000)
            .map(|i| ((i * 31) % 997) as f32 * 0.3 - 40.0)
            .collect();
        values[7] = f32::NAN;
        let before = moments(&values, f32::is_finite);
        for (gamma, invert) in [(0.7, false), (1.5, true)] {
            let found = bent(&Gamma::default(), gamma, invert, &values);
            let after = moments(&found, f32::is_finite);
            assert!(found[7].is_nan() && after.count == 1999);
            assert!((after.mean - before.mean).abs() < 1e-3 && (after.sd - before.sd).abs() < 1e-3);
        }
    }
}
