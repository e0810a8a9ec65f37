//! A folder whose file names say which subject and modality they are.

use super::files::{FileCohort, Listed};
use super::{
    Location, ModalityNames, SourceError, SplitSpec, VolumeRef, name_problems, resolve_path,
};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// A folder of NIfTI files named by a pattern, such as `images/{subject}.nii.gz`.
///
/// A subject is whatever stands at `{subject}` in a file that fits; a modality without a file is
/// missing for that subject. Files and folders whose names begin with a dot are passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldersSpec {
    /// The folder: absolute, or relative to the folder of the pipeline file.
    /// `${VAR}` and `${VAR:-default}` stand for environment variables.
    pub path: String,
    /// Pattern of the images' paths below `path`, with `{subject}` and, for several modalities,
    /// `{modality}`: `{subject}/{modality}.nii.gz`.
    pub images: String,
    /// Pattern of the label maps' paths; with `{modality}` each modality has its own map, without
    /// it there is one for all. Default: no labels.
    #[serde(default)]
    pub labels: Option<String>,
    /// Modalities in the order of columns: a list, or a map from modality to what stands at
    /// `{modality}` in the path (`{ flair: FLAIR, t1: T1W }`).
    pub modalities: ModalityNames,
    /// Division into training, validation and test; default: all subjects are trained on.
    #[serde(default)]
    pub split: Option<SplitSpec>,
}

const SUBJECT: &str = "{subject}";
const MODALITY: &str = "{modality}";

impl FoldersSpec {
    pub(super) fn label_names(&self) -> Vec<String> {
        match &self.labels {
            None => Vec::new(),
            Some(pattern) if pattern.contains(MODALITY) => self.modalities.names(),
            Some(_) => vec![String::new()],
        }
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let names = self.modalities.names();
        let mut problems = name_problems("modality", names.iter().map(String::as_str));
        if names.is_empty() {
            problems.push("`modalities` is empty; name at least one".to_owned());
        }
        if names.len() > 1 && !self.images.contains(MODALITY) {
            problems.push(format!(
                "`images: {}` has no {MODALITY}, but there are {} modalities; add it or name one modality",
                self.images,
                names.len()
            ));
        }
        let labels = self.labels.iter().map(|pattern| ("labels", pattern));
        for (key, pattern) in std::iter::once(("images", &self.images)).chain(labels) {
            if !pattern.contains(SUBJECT) {
                problems.push(format!(
                    "`{key}: {pattern}` has no {SUBJECT}; put it where the subject's id stands"
                ));
            }
            if Path::new(pattern).is_absolute() {
                problems.push(format!(
                    "`{key}: {pattern}` is absolute; write it relative to `path`"
                ));
            }
            let rest = pattern.replace(SUBJECT, "").replace(MODALITY, "");
            if rest.contains(['{', '}']) {
                problems.push(format!(
                    "`{key}: {pattern}` has a placeholder that is neither {SUBJECT} nor {MODALITY}"
                ));
            }
        }
        problems.extend(self.split.iter().flat_map(SplitSpec::problems));
        problems
    }

    pub(super) fn open(&self, base: &Path) -> Result<FileCohort, SourceError> {
        let folder = resolve_path(&self.path, base)?;
        let patterns = || std::iter::once(&self.images).chain(&self.labels);
        let depth = patterns()
            .map(|p| p.split('/').count())
            .max()
            .unwrap_or_default();
        let (files, unread) = walk(&folder, depth)?;
        let mut warnings: Vec<String> = unread.into_iter().collect();

        let names = self.modalities.names();
        let label_names = self.label_names();
        let blank = |names: &[String]| -> Vec<VolumeRef> {
            let empty = |name: &String| VolumeRef {
                name: name.clone(),
                location: None,
            };
            names.iter().map(empty).collect()
        };
        let mut subjects: BTreeMap<String, Listed> = BTreeMap::new();
        for (column, (_, in_path)) in self.modalities.0.iter().enumerate() {
            let pattern = Pattern::new(&self.images, in_path);
            for (id, path) in pattern.matches(&folder, &files) {
                let subject = subjects.entry(id.clone()).or_insert_with(|| Listed {
                    id,
                    placed: None,
                    may_label: true,
                    images: blank(&names),
                    labels: blank(&label_names),
                });
                subject.images[column].location = Some(Location::File { path, index: None });
            }
        }
        if subjects.is_empty() {
            return Err(SourceError::NoMatch {
                pattern: self.images.clone(),
                folder,
                seen: files.into_iter().take(3).collect(),
            });
        }
        let mut label_files = 0;
        for (column, name) in label_names.iter().enumerate() {
            let in_path = self
                .modalities
                .0
                .iter()
                .find(|(n, _)| n == name)
                .map_or("", |(_, text)| text);
            let pattern = Pattern::new(self.labels.as_deref().unwrap_or_default(), in_path);
            for (id, path) in pattern.matches(&folder, &files) {
                if let Some(subject) = subjects.get_mut(&id) {
                    subject.labels[column].location = Some(Location::File { path, index: None });
                    label_files += 1;
                }
            }
        }
        if let (Some(pattern), 0) = (&self.labels, label_files) {
            warnings.push(format!(
                "no file in {} matches `labels: {pattern}`, so every subject is unlabelled; correct the pattern, or remove it",
                folder.display()
            ));
        }
        let cohort = folder
            .file_name()
            .map_or_else(|| "cohort".into(), |n| n.to_string_lossy());
        let split = self.split.clone().unwrap_or_default();
        FileCohort::try_new(
            &cohort,
            names,
            label_names,
            subjects.into_values().collect(),
            &split,
        )
        .map(|cohort| cohort.with_warnings(warnings))
    }
}

/// Paths of files relative to the folder, sorted, with `/` between their parts.
///
/// Links are followed. A link to nothing, to a folder that contains it, and a folder that cannot be
/// listed are returned as files: if a pattern names one, its subject fails when it is read. The text
/// says how many there are, if any.
///
/// **Errors** if `folder` itself cannot be listed.
fn walk(folder: &Path, depth: usize) -> Result<(Vec<String>, Option<String>), SourceError> {
    let visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    let walk = WalkDir::new(folder)
        .follow_links(true)
        .max_depth(depth)
        .sort_by_file_name();
    let (mut files, mut unread) = (Vec::new(), None::<(usize, PathBuf, String)>);
    for entry in walk.into_iter().filter_entry(visible) {
        let path = match &entry {
            Ok(entry) if entry.file_type().is_file() => entry.path(),
            Ok(_) => continue,
            Err(e) => match e.path() {
                Some(path) if e.depth() > 0 => {
                    let first = || (0, path.to_owned(), unreadable(e));
                    unread.get_or_insert_with(first).0 += 1;
                    path
                }
                _ => {
                    return Err(SourceError::Io {
                        path: folder.to_path_buf(),
                        source: entry.expect_err("this arm is that of an error").into(),
                    });
                }
            },
        };
        if let Ok(relative) = path.strip_prefix(folder) {
            let parts: Vec<_> = relative
                .components()
                .map(|c| c.as_os_str().to_string_lossy())
                .collect();
            files.push(parts.join("/"));
        }
    }
    let unread = unread.map(|(count, first, reason)| {
        format!(
            "links or folders below {} that cannot be followed: {count}, the first is {} ({reason}); subjects that need them fail by name",
            folder.display(),
            first.display()
        )
    });
    Ok((files, unread))
}

/// Why an entry below the folder cannot be followed or listed.
fn unreadable(error: &walkdir::Error) -> String {
    match (error.loop_ancestor(), error.io_error()) {
        (Some(above), _) => format!("a link to {}, a folder that contains it", above.display()),
        (None, Some(e)) if e.kind() == std::io::ErrorKind::NotFound => {
            "a link to nothing".to_owned()
        }
        (None, Some(e)) => e.to_string(),
        (None, None) => error.to_string(),
    }
}

/// A pattern with its modality put in.
struct Pattern {
    regex: Regex,
    /// How often `{subject}` stands in it.
    subjects: usize,
}

impl Pattern {
    fn new(pattern: &str, modality: &str) -> Self {
        let pattern = pattern.trim_start_matches("./").replace(MODALITY, modality);
        let literals: Vec<String> = pattern.split(SUBJECT).map(regex::escape).collect();
        let regex = Regex::new(&format!("^{}$", literals.join("([^/]+)")))
            .expect("escaped text and one fixed group are a regex");
        Self {
            regex,
            subjects: literals.len() - 1,
        }
    }

    /// Subject and path of every file that fits.
    fn matches(&self, folder: &Path, files: &[String]) -> Vec<(String, PathBuf)> {
        let id = |file: &String| -> Option<String> {
            let captures = self.regex.captures(file)?;
            let id = captures.get(1)?.as_str();
            // The regex language has no back-references.
            let agree =
                (2..=self.subjects).all(|i| captures.get(i).is_some_and(|m| m.as_str() == id));
            agree.then(|| id.to_owned())
        };
        files
            .iter()
            .filter_map(|file| Some((id(file)?, folder.join(file))))
            .collect()
    }
}

#[cfg(test)]
mod tests;
