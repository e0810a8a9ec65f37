//! What a data set is made of: grids of all volumes by their headers, voxels of a bounded sample.
//!
//! **Source** the fingerprint follows nnU-Net's (Isensee et al., Nature Methods 2021): shapes, spacings,
//! and intensities inside the labels; class volumes and components are added.

mod figures;
mod sample;
pub mod summary;

pub use figures::{ClassPrint, Intensity, VolumePrint, moments};

use super::error::InitError;
use super::layout::Layout;
use crate::sink::{FingerprintClassRow, FingerprintRow, causes, write_table};
use crate::source::reading::{Finding, Severity};
use crate::source::{RegistrationSpec, SourceSpec, SubjectRecord, VolumeHeader};
use crate::volume::Role;
use crate::volume::row::column_name;
use rayon::prelude::*;
use std::path::Path;

/// What a data set is made of.
#[derive(Debug)]
pub struct Fingerprint {
    /// Modalities in the order of the source.
    pub modalities: Vec<String>,
    /// Label columns in the order of the source.
    pub label_names: Vec<String>,
    /// Every subject, sorted by id.
    pub subjects: Vec<SubjectRecord>,
    /// Every volume whose header can be read.
    pub volumes: Vec<VolumePrint>,
    /// Values of the sampled label maps, 0 left out.
    pub classes: Vec<ClassPrint>,
    /// Positions of the subjects whose voxels were read.
    pub sampled: Vec<usize>,
    /// Subjects that cannot be read, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// What headers say about volumes that do not fit each other, by subject.
    pub mismatches: Vec<(String, Finding)>,
    /// Volumes on another grid than their subject's first image.
    pub other_grids: usize,
}

impl Fingerprint {
    /// Reads every header and the voxels of at most `sample` subjects, evenly spaced by id; those
    /// with labels first.
    ///
    /// **Errors** if the source cannot be opened, or no header can be read.
    pub fn measure(layout: &Layout, sample: usize) -> Result<Self, InitError> {
        let spec = SourceSpec::new(layout.source.clone());
        let cohort = spec.open(Path::new(""), 0)?;
        let subjects = cohort.subjects().to_vec();
        let headers: Vec<_> = (subjects.par_iter()).map(|s| cohort.headers(s)).collect();
        let mut print = Self {
            modalities: cohort.modalities().to_vec(),
            label_names: cohort.label_names().to_vec(),
            subjects,
            volumes: Vec::new(),
            classes: Vec::new(),
            sampled: Vec::new(),
            unreadable: Vec::new(),
            mismatches: Vec::new(),
            other_grids: 0,
        };
        for (i, headers) in headers.into_iter().enumerate() {
            match headers {
                Ok(headers) => print.add_headers(i, &headers),
                Err(error) => {
                    let id = print.subjects[i].id.clone();
                    print.unreadable.push((id, causes(&error)));
                }
            }
        }
        if print.volumes.is_empty() {
            let (subject, problem) = print.unreadable.swap_remove(0);
            return Err(InitError::Unreadable { subject, problem });
        }
        print.sampled = print.chosen(sample);
        let read: Vec<_> = (print.sampled.par_iter())
            .map(|&i| sample::read(&print.subjects[i], &layout.ignore))
            .collect();
        for (i, read) in print.sampled.clone().into_iter().zip(read) {
            match read {
                Ok(read) => print.add_sample(i, read),
                Err(problem) => print
                    .unreadable
                    .push((print.subjects[i].id.clone(), problem)),
            }
        }
        Ok(print)
    }

    fn add_headers(&mut self, subject: usize, headers: &[VolumeHeader]) {
        let spec = RegistrationSpec::default();
        let id = &self.subjects[subject].id;
        let serious = |f: &Finding| f.severity >= Severity::Warning;
        let findings = spec.findings(headers).into_iter().filter(serious);
        self.mismatches
            .extend(findings.map(|finding| (id.clone(), finding)));
        let first = headers
            .iter()
            .find(|h| h.role == Role::Image)
            .map(|h| h.grid);
        for header in headers {
            let world = header.grid.along_world();
            let same = first.is_none_or(|f| header.grid.is_same(&f, spec.tolerance_mm));
            self.other_grids += usize::from(!same);
            self.volumes.push(VolumePrint {
                subject,
                role: header.role,
                name: header.name.clone(),
                orientation: header.grid.orientation(),
                shape_xyz: world.shape_xyz(),
                spacing_mm: world.spacing_mm(),
                dtype: header.dtype.to_string(),
                bytes: (header.grid.voxel_count() * header.dtype.bytes()) as u64,
                intensity: None,
            });
        }
    }

    /// Subjects to sample: evenly spaced among those with labels, then among the others.
    fn chosen(&self, sample: usize) -> Vec<usize> {
        let is_labelled: Vec<usize> = self.labelled().collect();
        let readable = |i: &usize| self.volumes.iter().any(|v| v.subject == *i);
        let all = (0..self.subjects.len()).filter(readable);
        let (labelled, others): (Vec<usize>, Vec<usize>) =
            all.partition(|i| is_labelled.contains(i));
        let pick = |from: &[usize], count: usize| -> Vec<usize> {
            let count = count.min(from.len());
            (0..count).map(|k| from[k * from.len() / count]).collect()
        };
        let mut chosen = pick(&labelled, sample);
        chosen.extend(pick(&others, sample - chosen.len()));
        chosen.sort_unstable();
        chosen
    }

    fn add_sample(&mut self, subject: usize, read: sample::Sample) {
        for (name, intensity) in read.images {
            let of = |v: &&mut VolumePrint| {
                v.subject == subject && v.role == Role::Image && v.name == name
            };
            if let Some(volume) = self.volumes.iter_mut().find(of) {
                volume.intensity = Some(intensity);
            }
        }
        let classes = read.classes.into_iter();
        self.classes
            .extend(classes.map(|class| ClassPrint { subject, ..class }));
    }

    /// Positions of the subjects with labels.
    pub fn labelled(&self) -> impl Iterator<Item = usize> {
        let has = |i: &usize| {
            self.subjects[*i]
                .labels
                .iter()
                .any(|l| l.location.is_some())
        };
        (0..self.subjects.len()).filter(has)
    }

    /// Those of them whose voxels were read.
    pub fn labelled_and_sampled(&self) -> impl Iterator<Item = usize> {
        let is_read = |i: &usize| self.sampled.contains(i) && !self.is_unreadable(*i);
        self.labelled().filter(is_read)
    }

    fn is_unreadable(&self, subject: usize) -> bool {
        let id = &self.subjects[subject].id;
        self.unreadable
            .iter()
            .any(|(unreadable, _)| unreadable == id)
    }

    /// Images of a modality.
    pub fn images<'a>(&'a self, modality: &'a str) -> impl Iterator<Item = &'a VolumePrint> {
        (self.volumes.iter()).filter(move |v| v.role == Role::Image && v.name == modality)
    }

    /// The first image of each subject: preparation takes its grid.
    pub fn first_images(&self) -> Vec<&VolumePrint> {
        let mut first: Vec<&VolumePrint> = Vec::new();
        for volume in self.volumes.iter().filter(|v| v.role == Role::Image) {
            if first.last().is_none_or(|f| f.subject != volume.subject) {
                first.push(volume);
            }
        }
        first
    }

    /// Values above 0 of the sampled label maps and in how many subjects each is, ignored ones left out.
    pub fn values(&self, ignore: &[i64]) -> Vec<(i64, usize)> {
        let mut values: Vec<(i64, usize)> = Vec::new();
        let mut found: Vec<(i64, usize)> =
            self.classes.iter().map(|c| (c.value, c.subject)).collect();
        found.sort_unstable();
        found.dedup();
        for (value, _) in found.into_iter().filter(|(v, _)| !ignore.contains(v)) {
            match values.last_mut().filter(|(last, _)| *last == value) {
                Some((_, count)) => *count += 1,
                None => values.push((value, 1)),
            }
        }
        values
    }

    /// Writes `fingerprint.parquet` and `fingerprint_classes.parquet` into a folder, which is made.
    ///
    /// **Errors** if a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), InitError> {
        let patient = |i: usize| {
            let record: &SubjectRecord = &self.subjects[i];
            record.patient.as_ref().unwrap_or(&record.id).clone()
        };
        let volumes: Vec<FingerprintRow> = (self.volumes.iter())
            .map(|v| v.row(&self.subjects[v.subject].id, patient(v.subject)))
            .collect();
        let classes: Vec<FingerprintClassRow> = (self.classes.iter())
            .map(|c| FingerprintClassRow {
                subject_id: self.subjects[c.subject].id.clone(),
                volume: column_name(Role::Label, &c.name),
                value: c.value,
                volume_ml: c.volume_ml,
                components: i32::try_from(c.components).unwrap_or(i32::MAX),
                largest_ml: c.largest_ml,
            })
            .collect();
        write_table(&folder.join("fingerprint.parquet"), &volumes)?;
        write_table(&folder.join("fingerprint_classes.parquet"), &classes)?;
        Ok(())
    }
}

impl VolumePrint {
    fn row(&self, subject: &str, patient: String) -> FingerprintRow {
        let [x, y, z] = self.shape_xyz.map(|n| n as i32);
        let figures = self.intensity.as_ref();
        let percentiles = figures.and_then(|f| f.percentiles(&[0.5, 50.0, 99.5]));
        let percentile = |i: usize| percentiles.as_ref().map(|p| p[i]);
        let moments = figures.and_then(Intensity::moments);
        let foreground = |f: &Intensity| match f.inside_labels {
            true => "labels".to_owned(),
            false => "nonzero".to_owned(),
        };
        FingerprintRow {
            subject_id: subject.to_owned(),
            patient,
            volume: column_name(self.role, &self.name),
            orientation: self.orientation.clone(),
            shape_x: x,
            shape_y: y,
            shape_z: z,
            spacing_x_mm: self.spacing_mm[0],
            spacing_y_mm: self.spacing_mm[1],
            spacing_z_mm: self.spacing_mm[2],
            dtype: self.dtype.clone(),
            bytes: self.bytes as i64,
            low: figures.map(|f| f.range[0]),
            high: figures.map(|f| f.range[1]),
            zero_share: figures.map(|f| f.zero_share),
            foreground: figures.map(foreground),
            foreground_voxels: figures.map(|f| f.foreground.len() as i64),
            p00_5: percentile(0),
            p50: percentile(1),
            p99_5: percentile(2),
            mean: moments.map(|[mean, _]| mean),
            sd: moments.map(|[_, sd]| sd),
        }
    }
}
