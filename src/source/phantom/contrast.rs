//! How tissues look in a modality: intensities, texture, bias, noise.

use super::PhantomCohort;
use super::anatomy::{AIR, Anatomy, FAT, FIRST_ORGAN, MAX_ORGANS, MUSCLE, SPINE, Tissues};
use super::field::{bias, smooth_noise, soften};
use crate::draw::{DrawKey, SampleRng};
use crate::volume::{Volume, VolumeError};

/// HU of organs above muscle: neighbours in this list differ by little or nothing.
const CT_ORGANS_HU: [f64; MAX_ORGANS as usize] = [55.0, 55.0, 95.0, 95.0, 30.0, 75.0, 115.0, 40.0];
/// Range to which `noise` refers in CT, in HU.
const CT_RANGE_HU: f64 = 400.0;
const MUSCLE_HU: f64 = 50.0;

/// MR signal of organs as a fraction of the gain: tells apart what CT does not, and confuses others.
const MR_ORGANS: [f64; MAX_ORGANS as usize] = [0.45, 0.75, 0.75, 0.45, 0.6, 0.9, 0.55, 0.68];

/// Whether a modality of that name is CT-like.
pub(super) fn is_ct(modality: &str) -> bool {
    modality.eq_ignore_ascii_case("ct")
}

/// Mean value of each tissue in the modality, before a subject's variation.
struct Palette {
    air: f64,
    fat: f64,
    muscle: f64,
    spine: f64,
    organs: [f64; MAX_ORGANS as usize],
}

impl PhantomCohort {
    fn palette(&self, modality: usize) -> Palette {
        let names = &self.spec.modalities;
        if is_ct(&names[modality]) {
            return Palette {
                air: -1000.0,
                fat: -100.0,
                muscle: MUSCLE_HU,
                spine: 450.0,
                organs: CT_ORGANS_HU.map(|above| MUSCLE_HU + above),
            };
        }
        if names[..modality].iter().all(|n| is_ct(n)) {
            return Palette {
                air: 0.01,
                fat: 0.95,
                muscle: 0.32,
                spine: 0.14,
                organs: MR_ORGANS,
            };
        }
        // The same for all subjects of a seed.
        let key = DrawKey {
            seed: self.seed,
            epoch: 0,
            subject: "phantom cohort",
            sample: 0,
        };
        let mut rng = key.rng(&format!("source.phantom.contrast[{modality}]"));
        let muscle = rng.uniform(0.35, 0.6);
        // An organ may be brighter or darker, but never as good as invisible.
        let organs = std::array::from_fn(|_| {
            let sign = if rng.chance(0.5) { 1.0 } else { -1.0 };
            muscle + sign * rng.uniform(0.12, 0.32)
        });
        Palette {
            air: 0.01,
            fat: rng.uniform(0.15, 0.95),
            muscle,
            spine: rng.uniform(0.1, 0.3),
            organs,
        }
    }

    /// Renders one modality of one subject from its tissue map.
    ///
    /// **Law** MR-like: gain · exp(bias) · (signal · texture) + noise, not below 0. CT-like: HU + texture + noise,
    /// rounded. Borders are softened by one voxel (partial volume) first.
    pub(super) fn image(
        &self,
        index: usize,
        modality: usize,
        anatomy: &Anatomy,
        tissues: &Tissues,
    ) -> Result<Volume, VolumeError> {
        let ct = is_ct(&self.spec.modalities[modality]);
        let mut rng = self.rng(index, &format!("image[{modality}]"));
        let means = self.means(&mut rng, modality, anatomy, if ct { 6.0 } else { 0.025 });
        let mut values: Vec<f32> = tissues
            .codes
            .iter()
            .map(|&code| means[usize::from(code)])
            .collect();
        let shape = self.grid.shape_zyx();
        soften(&mut values, shape);
        let texture = smooth_noise(&mut rng, shape, 6);
        let noise = |rng: &mut SampleRng| (self.spec.noise * rng.normal()) as f32;
        if ct {
            let voxels: Vec<i16> = values
                .iter()
                .zip(texture)
                .map(|(&hu, t)| {
                    // Air has no texture.
                    let grain = if hu > -500.0 { 8.0 * t } else { 0.0 };
                    (hu + grain + CT_RANGE_HU as f32 * noise(&mut rng)).round() as i16
                })
                .collect();
            return Volume::from_vec(voxels, self.grid);
        }
        let gain = rng.uniform(200.0, 1200.0) as f32;
        let bias = bias(&mut rng, shape, self.spec.bias_field);
        let voxels: Vec<f32> = values
            .iter()
            .zip(texture)
            .zip(bias)
            .map(|((&signal, t), b)| {
                (gain * (b * signal * (1.0 + 0.06 * t) + noise(&mut rng))).max(0.0)
            })
            .collect();
        Volume::from_vec(voxels, self.grid)
    }

    /// Mean of every tissue code in this subject; blobs look like their organs.
    fn means(
        &self,
        rng: &mut SampleRng,
        modality: usize,
        anatomy: &Anatomy,
        variation: f64,
    ) -> Vec<f32> {
        let palette = self.palette(modality);
        let mut means = vec![0.0; usize::from(FIRST_ORGAN)];
        means[usize::from(AIR)] = palette.air;
        means[usize::from(FAT)] = palette.fat;
        means[usize::from(MUSCLE)] = palette.muscle;
        means[usize::from(SPINE)] = palette.spine;
        let organs: Vec<f64> = palette.organs[..usize::from(self.spec.classes)]
            .iter()
            .map(|mean| mean + variation * rng.normal())
            .collect();
        let blobs = anatomy
            .likeness
            .iter()
            .map(|like| organs[like[modality % 2]]);
        means.extend(organs.iter().copied().chain(blobs));
        means.into_iter().map(|m| m as f32).collect()
    }
}
