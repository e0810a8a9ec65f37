//! A folder whose file names say which subject and modality they are.

use super::files::FileCohort;
use super::{SourceError, name_problems, resolve_path};
use crate::spec::suggest;
use crate::volume::nifti::LabelValues;
use found::Found;
use pattern::{MODALITY, Pattern, filled, placeholders};
use std::collections::BTreeMap;
use std::path::Path;
use tree::Tree;

mod found;
mod pattern;
mod spec;
mod tree;

pub use spec::FoldersSpec;

const SUBJECT: &str = "{subject}";

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
        problems.extend(self.modality_problem());
        let labels = self.labels.iter().map(|pattern| ("labels", pattern));
        let patterns = std::iter::once(("images", &self.images)).chain(labels);
        let of_id = placeholders(self.id_template());
        for (key, pattern) in patterns {
            let of_pattern = placeholders(pattern);
            for name in of_id.iter().filter(|name| !of_pattern.contains(name)) {
                problems.push(match self.id {
                    None => format!(
                        "`{key}: {pattern}` has no {{{name}}}; put it where the subject's id stands, or make `id` of other placeholders"
                    ),
                    Some(_) => format!(
                        "`{key}: {pattern}` has no {{{name}}}, which `id` is made of; add it"
                    ),
                });
            }
            if Path::new(pattern).is_absolute() {
                problems.push(format!(
                    "`{key}: {pattern}` is absolute; write it relative to `path`"
                ));
            }
            let of_syntax = pattern::problems(pattern).into_iter();
            problems.extend(of_syntax.map(|problem| format!("`{key}: {pattern}`: {problem}")));
        }
        let of_images = placeholders(&self.images);
        let templates = [("id", &self.id), ("patient", &self.patient)];
        for (key, template) in templates
            .into_iter()
            .filter_map(|(k, t)| Some((k, t.as_ref()?)))
        {
            problems.extend(self.template_problems(key, template, &of_images));
        }
        problems
    }

    /// What is wrong with the place of the modality in `images`.
    fn modality_problem(&self) -> Option<String> {
        if self.images.contains(MODALITY) {
            return None;
        }
        let images = &self.images;
        let near = placeholders(images).into_iter().find(|name| {
            let what = "modality";
            name != what && suggest(name, &[what]).starts_with("did you mean")
        });
        let help = near.map(|near| format!("; write {MODALITY} for {{{near}}}"));
        match (self.modalities.0.as_slice(), help) {
            ([], _) => None,
            ([(name, in_path)], None)
                if name == in_path
                    || images.contains(in_path.as_str())
                    || self.labels.as_ref().is_some_and(|l| l.contains(MODALITY)) =>
            {
                None
            }
            ([(name, in_path)], help) => Some(format!(
                "`images: {images}` has no {MODALITY} where {} of `modalities` stands in the path{}",
                match name == in_path {
                    true => format!("`{name}`"),
                    false => format!("`{name}: {in_path}`"),
                },
                help.unwrap_or_else(|| format!("; add it, or write `modalities: [{name}]`"))
            )),
            (several, help) => Some(format!(
                "`images: {images}` has no {MODALITY}, but there are {} modalities{}",
                several.len(),
                help.unwrap_or_else(|| "; add it or name one modality".to_owned())
            )),
        }
    }

    fn template_problems(&self, key: &str, template: &str, of_images: &[String]) -> Vec<String> {
        let names = placeholders(template);
        let syntax = pattern::problems(template).into_iter();
        let mut problems: Vec<String> = syntax
            .map(|problem| format!("`{key}: {template}`: {problem}"))
            .collect();
        if names.is_empty() && problems.is_empty() {
            problems.push(format!(
                "`{key}: {template}` has no placeholder; name one of `images`, such as {SUBJECT}"
            ));
        }
        if template.contains(['*', '/']) {
            problems.push(format!(
                "`{key}: {template}` is no path; use placeholders and plain text without `*` and `/`"
            ));
        }
        for name in &names {
            if format!("{{{name}}}") == MODALITY {
                problems.push(format!(
                    "`{key}: {template}` holds {MODALITY}, but a subject has several; remove it"
                ));
            } else if key != "id" && !of_images.contains(name) {
                let known: Vec<&str> = of_images.iter().map(String::as_str).collect();
                problems.push(format!(
                    "`{key}: {template}` names {{{name}}}, which `images` does not have; {}",
                    suggest(name, &known)
                ));
            }
        }
        problems
    }

    fn id_template(&self) -> &str {
        self.id.as_deref().unwrap_or(SUBJECT)
    }

    /// The pattern of each modality, in order.
    fn patterns(&self, pattern: &str) -> Result<Vec<Pattern>, SourceError> {
        let modalities = self.modalities.0.iter();
        let patterns = modalities.map(|(_, in_path)| Pattern::new(pattern, in_path));
        let problem = |problem| SourceError::Options {
            problems: vec![problem],
        };
        patterns.collect::<Result<_, _>>().map_err(problem)
    }

    /// The subject whose label map a file would be, if as an image it would be a subject of its own:
    /// `a_seg` fits `{subject}`, too.
    fn label_of(&self, file: &str, images: &[Pattern], labels: &[Pattern]) -> Option<String> {
        let id = |pattern: &Pattern| filled(self.id_template(), &pattern.entities(file)?);
        let label_of = labels.iter().find_map(id)?;
        let is_another = |id: String| id != label_of;
        let image_of = images.iter().find_map(id);
        image_of.is_some_and(is_another).then_some(label_of)
    }

    pub(super) fn open(
        &self,
        base: &Path,
        label_values: &LabelValues,
    ) -> Result<FileCohort, SourceError> {
        let folder = resolve_path(&self.path, base)?;
        let image_patterns = self.patterns(&self.images)?;
        let label_pattern = self.labels.as_deref().unwrap_or_default();
        let label_names = self.label_names();
        let mut label_patterns = match self.labels {
            Some(_) => self.patterns(label_pattern)?,
            None => Vec::new(),
        };
        label_patterns.truncate(label_names.len());
        let patterns = image_patterns.iter().chain(&label_patterns);
        let depths: Option<Vec<usize>> = patterns.map(Pattern::depth).collect();
        let depth = depths.map(|d| d.into_iter().max().unwrap_or_default());
        let tree = Tree::read(&folder, depth)?;
        let mut warnings: Vec<String> = tree.unread.iter().cloned().collect();

        let mut found = Found {
            spec: self,
            folder: &folder,
            label_names: &label_names,
            subjects: BTreeMap::new(),
        };
        let (doubtful, plain): (Vec<_>, Vec<_>) = (tree.files.iter())
            .map(|file| (file, self.label_of(file, &image_patterns, &label_patterns)))
            .partition(|(_, label_of)| label_of.is_some());
        found.add_images(&image_patterns, &plain.iter().map(|(file, _)| *file))?;
        let no_image: Vec<&String> = (doubtful.iter())
            .filter(|(_, id)| {
                !id.as_ref()
                    .is_some_and(|id| found.subjects.contains_key(id))
            })
            .map(|(file, _)| *file)
            .collect();
        found.add_images(&image_patterns, &no_image.into_iter())?;
        if found.subjects.is_empty() {
            return Err(SourceError::NoMatch {
                pattern: self.images.clone(),
                problem: tree.explain(&image_patterns),
                folder,
            });
        }
        let (mut label_files, mut without_image) = (0, Vec::new());
        let is_image = |file: &str| image_patterns.iter().any(|p| p.entities(file).is_some());
        for (column, pattern) in label_patterns.iter().enumerate() {
            for file in &tree.files {
                if let Some(entities) = pattern.entities(file) {
                    match found.add_label(column, file, &entities)? {
                        true => label_files += 1,
                        false if is_image(file) => {}
                        false => without_image.push(file),
                    }
                }
            }
        }
        if let (Some(first), 1..) = (without_image.first(), label_files) {
            warnings.push(format!(
                "label maps without an image, which are left out: {}, the first is {first}; add the images, or remove the label maps",
                without_image.len()
            ));
        }
        if let (Some(pattern), 0) = (&self.labels, label_files) {
            let problem = match tree.explain(&label_patterns) {
                text if text.is_empty() => "those that do belong to no image".to_owned(),
                text => text,
            };
            warnings.push(format!(
                "no file in {} matches `labels: {pattern}`, so every subject is unlabelled ({problem}); correct the pattern, or remove it",
                folder.display()
            ));
        }
        let listed = found.into_listed()?;
        let cohort = folder
            .file_name()
            .map_or_else(|| "cohort".into(), |n| n.to_string_lossy());
        let split = self.split.clone().unwrap_or_default();
        FileCohort::try_new(
            &cohort,
            self.modalities.names(),
            label_names,
            listed,
            &split,
            label_values,
        )
        .map(|cohort| cohort.with_warnings(warnings))
    }
}

#[cfg(test)]
mod tests;
