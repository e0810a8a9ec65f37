//! A cohort whose volumes are NIfTI files; manifests and folders both end here.

use super::listed::Listed;
use super::split::{Candidate, Folds, SplitSpec};
use super::strata::traits;
use super::{Cohort, Location, SourceError, SubjectRecord, VolumeHeader, VolumeRef};
use crate::store::Version;
use crate::volume::nifti::LabelValues;
use crate::volume::{Channel, Dtype, Role, Row, Scaling, VolumeError, Warning, WarningKind, nifti};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Subjects in files.
#[derive(Debug, Clone)]
pub struct FileCohort {
    modalities: Vec<String>,
    label_names: Vec<String>,
    subjects: Vec<SubjectRecord>,
    label_values: LabelValues,
    warnings: Vec<Warning>,
    folds: Option<Folds>,
}

impl FileCohort {
    /// Applies the split and seals the labels of unlabelled training subjects; label files are read by
    /// `label_values`.
    pub(super) fn try_new(
        cohort: &str,
        modalities: Vec<String>,
        label_names: Vec<String>,
        mut listed: Vec<Listed>,
        split: &SplitSpec,
        label_values: &LabelValues,
    ) -> Result<Self, SourceError> {
        listed.sort_by(|a, b| a.id.cmp(&b.id));
        let traits = match split.folds {
            Some(_) => traits(&listed, split.stratify.unwrap_or_default(), label_values),
            None => Vec::new(),
        };
        let candidates: Vec<Candidate<'_>> = (listed.iter().enumerate())
            .map(|(i, s)| Candidate {
                id: &s.id,
                patient: s.patient.as_deref(),
                placed: s.placed,
                has_labels: s.has_labels(),
                traits: traits.get(i).map_or(&[], Vec::as_slice),
            })
            .collect();
        let resolved = split.resolve(&candidates)?;
        drop(candidates);
        let subjects = listed
            .into_iter()
            .zip(resolved.places)
            .filter_map(|(s, place)| {
                let (split, labelled) = place?;
                let record = SubjectRecord {
                    patient: s.patient,
                    entities: s.entities,
                    id: s.id,
                    cohort: cohort.to_owned(),
                    split,
                    labelled,
                    images: s.images,
                    labels: s.labels,
                };
                Some(record.seal())
            })
            .collect();
        Ok(Self {
            modalities,
            label_names,
            subjects,
            label_values: label_values.clone(),
            warnings: Vec::new(),
            folds: resolved.folds,
        })
    }

    /// The same cohort with warnings about the source, in words.
    pub(super) fn with_warnings(mut self, messages: impl IntoIterator<Item = String>) -> Self {
        // A run keeps one message a kind, so all of them are one.
        let messages: Vec<String> = messages.into_iter().collect();
        self.warnings = (!messages.is_empty())
            .then(|| Warning {
                stage: "source".to_owned(),
                modality: None,
                kind: WarningKind::Source,
                message: messages.join("; "),
            })
            .into_iter()
            .collect();
        self
    }
}

/// The volumes that are there, images first.
fn present(
    subject: &SubjectRecord,
) -> impl Iterator<Item = (Role, &VolumeRef, &Path, Option<usize>)> {
    let images = subject.images.iter().map(|v| (Role::Image, v));
    let labels = subject
        .labels
        .iter()
        .filter(|_| subject.reads_labels())
        .map(|v| (Role::Label, v));
    images
        .chain(labels)
        .filter_map(|(role, volume)| match &volume.location {
            Some(Location::File { path, index }) => Some((role, volume, path.as_path(), *index)),
            Some(Location::Synthetic) | None => None,
        })
}

fn channels(
    subject: &SubjectRecord,
    role: Role,
    refs: &[VolumeRef],
    values: &LabelValues,
) -> Result<Vec<Channel>, VolumeError> {
    refs.iter()
        .map(|wanted| {
            let found = present(subject).find(|(r, v, ..)| *r == role && v.name == wanted.name);
            let volume = found
                .map(|(_, _, path, index)| match role {
                    Role::Image => nifti::read(path, index),
                    Role::Label => nifti::read_labels(path, index, values),
                })
                .transpose()?;
            Ok(Channel {
                name: wanted.name.clone(),
                volume,
            })
        })
        .collect()
}

fn needs_an_image(subject: &SubjectRecord) -> Result<(), VolumeError> {
    if present(subject).any(|(role, ..)| role == Role::Image) {
        return Ok(());
    }
    Err(VolumeError::Column {
        column: "image".to_owned(),
        problem: format!(
            "subject `{}` has no image of any modality; name one or leave the subject out",
            subject.id
        ),
    })
}

/// Label maps are loaded as u8, or u16 where a class number needs it; a header tells only of bytes
/// without scaling that they stay u8.
fn label_dtype(header: &nifti::Header, values: &LabelValues) -> Dtype {
    let stays = header.scaling == Scaling::NONE && !values.widens();
    match (header.dtype.bytes(), stays) {
        (1, true) => Dtype::U8,
        (1, false) => Dtype::U16,
        _ => header.dtype,
    }
}

/// Adds a volume of a store to the digest of a subject: its URL, and what tells this content of the
/// object from another, which is the store's tag if it has one.
fn update_with_object(
    hasher: &mut blake3::Hasher,
    role: Role,
    name: &str,
    path: &Path,
    index: Option<usize>,
    version: &Version,
) {
    let url = path.to_string_lossy();
    let changed = version.changed_nanos.to_string();
    let tag = version.tag.as_deref().unwrap_or(&changed);
    hasher.update(&[2 + u8::from(role == Role::Label)]);
    for part in [name, url.as_ref(), tag] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&index.map_or(u64::MAX, |i| i as u64).to_le_bytes());
    hasher.update(&version.bytes.to_le_bytes());
}

impl Cohort for FileCohort {
    fn modalities(&self) -> &[String] {
        &self.modalities
    }

    fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn subjects(&self) -> &[SubjectRecord] {
        &self.subjects
    }

    fn load(&self, subject: &SubjectRecord) -> Result<Row, VolumeError> {
        needs_an_image(subject)?;
        Ok(Row {
            subject: subject.id.clone(),
            cohort: subject.cohort.clone(),
            split: subject.split,
            epoch: 0,
            sample: 0,
            view: String::new(),
            images: channels(subject, Role::Image, &subject.images, &self.label_values)?,
            labels: channels(subject, Role::Label, &subject.labels, &self.label_values)?,
            draws: Vec::new(),
            history: Vec::new(),
            ..Row::default()
        })
    }

    fn load_labels(&self, subject: &SubjectRecord) -> Result<Vec<Channel>, VolumeError> {
        channels(subject, Role::Label, &subject.labels, &self.label_values)
    }

    fn headers(&self, subject: &SubjectRecord) -> Result<Vec<VolumeHeader>, VolumeError> {
        needs_an_image(subject)?;
        present(subject)
            .map(|(role, volume, path, index)| {
                let header = nifti::read_header(path)?;
                header.choose(path, index)?;
                Ok(VolumeHeader {
                    role,
                    name: volume.name.clone(),
                    grid: header.grid,
                    dtype: match role {
                        Role::Image => header.dtype,
                        Role::Label => label_dtype(&header, &self.label_values),
                    },
                    remarks: header.remarks,
                })
            })
            .collect()
    }

    fn prefetch_headers(&self, subjects: &[&SubjectRecord]) {
        let paths: Vec<&Path> = (subjects.iter())
            .flat_map(|subject| present(subject).map(|(_, _, path, _)| path))
            .collect();
        nifti::prefetch_headers(&paths);
    }

    fn fetch_bytes(&self, subject: &SubjectRecord) -> u64 {
        let bytes = present(subject).map(|(_, _, path, _)| nifti::fetch_bytes(path));
        bytes.max().unwrap_or(0)
    }

    fn label_values(&self) -> Option<&LabelValues> {
        Some(&self.label_values)
    }

    fn folds(&self) -> Option<&Folds> {
        self.folds.as_ref()
    }

    fn warnings(&self) -> Vec<(Option<String>, Warning)> {
        self.warnings.iter().map(|w| (None, w.clone())).collect()
    }

    fn digest(&self, subject: &SubjectRecord) -> Result<String, VolumeError> {
        let mut hasher = blake3::Hasher::new();
        for (role, volume, path, index) in present(subject) {
            if let Some(version) = nifti::object_version(path)? {
                update_with_object(&mut hasher, role, &volume.name, path, index, &version);
                continue;
            }
            let io = |source| VolumeError::Io {
                path: PathBuf::from(path),
                action: "looking for the file, its size and time",
                source,
            };
            let metadata = std::fs::metadata(path).map_err(io)?;
            let changed = metadata.modified().map_err(io)?;
            // Before 1970 the clock is wrong anyway; any constant will do.
            let nanos = changed
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_nanos());
            // Runs that are started in different folders spell a path differently.
            let real = path.canonicalize().map_err(io)?;
            let text = real.to_string_lossy();
            hasher.update(&[u8::from(role == Role::Label)]);
            for part in [volume.name.as_str(), text.as_ref()] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            hasher.update(&index.map_or(u64::MAX, |i| i as u64).to_le_bytes());
            hasher.update(&metadata.len().to_le_bytes());
            hasher.update(&nanos.to_le_bytes());
        }
        self.label_values.update_digest(&mut hasher);
        Ok(hasher.finalize().to_hex().to_string())
    }
}
