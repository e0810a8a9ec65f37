//! The section `source` of a pipeline.

use super::labels::LabelsSpec;
use super::reading::RegistrationSpec;
use super::{Cohort, FoldersSpec, ManifestSpec, PhantomSpec, SourceError, SplitSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Where subjects come from, and how their volumes are read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub struct SourceSpec {
    /// Where subjects are listed.
    pub kind: SourceKind,
    /// How label maps are read.
    pub labels: LabelsSpec,
    /// What happens to a subject whose volumes do not fit each other.
    pub registration: RegistrationSpec,
}

/// Where subjects come from: exactly one of `manifest`, `folders` and `phantom`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["manifest"]}, {"required": ["folders"]}, {"required": ["phantom"]}]))]
struct Written {
    /// A table of paths: CSV, TSV, Parquet or JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ManifestSpec")]
    manifest: Option<ManifestSpec>,
    /// A folder whose files are named by a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FoldersSpec")]
    folders: Option<FoldersSpec>,
    /// A seeded synthetic cohort; needs no files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PhantomSpec")]
    phantom: Option<PhantomSpec>,
    /// How label maps are read.
    #[serde(default, skip_serializing_if = "is_default")]
    labels: LabelsSpec,
    /// What happens to a subject whose volumes do not fit each other.
    #[serde(default, skip_serializing_if = "is_default")]
    registration: RegistrationSpec,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TryFrom<Written> for SourceSpec {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let manifest = written.manifest.map(SourceKind::Manifest);
        let folders = written.folders.map(SourceKind::Folders);
        let phantom = written.phantom.map(SourceKind::Phantom);
        let mut kinds: Vec<SourceKind> =
            [manifest, folders, phantom].into_iter().flatten().collect();
        match (kinds.pop(), kinds.len()) {
            (Some(kind), 0) => Ok(Self {
                kind,
                labels: written.labels,
                registration: written.registration,
            }),
            (_, others) => Err(format!(
                "found {} sources, expected one of `manifest`, `folders` and `phantom`",
                match others {
                    0 => 0,
                    others => others + 1,
                }
            )),
        }
    }
}

impl From<SourceSpec> for Written {
    fn from(source: SourceSpec) -> Self {
        let mut written = Self {
            manifest: None,
            folders: None,
            phantom: None,
            labels: source.labels,
            registration: source.registration,
        };
        match source.kind {
            SourceKind::Manifest(spec) => written.manifest = Some(spec),
            SourceKind::Folders(spec) => written.folders = Some(spec),
            SourceKind::Phantom(spec) => written.phantom = Some(spec),
        }
        written
    }
}

/// Where subjects are listed.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// A table of paths: CSV, TSV, Parquet or JSON.
    Manifest(ManifestSpec),
    /// A folder whose files are named by a pattern.
    Folders(FoldersSpec),
    /// A seeded synthetic cohort; needs no files.
    Phantom(PhantomSpec),
}

impl SourceSpec {
    /// A source of this kind that reads its volumes by the defaults.
    pub fn new(kind: SourceKind) -> Self {
        Self {
            kind,
            labels: LabelsSpec::default(),
            registration: RegistrationSpec::default(),
        }
    }

    /// Opens the cohort: lists its subjects, reads no volume.
    ///
    /// A relative path begins at `base`, the folder of the pipeline file. `seed` is the pipeline's; a phantom without a seed of its own takes it.
    ///
    /// **Errors** name the option, path, column or subject that is wrong.
    pub fn open(&self, base: &Path, seed: u64) -> Result<Box<dyn Cohort>, SourceError> {
        self.check()
            .map_err(|problems| SourceError::Options { problems })?;
        match &self.kind {
            SourceKind::Manifest(spec) => Ok(Box::new(spec.open(base, &self.labels.values())?)),
            SourceKind::Folders(spec) => Ok(Box::new(spec.open(base, &self.labels.values())?)),
            SourceKind::Phantom(spec) => spec.open(seed),
        }
    }

    /// Checks the options against each other; touches no file.
    ///
    /// **Errors** every problem: what was found, what was expected, what to do.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut problems = self.option_problems();
        problems.extend(self.split_problems());
        let of_map = self.labels.map_problems();
        problems.extend(of_map.into_iter().map(|(_, problem)| problem));
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// The problems that [`SourceSpec::check`] finds in the division into parts.
    pub(crate) fn split_problems(&self) -> Vec<String> {
        let split = self.split();
        split.map(|(_, split)| split.problems()).unwrap_or_default()
    }

    /// The problems that [`SourceSpec::check`] finds outside of `labels.map` and of the division into
    /// parts.
    pub(crate) fn option_problems(&self) -> Vec<String> {
        let mut problems = match &self.kind {
            SourceKind::Manifest(spec) => spec.problems(),
            SourceKind::Folders(spec) => spec.problems(),
            SourceKind::Phantom(spec) => spec.problems(),
        };
        problems.extend(self.registration.problems());
        let LabelsSpec { map, ignore } = &self.labels;
        let named = [
            ("labels.ignore", !ignore.values().is_empty()),
            ("labels.map", !map.0.is_empty()),
        ];
        for (option, _) in named.into_iter().filter(|(_, is_named)| *is_named) {
            if let SourceKind::Phantom(_) = self.kind {
                problems.push(format!(
                    "`{option}` names values of files, but a phantom has none; remove it"
                ));
            }
        }
        problems
    }

    /// Image columns as far as the options alone tell: none for a JSON list without `columns`
    /// or `modalities`, which names its own.
    pub fn modalities(&self) -> Vec<String> {
        match &self.kind {
            SourceKind::Manifest(spec) => spec.modalities(),
            SourceKind::Folders(spec) => spec.modalities.names(),
            SourceKind::Phantom(spec) => spec.modalities.clone(),
        }
    }

    /// The file or folder that the source reads, as written; `None` for phantoms.
    pub fn path(&self) -> Option<&str> {
        match &self.kind {
            SourceKind::Manifest(spec) => Some(&spec.path),
            SourceKind::Folders(spec) => Some(&spec.path),
            SourceKind::Phantom(_) => None,
        }
    }

    /// The division into parts, and where it stands in a pipeline file; `None` if there is none.
    pub fn split(&self) -> Option<(&'static str, &SplitSpec)> {
        let (place, split) = match &self.kind {
            SourceKind::Manifest(spec) => ("source.manifest.split", &spec.split),
            SourceKind::Folders(spec) => ("source.folders.split", &spec.split),
            SourceKind::Phantom(_) => return None,
        };
        split.as_ref().map(|split| (place, split))
    }

    /// The number of folds of a cross-validation; `None` if there are none.
    pub fn folds(&self) -> Option<usize> {
        self.split().and_then(|(_, split)| split.folds)
    }

    /// The fold that the file names; `None` if it names none.
    pub fn fold(&self) -> Option<usize> {
        self.split().and_then(|(_, split)| split.fold)
    }

    /// The SQL condition that chooses subjects, where one is written.
    pub fn condition(&self) -> Option<&str> {
        match &self.kind {
            SourceKind::Manifest(spec) => spec.condition.as_deref(),
            SourceKind::Folders(_) | SourceKind::Phantom(_) => None,
        }
    }

    /// Label columns as far as the options alone tell: one for all for a JSON list without
    /// `columns`.
    pub fn label_names(&self) -> Vec<String> {
        match &self.kind {
            SourceKind::Manifest(spec) => spec.label_names(),
            SourceKind::Folders(spec) => spec.label_names(),
            SourceKind::Phantom(_) => vec![String::new()],
        }
    }
}
