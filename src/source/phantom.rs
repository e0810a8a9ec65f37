//! A seeded synthetic cohort: one random anatomy a subject, seen in several contrasts.
//!
//! Organs share their intensities with unlabelled blobs, and with each other in some contrasts, so
//! that position, shape and the other modality must be used: thresholds do not solve it.

mod anatomy;
mod contrast;
mod field;

use super::{Cohort, Location, SourceError, SubjectRecord, VolumeHeader, VolumeRef, name_problems};
use crate::draw::{DrawKey, SampleRng, check_probability};
use crate::volume::{Channel, Dtype, Grid, Role, Row, Split, Volume, VolumeError};
use anatomy::{Anatomy, MAX_ORGANS, Tissues};
use glam::{DAffine3, DQuat, DVec3};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Label of voxels that nobody annotated; training ignores them.
const NOT_ANNOTATED: u8 = 255;

/// A seeded synthetic multimodal cohort; needs no files.
///
/// Every subject has a body with fat and spine, organs (smoothly deformed ellipsoids at random places,
/// of random size and orientation; some touch, the last class is small) and unlabelled blobs with
/// the organs' intensities. A modality named `ct` is CT-like (HU); the first other one is MR-like;
/// each further one has a contrast of its own drawn from the seed. A subject depends on these
/// parameters, the seed and its number alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhantomSpec {
    /// Subjects in all, `validation` and `test` included.
    pub subjects: usize,
    /// Voxels along x, y, z; at least 16 each.
    #[serde(default = "default_size")]
    pub size: [usize; 3],
    /// Voxel size along x, y, z in mm.
    #[serde(default = "default_spacing")]
    pub spacing_mm: [f64; 3],
    /// Modalities in the order of columns; the labels follow the first.
    #[serde(default = "default_modalities")]
    pub modalities: Vec<String>,
    /// Organs, 1 to 8; label values are 1 to this number.
    #[serde(default = "default_classes")]
    pub classes: u8,
    /// Training subjects whose labels are used, the first by number; default: all.
    #[serde(default)]
    pub labelled: Option<usize>,
    /// Subjects that choose the best checkpoint.
    #[serde(default)]
    pub validation: usize,
    /// Subjects scored at the end.
    #[serde(default)]
    pub test: usize,
    /// Seed of the anatomy; default: the pipeline's.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Standard deviation of Gaussian noise, as a fraction of the modality's range (400 HU; in MR the
    /// subject's gain).
    #[serde(default = "default_noise")]
    pub noise: f64,
    /// Strength of the smooth multiplicative bias field of MR-like modalities: values are scaled by
    /// up to exp(±`bias_field`).
    #[serde(default = "default_bias")]
    pub bias_field: f64,
    /// Largest displacement in mm by which every modality but the first is moved, as a rigid motion
    /// drawn for each subject.
    #[serde(default)]
    pub misalign_mm: f64,
    /// Probability that a modality is missing; one always remains.
    #[serde(default)]
    pub missing: f64,
    /// Probability that an axial slice of a labelled training subject is not annotated: its voxels
    /// hold 255. At least one slice is annotated.
    #[serde(default)]
    pub partial_labels: f64,
}

fn default_size() -> [usize; 3] {
    [48; 3]
}

fn default_spacing() -> [f64; 3] {
    [1.5; 3]
}

fn default_modalities() -> Vec<String> {
    vec!["ct".to_owned(), "mr".to_owned()]
}

fn default_classes() -> u8 {
    3
}

fn default_noise() -> f64 {
    0.05
}

fn default_bias() -> f64 {
    0.3
}

impl PhantomSpec {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = name_problems("modality", self.modalities.iter().map(String::as_str));
        let mut refuse = |condition: bool, problem: String| {
            if condition {
                problems.push(problem);
            }
        };
        refuse(
            self.modalities.is_empty(),
            "`modalities` is empty; name at least one".to_owned(),
        );
        refuse(
            self.subjects == 0,
            "`subjects` is 0; ask for at least one".to_owned(),
        );
        refuse(
            self.size.iter().any(|&n| !(16..=1024).contains(&n)),
            format!(
                "`size` is {:?}; every axis needs 16 to 1024 voxels",
                self.size
            ),
        );
        refuse(
            self.spacing_mm.iter().any(|s| !(0.01..=100.0).contains(s)),
            format!(
                "`spacing_mm` is {:?}; every axis needs 0.01 to 100 mm",
                self.spacing_mm
            ),
        );
        refuse(
            !(1..=MAX_ORGANS).contains(&self.classes),
            format!(
                "`classes` is {}; allowed is 1 to {MAX_ORGANS}",
                self.classes
            ),
        );
        let kept = self.validation.saturating_add(self.test);
        refuse(
            kept > self.subjects,
            format!(
                "`validation` and `test` are {kept} of {} `subjects`; raise `subjects`",
                self.subjects
            ),
        );
        let train = self.subjects.saturating_sub(kept);
        refuse(
            self.labelled.is_some_and(|n| n > train),
            format!(
                "`labelled` is {}, but {train} subjects are left for training; lower it",
                self.labelled.unwrap_or_default()
            ),
        );
        for (name, value, most) in [
            ("noise", self.noise, 1.0),
            ("bias_field", self.bias_field, 2.0),
            ("misalign_mm", self.misalign_mm, 1000.0),
        ] {
            refuse(
                !(0.0..=most).contains(&value),
                format!("`{name}` is {value}; allowed is 0 to {most}"),
            );
        }
        for (name, p) in [
            ("missing", self.missing),
            ("partial_labels", self.partial_labels),
        ] {
            if let Err(problem) = check_probability(p) {
                problems.push(problem.replace("`p`", &format!("`{name}`")));
            }
        }
        problems
    }

    pub(super) fn open(&self, seed: u64) -> Result<Box<dyn Cohort>, SourceError> {
        let options = |problem: String| SourceError::Options {
            problems: vec![problem],
        };
        let grid = Grid::with_spacing(self.size, self.spacing_mm)
            .map_err(|e| options(format!("`size` and `spacing_mm` make no grid: {e}")))?;
        let mut cohort = PhantomCohort {
            spec: self.clone(),
            seed: self.seed.unwrap_or(seed),
            grid,
            label_names: vec![String::new()],
            subjects: Vec::new(),
        };
        cohort.subjects = (0..self.subjects).map(|i| cohort.record(i)).collect();
        Ok(Box::new(cohort))
    }
}

struct PhantomCohort {
    spec: PhantomSpec,
    seed: u64,
    grid: Grid,
    label_names: Vec<String>,
    subjects: Vec<SubjectRecord>,
}

impl PhantomCohort {
    fn rng(&self, index: usize, purpose: &str) -> SampleRng {
        let key = DrawKey {
            seed: self.seed,
            epoch: index as u64,
            subject: "phantom",
            sample: 0,
        };
        key.rng(&format!("source.phantom.{purpose}"))
    }

    fn record(&self, index: usize) -> SubjectRecord {
        let spec = &self.spec;
        let train = spec.subjects - spec.validation - spec.test;
        let split = match index {
            i if i < train => Split::Train,
            i if i < train + spec.validation => Split::Validation,
            _ => Split::Test,
        };
        let mut rng = self.rng(index, "missing");
        let mut present: Vec<bool> = spec
            .modalities
            .iter()
            .map(|_| !rng.chance(spec.missing))
            .collect();
        let survivor = rng.below(present.len());
        if !present.contains(&true) {
            present[survivor] = true;
        }
        let volume = |name: &String, present: bool| VolumeRef {
            name: name.clone(),
            location: present.then_some(Location::Synthetic),
        };
        let digits = (spec.subjects - 1).to_string().len().max(3);
        SubjectRecord {
            id: format!("phantom-{index:0digits$}"),
            cohort: "phantom".to_owned(),
            split,
            labelled: split == Split::Train && spec.labelled.is_none_or(|n| index < n),
            images: spec
                .modalities
                .iter()
                .zip(present)
                .map(|(n, p)| volume(n, p))
                .collect(),
            labels: self.label_names.iter().map(|n| volume(n, true)).collect(),
        }
        .seal()
    }

    fn index(&self, subject: &SubjectRecord) -> Result<usize, VolumeError> {
        let found = self.subjects.binary_search_by(|s| s.id.cmp(&subject.id));
        found.map_err(|_| VolumeError::Column {
            column: "subject_id".to_owned(),
            problem: format!(
                "`{}` is no subject of this phantom, which has {}",
                subject.id,
                self.subjects.len()
            ),
        })
    }

    fn anatomy(&self, index: usize) -> Anatomy {
        Anatomy::draw(
            &mut self.rng(index, "anatomy"),
            &self.grid,
            self.spec.classes,
        )
    }

    /// The motion of a modality against the first, about the grid's centre.
    ///
    /// **Law** The amount is uniform in [0, `misalign_mm`], shared at random between a translation and
    /// a rotation; no point within 0.5 of the largest extent from the centre moves further.
    fn pose(&self, index: usize, modality: usize) -> DAffine3 {
        if modality == 0 || self.spec.misalign_mm == 0.0 {
            return DAffine3::IDENTITY;
        }
        let mut rng = self.rng(index, &format!("pose[{modality}]"));
        let amount = rng.uniform(0.0, self.spec.misalign_mm);
        let share = rng.unit();
        let mut direction =
            || DVec3::new(rng.normal(), rng.normal(), rng.normal()).normalize_or(DVec3::X);
        let (shift, axis) = (direction(), direction());
        let extent = anatomy::extent_mm(&self.grid).max_element();
        // The chord of a turn is at most angle times radius.
        let angle = (1.0 - share) * amount / (0.5 * extent);
        DAffine3::from_rotation_translation(
            DQuat::from_axis_angle(axis, angle),
            shift * share * amount,
        )
    }

    fn labels(&self, subject: &SubjectRecord, index: usize, tissues: &Tissues) -> Vec<u8> {
        let mut labels = tissues.labels();
        if subject.split == Split::Train && self.spec.partial_labels > 0.0 {
            let [depth, height, width] = self.grid.shape_zyx();
            let mut rng = self.rng(index, "partial");
            let mut annotated: Vec<bool> = (0..depth)
                .map(|_| !rng.chance(self.spec.partial_labels))
                .collect();
            if !annotated.contains(&true) {
                annotated[depth / 2] = true;
            }
            for (slice, annotated) in labels.chunks_mut(height * width).zip(annotated) {
                if !annotated {
                    slice.fill(NOT_ANNOTATED);
                }
            }
        }
        labels
    }

    fn label_channels(
        &self,
        subject: &SubjectRecord,
        index: usize,
        tissues: &Tissues,
    ) -> Result<Vec<Channel>, VolumeError> {
        let volume = subject
            .reads_labels()
            .then(|| Volume::from_vec(self.labels(subject, index, tissues), self.grid))
            .transpose()?;
        Ok(vec![Channel {
            name: String::new(),
            volume,
        }])
    }

    fn dtype(&self, modality: usize) -> Dtype {
        if contrast::is_ct(&self.spec.modalities[modality]) {
            Dtype::I16
        } else {
            Dtype::F32
        }
    }
}

impl Cohort for PhantomCohort {
    fn modalities(&self) -> &[String] {
        &self.spec.modalities
    }

    fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn subjects(&self) -> &[SubjectRecord] {
        &self.subjects
    }

    fn load(&self, subject: &SubjectRecord) -> Result<Row, VolumeError> {
        let index = self.index(subject)?;
        let anatomy = self.anatomy(index);
        let tissues = anatomy.tissues(&self.grid, DAffine3::IDENTITY);
        let image = |modality: usize, wanted: &VolumeRef| -> Result<Channel, VolumeError> {
            let pose = self.pose(index, modality);
            let moved = (wanted.location.is_some() && pose != DAffine3::IDENTITY)
                .then(|| anatomy.tissues(&self.grid, pose));
            let volume = wanted
                .location
                .is_some()
                .then(|| {
                    self.image(
                        index,
                        modality,
                        &anatomy,
                        moved.as_ref().unwrap_or(&tissues),
                    )
                })
                .transpose()?;
            Ok(Channel {
                name: wanted.name.clone(),
                volume,
            })
        };
        let images = subject
            .images
            .par_iter()
            .enumerate()
            .map(|(m, v)| image(m, v))
            .collect::<Result<_, _>>()?;
        Ok(Row {
            subject: subject.id.clone(),
            cohort: subject.cohort.clone(),
            split: subject.split,
            epoch: 0,
            sample: 0,
            view: String::new(),
            images,
            labels: self.label_channels(subject, index, &tissues)?,
            draws: Vec::new(),
            history: Vec::new(),
        })
    }

    fn load_labels(&self, subject: &SubjectRecord) -> Result<Vec<Channel>, VolumeError> {
        let index = self.index(subject)?;
        let tissues = self.anatomy(index).tissues(&self.grid, DAffine3::IDENTITY);
        self.label_channels(subject, index, &tissues)
    }

    fn headers(&self, subject: &SubjectRecord) -> Result<Vec<VolumeHeader>, VolumeError> {
        let header = |role, name: &str, dtype| VolumeHeader {
            role,
            name: name.to_owned(),
            grid: self.grid,
            dtype,
        };
        let images = subject
            .images
            .iter()
            .enumerate()
            .filter(|(_, v)| v.location.is_some())
            .map(|(m, v)| header(Role::Image, &v.name, self.dtype(m)));
        let labels = subject
            .reads_labels()
            .then(|| header(Role::Label, "", Dtype::U8));
        Ok(images.chain(labels).collect())
    }

    fn digest(&self, subject: &SubjectRecord) -> Result<String, VolumeError> {
        let spec = serde_json::to_string(&self.spec).expect("parameters are plain data");
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"voxstream phantom 1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&(self.index(subject)? as u64).to_le_bytes());
        hasher.update(spec.as_bytes());
        Ok(hasher.finalize().to_hex().to_string())
    }
}

#[cfg(test)]
mod tests;
