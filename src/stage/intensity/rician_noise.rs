//! Adds the noise of magnitude images.

use super::{LARGEST, PerModality, apply_each, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::moments::finite_bounds;
use crate::kernel::rician::add_rician;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds Rician noise: Gaussian in both parts of a complex signal whose magnitude is shown.
///
/// **Law** with `a = v - zero`, `v' = zero + sqrt((a + std n1)^2 + (std n2)^2)`, `n1` and `n2` standard
/// normal, independent from voxel to voxel. Air gets brighter (by 1.25 `std`), bright tissue gets
/// Gaussian noise. `zero` is the value without signal: where left out it is the image's smallest
/// finite value, which is air before and after standardisation alike. Voxels below a given `zero`
/// hold no signal and stay, as do those that are not a number. `std: 0` changes nothing. With
/// probability `p` the step runs on a row; then every modality takes part with probability
/// `p_modality` and draws its own `std` and a seed from which its noise follows.
/// **Source** Gudbjartsson and Patz 1995.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RicianNoise {
    /// Standard deviation of the noise in each part, in the units that arrive: a number, a pair to draw uniformly between, or a `choice`; 0 to 1e6.
    pub std: Range,
    /// Value without signal, in the units that arrive; the image's smallest where left out.
    pub zero: Option<f64>,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// Noise of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Standard deviation.
    pub std: f32,
    /// Seed of [`add_rician`].
    pub seed: u64,
}

impl Default for RicianNoise {
    fn default() -> Self {
        Self {
            std: Range::Uniform([0.0, 0.1]),
            zero: None,
            p: 0.15,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Augment for RicianNoise {
    const NAME: &'static str = "rician_noise";
    const EXAMPLE: &'static str = "{ std: [0.0, 0.1], p: 0.15, modalities: [mr] }";
    type Draw = PerModality<Noise>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.std.check("std", 0.0, LARGEST)?;
        if let Some(zero) = self.zero
            && (zero.is_nan() || zero.abs() > LARGEST)
        {
            return Err(format!(
                "`zero` is {zero}; expected a number from -{LARGEST} to {LARGEST}, or none for the image's smallest"
            ));
        }
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| Noise {
            std: self.std.draw(rng) as f32,
            seed: rng.next_seed(),
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_each(draw, row, |noise, voxels| {
            let smallest = || finite_bounds(voxels).map(|[low, _]| low);
            let zero = self.zero.map(|z| z as f32).or_else(smallest);
            if let Some(zero) = zero
                && noise.std > 0.0
            {
                add_rician(voxels, zero, noise.std, noise.seed);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    fn noisy(stage: &RicianNoise, std: f32, values: &[f32]) -> Vec<f32> {
        let draw = PerModality::from([("ct".to_owned(), Noise { std, seed: 8 })]);
        image_of(&stage.apply(&draw, row_of(values)).unwrap())
    }

    #[test]
    fn air_is_brightened_as_rayleigh_says() {
        let mut values = vec![-4.0; 40_000];
        values[0] = f32::NAN;
        let found = noisy(&RicianNoise::default(), 0.5, &values);
        assert!(found[0].is_nan() && found[1..].iter().all(|v| *v >= -4.0));
        let mean = found[1..].iter().map(|v| f64::from(*v) + 4.0).sum::<f64>() / 39_999.0;
        // sqrt(pi / 2) = 1.2533 standard deviations; the standard error is 0.655 / 200 of one.
        assert!((mean / 0.5 - 1.2533).abs() < 3.0 * 0.0033, "{mean}");
    }

    #[test]
    fn a_given_zero_spares_what_lies_below_and_no_noise_changes_no_bit() {
        let stage = RicianNoise {
            zero: Some(0.0),
            ..RicianNoise::default()
        };
        let values = [-3.0, -0.1, 0.3, 5.0];
        let found = noisy(&stage, 0.2, &values);
        assert_eq!(found[..2], values[..2]);
        assert!(found[2] != 0.3 && found[3] != 5.0);
        assert_eq!(noisy(&stage, 0.0, &values), values);
        assert_eq!(noisy(&RicianNoise::default(), 0.0, &values), values);
    }
}
