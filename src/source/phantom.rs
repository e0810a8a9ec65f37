//! A seeded synthetic cohort: one random anatomy a subject, seen in several contrasts.
//!
//! Organs share their intensities with unlabelled blobs, and with each other in some contrasts, so
//! that position, shape and the other modality must be used: thresholds do not solve it.

mod anatomy;
mod cohort;
mod contrast;
mod field;
mod motion;
mod scene;
mod settings;
mod spec;
mod tissues;

pub use settings::{Contrast, LabelFrames, Lesions, Misalignment, PerModality};
pub use spec::PhantomSpec;

use super::{Cohort, Location, SourceError, SubjectRecord, VolumeHeader, VolumeRef};
use crate::volume::{Channel, Dtype, Grid, Role, Row, Split, VolumeError};
use cohort::PhantomCohort;
use scene::Scene;
use std::collections::BTreeMap;

impl PhantomSpec {
    pub(super) fn open(&self, seed: u64) -> Result<Box<dyn Cohort>, SourceError> {
        let options = |problem: String| SourceError::Options {
            problems: vec![problem],
        };
        let grid = Grid::with_spacing(self.size, self.spacing_mm)
            .map_err(|e| options(format!("`size` and `spacing_mm` make no grid: {e}")))?;
        let acquired = |name: &String| cohort::acquired(&grid, self.acquired_mm.get(name).copied());
        let grids = self
            .modalities
            .iter()
            .map(acquired)
            .collect::<Result<_, _>>();
        let mut cohort = PhantomCohort {
            spec: self.clone(),
            seed: self.seed.unwrap_or(seed),
            grid,
            grids: grids.map_err(|e| options(format!("`acquired_mm` makes no grid: {e}")))?,
            label_names: self.label_names(),
            subjects: Vec::new(),
        };
        cohort.subjects = (0..self.subjects).map(|i| cohort.record(i)).collect();
        Ok(Box::new(cohort))
    }
}

impl PhantomCohort {
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
            .map(|name| !rng.chance(spec.missing.of(name, 0.0)))
            .collect();
        let survivor = rng.below(present.len());
        if !present.contains(&true) {
            present[survivor] = true;
        }
        let volume = |name: &String, present: bool| VolumeRef {
            name: name.clone(),
            location: present.then_some(Location::Synthetic),
        };
        let labelled = split == Split::Train && spec.labelled.is_none_or(|n| index < n);
        let annotated = self.annotated(index, split, &present);
        let digits = (spec.subjects - 1).to_string().len().max(3);
        SubjectRecord {
            id: format!("phantom-{index:0digits$}"),
            patient: None,
            entities: BTreeMap::new(),
            cohort: "phantom".to_owned(),
            split,
            labelled,
            images: spec
                .modalities
                .iter()
                .zip(present)
                .map(|(n, p)| volume(n, p))
                .collect(),
            labels: self
                .label_names
                .iter()
                .zip(annotated)
                .map(|(n, p)| volume(n, p))
                .collect(),
        }
        .seal()
    }

    /// Which label columns a subject has.
    fn annotated(&self, index: usize, split: Split, present: &[bool]) -> Vec<bool> {
        match self.spec.labels {
            LabelFrames::First => vec![true],
            LabelFrames::One if split == Split::Train => {
                let there: Vec<usize> = (0..present.len()).filter(|m| present[*m]).collect();
                let chosen = there[self.rng(index, "annotated").below(there.len())];
                (0..present.len()).map(|m| m == chosen).collect()
            }
            LabelFrames::Each | LabelFrames::One => present.to_vec(),
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
        let scene = Scene::new(self, subject)?;
        Ok(Row {
            subject: subject.id.clone(),
            cohort: subject.cohort.clone(),
            split: subject.split,
            epoch: 0,
            sample: 0,
            view: String::new(),
            images: scene.images()?,
            labels: scene.labels()?,
            draws: Vec::new(),
            history: Vec::new(),
            ..Row::default()
        })
    }

    fn load_labels(&self, subject: &SubjectRecord) -> Result<Vec<Channel>, VolumeError> {
        Scene::new(self, subject)?.labels()
    }

    fn headers(&self, subject: &SubjectRecord) -> Result<Vec<VolumeHeader>, VolumeError> {
        let header = |role, name: &str, modality: usize, dtype| VolumeHeader {
            role,
            name: name.to_owned(),
            grid: self.grids[modality],
            dtype,
            remarks: Vec::new(),
        };
        let images = subject
            .images
            .iter()
            .enumerate()
            .filter(|(_, v)| v.location.is_some())
            .map(|(m, v)| header(Role::Image, &v.name, m, self.dtype(m)));
        let labels = subject.labels.iter().enumerate();
        let labels = labels.filter(|(_, v)| subject.reads_labels() && v.location.is_some());
        let labels = labels.map(|(i, v)| header(Role::Label, &v.name, self.frame(i), Dtype::U8));
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
