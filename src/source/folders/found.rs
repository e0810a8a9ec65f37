//! Subjects that files make, by what their paths say.

use super::pattern::{Entities, Pattern, filled};
use super::spec::FoldersSpec;
use crate::source::listed::Listed;
use crate::source::{Location, SourceError, VolumeRef};
use std::collections::BTreeMap;
use std::path::Path;

/// A subject, and what each placeholder stands for in its images; `None` where they differ.
pub(super) struct Subject {
    listed: Listed,
    entities: BTreeMap<String, Option<String>>,
}

/// Subjects by id, while files are sorted into them.
pub(super) struct Found<'a> {
    pub(super) spec: &'a FoldersSpec,
    pub(super) folder: &'a Path,
    pub(super) label_names: &'a [String],
    pub(super) subjects: BTreeMap<String, Subject>,
}

impl Found<'_> {
    /// Adds the image of a modality, and its subject if it is the first.
    ///
    /// **Errors** if the subject has another image of that modality.
    fn add_image(
        &mut self,
        column: usize,
        file: &str,
        entities: Entities,
    ) -> Result<(), SourceError> {
        // `problems` asked for every placeholder of `id` in the pattern.
        let Some(id) = filled(self.spec.id_template(), &entities) else {
            return Ok(());
        };
        let names = self.spec.modalities.names();
        let label_names = self.label_names;
        let subject = (self.subjects.entry(id.clone())).or_insert_with(|| Subject {
            listed: Listed {
                images: blank(&names),
                labels: blank(label_names),
                ..Listed::new(id.clone())
            },
            entities: BTreeMap::new(),
        });
        let what = format!("images of `{}`", names[column]);
        place(
            &mut subject.listed.images[column],
            &what,
            self.folder,
            file,
            &id,
        )?;
        for (name, value) in entities {
            let known = subject.entities.entry(name).or_insert(Some(value.clone()));
            if known.as_ref() != Some(&value) {
                *known = None;
            }
        }
        Ok(())
    }

    /// Adds the images of every modality among these files.
    ///
    /// **Errors** if a subject has two images of a modality.
    pub(super) fn add_images<'f>(
        &mut self,
        patterns: &[Pattern],
        files: &(impl Iterator<Item = &'f String> + Clone),
    ) -> Result<(), SourceError> {
        for (column, pattern) in patterns.iter().enumerate() {
            for file in files.clone() {
                if let Some(entities) = pattern.entities(file) {
                    self.add_image(column, file, entities)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a label map; returns `false` if it belongs to no subject.
    ///
    /// **Errors** if the subject has another label map there.
    pub(super) fn add_label(
        &mut self,
        column: usize,
        file: &str,
        entities: &Entities,
    ) -> Result<bool, SourceError> {
        let id = filled(self.spec.id_template(), entities);
        let known = id.and_then(|id| self.subjects.get_mut(&id).map(|s| (id, s)));
        let Some((id, subject)) = known else {
            return Ok(false);
        };
        place(
            &mut subject.listed.labels[column],
            "label maps",
            self.folder,
            file,
            &id,
        )?;
        Ok(true)
    }

    /// The subjects, with their patients and what their paths say.
    ///
    /// **Errors** if the images of a subject name two patients.
    pub(super) fn into_listed(self) -> Result<Vec<Listed>, SourceError> {
        let (template, plain_id) = (self.spec.patient.as_deref(), self.spec.id.is_none());
        let folder = self.folder;
        let subjects = self.subjects.into_values();
        subjects
            .map(
                |Subject {
                     mut listed,
                     entities,
                 }| {
                    let agreed: Entities = (entities.into_iter())
                        .filter_map(|(name, value)| Some((name, value?)))
                        .collect();
                    if let Some(template) = template {
                        let patient = filled(template, &agreed);
                        listed.patient = Some(patient.ok_or_else(|| SourceError::Patients {
                            folder: folder.to_path_buf(),
                            subject: listed.id.clone(),
                            template: template.to_owned(),
                        })?);
                    }
                    let is_id = |name: &String| plain_id && name == "subject";
                    listed.entities = agreed
                        .into_iter()
                        .filter(|(name, _)| !is_id(name))
                        .collect();
                    Ok(listed)
                },
            )
            .collect()
    }
}

fn blank(names: &[String]) -> Vec<VolumeRef> {
    let empty = |name: &String| VolumeRef {
        name: name.clone(),
        location: None,
    };
    names.iter().map(empty).collect()
}

/// Fills a place of a subject. **Errors** if it is taken.
fn place(
    volume: &mut VolumeRef,
    what: &str,
    folder: &Path,
    file: &str,
    id: &str,
) -> Result<(), SourceError> {
    let path = folder.join(file);
    if let Some(first) = volume.file() {
        return Err(SourceError::TwoFiles {
            subject: id.to_owned(),
            what: what.to_owned(),
            first: first.strip_prefix(folder).unwrap_or(first).to_path_buf(),
            second: file.into(),
            folder: folder.to_path_buf(),
        });
    }
    volume.location = Some(Location::File { path, index: None });
    Ok(())
}
