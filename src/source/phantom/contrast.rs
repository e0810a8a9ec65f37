//! How tissues look in a modality: intensities, texture, bias, noise.

use super::anatomy::{AIR, Anatomy, FAT, FIRST_ORGAN, MAX_ORGANS, MUSCLE, SPINE};
use super::cohort::PhantomCohort;
use super::field::{averaged, bias, smooth_noise, soften};
use super::settings::Contrast;
use super::spec::{BIAS_FIELD, NOISE};
use super::tissues::Tissues;
use crate::draw::{DrawKey, SampleRng};
use crate::volume::{Dtype, Volume, VolumeError};

/// HU of organs above muscle: neighbours in this list differ by little or nothing.
const CT_ORGANS_HU: [f64; MAX_ORGANS as usize] = [55.0, 55.0, 95.0, 95.0, 30.0, 75.0, 115.0, 40.0];
/// Range to which `noise` refers in CT, in HU.
const CT_RANGE_HU: f64 = 400.0;
const MUSCLE_HU: f64 = 50.0;
/// Lesions in CT, in HU: darker than muscle and every organ.
const CT_LESION_HU: f64 = 20.0;
/// Lesions in MR-like modalities: this share of the way from muscle to the full signal.
const MR_LESION: f64 = 0.8;

/// MR signal of organs as a fraction of the gain: tells apart what CT does not, and confuses others.
const MR_ORGANS: [f64; MAX_ORGANS as usize] = [0.45, 0.75, 0.75, 0.45, 0.6, 0.9, 0.55, 0.68];

/// Returns `true` if a modality of that name is CT-like.
fn is_ct(modality: &str) -> bool {
    modality.eq_ignore_ascii_case("ct")
}

/// Mean value of each tissue in the modality, before a subject's variation.
struct Palette {
    air: f64,
    fat: f64,
    muscle: f64,
    spine: f64,
    organs: [f64; MAX_ORGANS as usize],
    lesion: f64,
}

impl PhantomCohort {
    /// Stored type of a modality.
    pub(super) fn dtype(&self, modality: usize) -> Dtype {
        if is_ct(&self.spec.modalities[modality]) {
            Dtype::I16
        } else {
            Dtype::F32
        }
    }

    fn palette(&self, modality: usize) -> Palette {
        let names = &self.spec.modalities;
        if is_ct(&names[modality]) {
            return Palette {
                air: -1000.0,
                fat: -100.0,
                muscle: MUSCLE_HU,
                spine: 450.0,
                organs: CT_ORGANS_HU.map(|above| MUSCLE_HU + above),
                lesion: CT_LESION_HU,
            };
        }
        if names[..modality].iter().all(|n| is_ct(n)) {
            return Palette {
                air: 0.01,
                fat: 0.95,
                muscle: 0.32,
                spine: 0.14,
                organs: MR_ORGANS,
                lesion: 0.32 + MR_LESION * (1.0 - 0.32),
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
            lesion: muscle + MR_LESION * (1.0 - muscle),
        }
    }

    /// Renders one modality of one subject from its tissue map.
    ///
    /// **Law** MR-like: gain · exp(bias) · (signal · texture) + noise, not below 0. CT-like: HU + texture + noise,
    /// rounded. Borders are softened by one voxel (partial volume) first; where the modality's voxels are
    /// larger than the cohort's, the tissue is averaged over them.
    pub(super) fn image(
        &self,
        index: usize,
        modality: usize,
        anatomy: &Anatomy,
        tissues: &Tissues,
    ) -> Result<Volume, VolumeError> {
        let ct = is_ct(&self.spec.modalities[modality]);
        let mut rng = self.rng(index, &format!("image[{modality}]"));
        let name = &self.spec.modalities[modality];
        let grid = self.grids[modality];
        let means = self.means(&mut rng, modality, anatomy, if ct { 6.0 } else { 0.025 });
        let mut values: Vec<f32> = tissues
            .codes
            .iter()
            .map(|&code| means[usize::from(code)])
            .collect();
        let (shape, [x, y, z]) = (grid.shape_zyx(), self.parts(modality));
        soften(&mut values, [shape[0] * z, shape[1] * y, shape[2] * x]);
        let values = averaged(values, shape, [z, y, x]);
        let texture = smooth_noise(&mut rng, shape, 6);
        let std = self.spec.noise.of(name, NOISE);
        let noise = |rng: &mut SampleRng| (std * rng.normal()) as f32;
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
            return Volume::from_vec(voxels, grid);
        }
        let gain = rng.uniform(200.0, 1200.0) as f32;
        let bias = bias(&mut rng, shape, self.spec.bias_field.of(name, BIAS_FIELD));
        let voxels: Vec<f32> = values
            .iter()
            .zip(texture)
            .zip(bias)
            .map(|((&signal, t), b)| {
                (gain * (b * signal * (1.0 + 0.06 * t) + noise(&mut rng))).max(0.0)
            })
            .collect();
        Volume::from_vec(voxels, grid)
    }

    /// Returns `true` if the modality shows the border of an organ.
    fn shows(&self, modality: usize, organ: usize) -> bool {
        match self.spec.contrast {
            Contrast::Shared => true,
            Contrast::Complementary => organ % self.spec.modalities.len() == modality,
        }
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
            .enumerate()
            .map(|(organ, mean)| match self.shows(modality, organ) {
                true => mean,
                false => palette.muscle,
            })
            .collect();
        let blobs = anatomy
            .likeness
            .iter()
            .map(|like| organs[like[modality % 2]]);
        let lesions = self.spec.lesions.as_ref();
        let seen = lesions.is_some_and(|l| l.is_seen_in(&self.spec.modalities[modality]));
        let lesions = anatomy.hosts.iter().map(|&host| match seen {
            true => palette.lesion,
            false => organs[host],
        });
        means.extend(organs.iter().copied().chain(blobs).chain(lesions));
        means.into_iter().map(|m| m as f32).collect()
    }
}
