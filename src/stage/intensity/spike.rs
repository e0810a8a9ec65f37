//! Lays stripes over an image, as a spark during its acquisition does.

use super::{PerModality, apply_on_grid, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::fourier::add_wave;
use crate::kernel::moments::moments;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds spikes to k-space: each wrong coefficient is a plane wave over the whole image.
///
/// **Law** `v' = v + sum over spikes of strength * sd * cos(2 pi (f_x x / n_x + f_y y / n_y +
/// f_z z / n_z + phase))` with `sd` the standard deviation of the image's finite voxels, and whole numbers
/// `f = round(place * n)`, `place` uniform in [-1/2, 1/2). That is the real part of the image whose
/// k-space has coefficients of that size added at `f`; no transform is made. A voxel that is not
/// finite stays. `strength: 0` changes nothing. With probability `p` the step runs on a row; then every
/// modality takes part with probability `p_modality` and draws its own spikes.
/// **Source** TorchIO's `RandomSpike`, which measures spikes by the largest coefficient instead: on
/// standardised images, whose mean is 0, that is a number without a meaning.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Spike {
    /// Fewest and most spikes, each number between them equally likely; 0 to 100.
    pub spikes: [u32; 2],
    /// A wave's amplitude in standard deviations of the image: a number, a pair to draw uniformly between, or a `choice`; 0 to 100.
    pub strength: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// One spike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// Place in k-space along x, y, z, from -1/2 to 1/2.
    pub place: [f32; 3],
    /// Phase in turns.
    pub phase: f32,
    /// Amplitude in standard deviations of the image.
    pub strength: f32,
}

impl Default for Spike {
    fn default() -> Self {
        Self {
            spikes: [1, 1],
            strength: Range::Uniform([0.2, 1.0]),
            p: 0.1,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Augment for Spike {
    const NAME: &'static str = "spike";
    const EXAMPLE: &'static str =
        "{ spikes: [1, 2], strength: [0.2, 1.0], p: 0.1, modalities: [mr] }";
    type Draw = PerModality<Vec<Wave>>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let [fewest, most] = self.spikes;
        if fewest > most || most > 100 {
            return Err(format!(
                "`spikes` is [{fewest}, {most}]; expected two numbers from 0 to 100, the smaller first"
            ));
        }
        self.strength.check("strength", 0.0, 100.0)?;
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
            let [fewest, most] = self.spikes;
            let count = fewest + rng.below((most - fewest) as usize + 1) as u32;
            (0..count)
                .map(|_| Wave {
                    place: [(); 3].map(|()| rng.uniform(-0.5, 0.5) as f32),
                    phase: rng.unit() as f32,
                    strength: self.strength.draw(rng) as f32,
                })
                .collect()
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |waves, grid, voxels| {
            let (shape, sd) = (grid.shape_xyz(), moments(voxels, f32::is_finite).sd);
            for wave in waves {
                let amplitude = (f64::from(wave.strength) * sd) as f32;
                if amplitude != 0.0 {
                    let periods = [0, 1, 2].map(|a| {
                        (f64::from(wave.place[a]) * shape[a] as f64).round_ties_even() as i64
                    });
                    add_wave(voxels, shape, periods, f64::from(wave.phase), amplitude);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn striped(strength: f32, values: &[f32]) -> Vec<f32> {
        let wave = Wave {
            place: [0.25, -0.5, 0.01],
            phase: 0.125,
            strength,
        };
        let draw = PerModality::from([("ct".to_owned(), vec![wave])]);
        image_of(
            &Spike::default()
                .apply(&draw, row_on(values, [8, 4, 2]))
                .unwrap(),
        )
    }

    #[test]
    fn a_spike_is_a_wave_of_the_images_spread() {
        let values: Vec<f32> = (0..64)
            .map(|i| if i % 2 == 0 { 5.0 } else { 11.0 })
            .collect();
        // The standard deviation is 3; periods are 2, -2 and 0.
        let found = striped(0.5, &values);
        for (i, found) in found.iter().enumerate() {
            let (x, y) = ((i % 8) as f64, (i / 8 % 4) as f64);
            let turns = 2.0 * x / 8.0 - 2.0 * y / 4.0 + 0.125;
            let expected = f64::from(values[i]) + 1.5 * (std::f64::consts::TAU * turns).cos();
            assert!(
                (f64::from(*found) - expected).abs() < 2e-6,
                "{i}: {found} {expected}"
            );
        }
    }

    #[test]
    fn no_strength_changes_no_bit_and_odd_voxels_stay() {
        let mut values: Vec<f32> = (0..64).map(|i| (i as f32).sin()).collect();
        assert_eq!(striped(0.0, &values), values);
        assert_eq!(striped(1.0, &[2.5; 64]), [2.5; 64]);
        values[9] = f32::NAN;
        let found = striped(1.0, &values);
        assert_eq!(found.iter().filter(|v| v.is_nan()).count(), 1);
    }
}
