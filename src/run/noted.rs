//! What a training, or a scoring, learnt of its subjects for the tables of the run.
//!
//! It is noted when a subject is *used*, not when a worker prepares it: how many subjects workers prepare
//! ahead depends on timing, and the tables must not. A checkpoint contains it ([`Noted::known`]), so that
//! a run that was killed and resumed writes the same tables as an uninterrupted one.

use super::failure::Failure;
use crate::error::Error;
use crate::sink::SinkError;
use crate::sink::parquet::write_whole;
use crate::store;
use crate::volume::Row;
use crate::volume::row::Measure;
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the tables say of a prepared row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Voxels along x, y, z of the first image present.
    pub shape_xyz: Option<[usize; 3]>,
    /// Sample and figure of everything measured.
    pub quality: Vec<(u32, Measure)>,
}

impl Prepared {
    /// Collects it from a row.
    pub fn of(row: &Row) -> Self {
        let figures = row.quality.iter();
        Self {
            shape_xyz: row.first_image().map(|(_, v)| v.grid().shape_xyz()),
            quality: figures.map(|m| (row.sample, m.clone())).collect(),
        }
    }
}

/// Everything that was noted, by the positions of subjects; failures by their ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Subjects that were used.
    pub prepared: BTreeMap<usize, Prepared>,
    /// Subjects that a step of `stages` left out.
    pub left_out: BTreeSet<usize>,
    /// Why subjects failed: the first failure of each.
    pub failures: BTreeMap<String, Failure>,
    /// Classes that have a voxel in the labels of each training subject that was used.
    #[serde(default)]
    pub classes: BTreeMap<usize, BTreeSet<u16>>,
}

/// The file of a checkpoint that keeps what was noted.
const FILE: &str = "subjects.json";

impl Known {
    /// Keeps it in the folder of a checkpoint.
    ///
    /// **Errors** if the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), SinkError> {
        let bytes = serde_json::to_vec(self).expect("what is noted is plain data");
        write_whole(&folder.join(FILE), &bytes)
    }

    /// Reads what a checkpoint keeps; nothing where an earlier version kept nothing.
    ///
    /// **Errors** if the file cannot be read, or is damaged.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let bytes = match store::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(Error::Io {
                    path,
                    action: "reading what the checkpoint noted of subjects",
                    source,
                });
            }
        };
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::run(format!(
                "{}: {e}; the checkpoint is damaged, remove it to go on from the one before",
                path.display()
            ))
        })
    }
}

/// What was noted so far; shared by the threads of a run.
#[derive(Debug, Default)]
pub struct Noted(Mutex<Known>);

impl Noted {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a subject that is used.
    pub fn prepared(&self, index: usize, prepared: &Prepared) {
        let mut known = self.lock();
        if known.prepared.get(&index) != Some(prepared) {
            known.prepared.insert(index, prepared.clone());
        }
    }

    /// Notes a subject that was left out.
    pub fn left_out(&self, index: usize) {
        self.lock().left_out.insert(index);
    }

    /// Notes which classes have a voxel in the labels of a training subject that is used.
    pub fn classes(&self, index: usize, classes: &BTreeSet<u16>) {
        let mut known = self.lock();
        known
            .classes
            .entry(index)
            .or_insert_with(|| classes.clone());
    }

    /// Notes a failure, and hands it to `report` if it is the first of its subject.
    pub fn failure(&self, failure: Failure, report: impl FnOnce(&Failure)) {
        let mut known = self.lock();
        if let Entry::Vacant(place) = known.failures.entry(failure.subject.clone()) {
            report(place.insert(failure));
        }
    }

    /// How many subjects failed, and one of them.
    pub fn failed(&self) -> (usize, Option<Failure>) {
        let known = self.lock();
        let last = known.failures.values().next_back().cloned();
        (known.failures.len(), last)
    }

    /// Everything noted so far.
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    /// Takes over what an interrupted run had noted.
    pub fn restore(&self, known: Known) {
        *self.lock() = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_survives_a_checkpoint() {
        let noted = Noted::default();
        let prepared = Prepared {
            shape_xyz: Some([3, 4, 5]),
            quality: vec![(
                1,
                Measure {
                    step: 2,
                    modality: "ct".into(),
                    name: "sd".into(),
                    value: 0.1,
                },
            )],
        };
        noted.prepared(7, &prepared);
        noted.left_out(3);
        noted.classes(7, &BTreeSet::from([0, 2]));
        let mut reported = Vec::new();
        for (stage, cause) in [("source", "no file"), ("views", "later")] {
            let failure = Failure::new("b", stage, cause);
            noted.failure(failure, |first| reported.push(first.stage.clone()));
        }
        assert_eq!(reported, ["source"]);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Known::read(folder.path()).unwrap(), Known::default());
        noted.known().write(folder.path()).unwrap();
        let again = Noted::default();
        again.restore(Known::read(folder.path()).unwrap());
        assert_eq!(again.known(), noted.known());
        let (count, last) = again.failed();
        assert_eq!((count, last.unwrap().cause.as_str()), (1, "no file"));
        std::fs::write(folder.path().join(FILE), b"{").unwrap();
        let damaged = Known::read(folder.path()).unwrap_err().to_string();
        assert!(damaged.contains("the checkpoint is damaged"), "{damaged}");
    }
}
