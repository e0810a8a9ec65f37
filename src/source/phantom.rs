//! A seeded synthetic cohort: one random anatomy a subject, seen in several contrasts.
//!
//! Organs share their intensities with unlabelled blobs, and with each other in some contrasts, so
//! that position, shape and the other modality must be used: thresholds do not solve it.

mod anatomy;
mod contrast;
mod field;
mod spec;

pub use spec::PhantomSpec;

use super::{Cohort, Location, SourceError, SubjectRecord, VolumeHeader, VolumeRef};
use crate::draw::{DrawKey, SampleRng};
use crate::volume::{Channel, Dtype, Grid, Role, Row, Split, Volume, VolumeError};
use anatomy::{Anatomy, Tissues};
use glam::{DAffine3, DQuat, DVec3};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Label of voxels that nobody annotated; training ignores them.
const NOT_ANNOTATED: u8 = 255;

impl PhantomSpec {
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
            patient: None,
            entities: BTreeMap::new(),
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
            ..Row::default()
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
            remarks: Vec::new(),
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
