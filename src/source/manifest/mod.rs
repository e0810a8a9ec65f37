//! A table that names a file for each subject and modality.

mod cells;
mod columns;
mod condition;
mod delimited;
mod lists;
mod spec;
mod table;

pub use columns::{ColumnRef, ManifestColumns};
pub use delimited::Delimiter;
pub(crate) use delimited::{TableTexts, texts};
pub use spec::ManifestSpec;

use super::files::FileCohort;
use super::listed::Listed;
use super::{Location, SourceError, VolumeRef, name_problems, resolve_path};
use crate::store;
use crate::volume::Split;
use crate::volume::nifti::LabelValues;
use delimited::Asked;
use std::collections::HashMap;
use std::path::Path;
use table::{Table, Texts};

impl ManifestSpec {
    pub(super) fn modalities(&self) -> Vec<String> {
        match &self.columns {
            Some(columns) => columns.images.0.iter().map(|(n, _)| n.clone()).collect(),
            None => self.modalities.clone().unwrap_or_default(),
        }
    }

    pub(super) fn label_names(&self) -> Vec<String> {
        match &self.columns {
            Some(columns) => columns.all_labels().into_iter().map(|(n, _)| n).collect(),
            None => vec![String::new()],
        }
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match (&self.columns, &self.modalities) {
            (Some(_), Some(_)) => problems.push(
                "`modalities` names the channels of a Decathlon list; with `columns` name them in `columns.images`".to_owned(),
            ),
            (Some(columns), None) => problems.extend(columns.problems()),
            (None, Some(names)) => problems.extend(name_problems("modality", names.iter().map(String::as_str))),
            (None, None) if !self.path.to_lowercase().ends_with(".json") => {
                problems.push("`columns` is missing; say which columns hold `subject` and `images`".to_owned());
            }
            (None, None) => {}
        }
        let condition = self.condition.as_deref();
        problems.extend(condition.and_then(condition::problem));
        problems
    }

    pub(super) fn open(
        &self,
        base: &Path,
        label_values: &LabelValues,
    ) -> Result<FileCohort, SourceError> {
        let path = resolve_path(&self.path, base)?;
        let named = self.columns.as_ref();
        let asked = Asked {
            texts: named.map(ManifestColumns::text_columns).unwrap_or_default(),
            // A condition may ask for any column.
            used: named
                .filter(|_| self.condition.is_none())
                .map(ManifestColumns::used),
            delimiter: self.delimiter,
            is_tsv: false,
        };
        let (table, listed_columns) = Table::read(&path, asked, self.modalities.as_deref())?;
        let columns = match (&self.columns, listed_columns) {
            (Some(columns), None) => columns.clone(),
            (None, Some(columns)) => columns,
            (Some(_), Some(_)) => {
                let problem = "the sections of this list already say what is what; remove `columns`, and use `where: section = 'training'` to select";
                return Err(SourceError::Manifest {
                    path,
                    problem: problem.to_owned(),
                });
            }
            (None, None) => {
                let problem = "this is an array of objects; add `columns` to say which keys hold `subject` and `images`";
                return Err(SourceError::Manifest {
                    path,
                    problem: problem.to_owned(),
                });
            }
        };
        let problems = columns.problems();
        if !problems.is_empty() {
            return Err(SourceError::Manifest {
                path,
                problem: problems.join("; "),
            });
        }
        let empty_lines = table.empty_lines();
        let table = match &self.condition {
            Some(condition) => table.select(condition)?,
            None => table,
        };
        let mut listed = subjects(&table, &columns)?;
        if self.unpaired {
            if columns.label.is_some() {
                let problem = "`unpaired: true`, but one label map stands for all modalities; name one a modality in `columns.labels`, or remove `unpaired`";
                return Err(table.problem(problem.to_owned()));
            }
            listed = listed.iter().flat_map(apart).collect();
        }
        drop(table);
        let cohort = path
            .file_stem()
            .map_or_else(|| "cohort".into(), |n| n.to_string_lossy());
        some_image_exists(&path, &listed)?;
        FileCohort::try_new(
            &cohort,
            columns.images.0.iter().map(|(n, _)| n.clone()).collect(),
            columns.all_labels().into_iter().map(|(n, _)| n).collect(),
            listed,
            &self.split.clone().unwrap_or_default(),
            label_values,
        )
        .map(|cohort| cohort.with_warnings(empty_lines))
    }
}

/// Each image of a row as a subject of its own, with its own label map.
fn apart(row: &Listed) -> Vec<Listed> {
    let alone = |volumes: &[VolumeRef], name: &str| -> Vec<VolumeRef> {
        let keep = |v: &VolumeRef| VolumeRef {
            name: v.name.clone(),
            location: v.location.clone().filter(|_| v.name == name),
        };
        volumes.iter().map(keep).collect()
    };
    let present = row.images.iter().filter(|image| image.location.is_some());
    let subject = |image: &VolumeRef| Listed {
        placed: row.placed,
        patient: row.patient.clone(),
        may_label: row.may_label,
        images: alone(&row.images, &image.name),
        labels: alone(&row.labels, &image.name),
        ..Listed::new(format!("{}_{}", row.id, image.name))
    };
    present.map(subject).collect()
}

fn subjects(table: &Table, columns: &ManifestColumns) -> Result<Vec<Listed>, SourceError> {
    let folder = store::parent(table.path());
    let ids = table.text(&columns.subject)?;
    let splits = columns
        .split
        .as_deref()
        .map(|c| table.text(c))
        .transpose()?;
    let labelled = columns
        .labelled
        .as_deref()
        .map(|c| table.text(c))
        .transpose()?;
    let patients = columns
        .patient
        .as_deref()
        .map(|c| table.text(c))
        .transpose()?;
    type Paths = (String, Option<usize>, Texts);
    let paths = |named: &[(String, ColumnRef)]| -> Result<Vec<Paths>, SourceError> {
        named
            .iter()
            .map(|(name, c)| Ok((name.clone(), c.index(), table.text(c.column())?)))
            .collect()
    };
    let (images, labels) = (paths(&columns.images.0)?, paths(&columns.all_labels())?);
    let refs = |columns: &[Paths], row: usize| -> Result<Vec<VolumeRef>, SourceError> {
        let mut refs = Vec::with_capacity(columns.len());
        for (name, index, paths) in columns {
            let path = paths.get(row).map(|written| {
                let mut path = store::join(&folder, Path::new(written.trim_start_matches("./")));
                // There are as many as a cohort has volumes.
                path.shrink_to_fit();
                path
            });
            if let Some(Err(e)) = path.as_deref().map(store::Location::of) {
                let shown = path.unwrap_or_default();
                let shown = store::redacted(&shown.to_string_lossy());
                return Err(table.problem(format!("{}: `{shown}`: {e}", table.position(row))));
            }
            refs.push(VolumeRef {
                name: name.clone(),
                location: path.map(|path| Location::File {
                    path,
                    index: *index,
                }),
            });
        }
        Ok(refs)
    };
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(ids.len());
    let mut listed = Vec::with_capacity(ids.len());
    for row in 0..ids.len() {
        let Some(id) = ids.get(row) else {
            return Err(table.problem(format!(
                "{} has no `{}`; give every subject an id",
                table.position(row),
                columns.subject
            )));
        };
        if let Some(first) = seen.insert(id, row) {
            return Err(SourceError::Duplicate {
                path: table.path().to_path_buf(),
                subject: id.to_owned(),
                first: table.position(first),
                second: table.position(row),
            });
        }
        let cell = |column: &str, found: Option<&str>, expected: &str| {
            table.problem(format!(
                "{}: `{column}` is `{}`; expected {expected}",
                table.position(row),
                found.unwrap_or_default()
            ))
        };
        let mut may_label = true;
        let placed = match (&columns.split, &splits) {
            (Some(column), Some(splits)) => {
                let text = splits.get(row);
                let (split, labelled) = text.and_then(place).ok_or_else(|| {
                    cell(
                        column,
                        text,
                        "train, validation or test; leave other rows out with `where`",
                    )
                })?;
                may_label = labelled;
                Some(split)
            }
            _ => None,
        };
        if let (Some(column), Some(labelled)) = (&columns.labelled, &labelled) {
            let text = labelled.get(row);
            may_label &= text
                .and_then(truth)
                .ok_or_else(|| cell(column, text, "true or false"))?;
        }
        listed.push(Listed {
            patient: (patients.as_ref()).and_then(|patients| patients.get(row).map(str::to_owned)),
            placed,
            may_label,
            images: refs(&images, row)?,
            labels: refs(&labels, row)?,
            ..Listed::new(id.to_owned())
        });
    }
    if listed.is_empty() {
        return Err(table.problem("the table has no rows; list at least one subject".to_owned()));
    }
    Ok(listed)
}

/// Split of a section or cell, and whether labels may be used in it.
fn place(text: &str) -> Option<(Split, bool)> {
    match text.trim().to_lowercase().as_str() {
        "train" | "training" => Some((Split::Train, true)),
        "unlabeled_training" | "unlabelled_training" => Some((Split::Train, false)),
        "validation" | "valid" | "val" => Some((Split::Validation, true)),
        "test" | "testing" => Some((Split::Test, true)),
        _ => None,
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Objects that a store is asked about before a cohort is taken for one with files.
const ASKED: usize = 100;

/// A whole cohort of absent files is a wrong path, not a run of bad subjects.
fn some_image_exists(manifest: &Path, listed: &[Listed]) -> Result<(), SourceError> {
    let paths = || {
        let refs = listed.iter().flat_map(|s| &s.images);
        refs.filter_map(|v| match &v.location {
            Some(Location::File { path, .. }) => Some(path),
            _ => None,
        })
    };
    let mut asked = 0;
    for path in paths() {
        asked += usize::from(store::is_url(path));
        // A store is asked about some only: the others fail by name.
        let is_there = asked > ASKED
            || store::exists(path).map_err(|source| SourceError::Io {
                path: path.clone(),
                source,
            })?;
        if is_there {
            return Ok(());
        }
    }
    match paths().next() {
        Some(example) => Err(SourceError::NoFiles {
            path: manifest.to_path_buf(),
            count: paths().count(),
            example: example.clone(),
        }),
        None => Err(SourceError::Manifest {
            path: manifest.to_path_buf(),
            problem: "no row names an image; check `columns.images`".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
