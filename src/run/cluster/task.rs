//! What the tasks of a run have in common: the pipeline with its digest and version, and the run.

use crate::plan::Plan;
use crate::plan::rules::Optimized;
use crate::run::folder::{RunFolder, whole_path};
use crate::spec::SourceFile;
use crate::store;
use serde::{Deserialize, Serialize};

/// What the tasks of a run have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunTask {
    /// Version of voxstream that planned it.
    pub(super) version: String,
    /// The pipeline's file, with an absolute path.
    pub(super) file: String,
    /// Its text, overrides included.
    pub(super) text: String,
    /// Whether the plan is optimised.
    pub(super) optimized: bool,
    /// At most so many subjects.
    pub(super) limit: Option<usize>,
    /// Digest of the plan and of the weights that predict.
    pub(super) plan: String,
    /// The run's folder, absolute, or its URL.
    pub(super) run: String,
    /// How often the run was started.
    pub(super) starts: u32,
}

impl RunTask {
    /// The task of a run whose parts are named by a digest.
    pub(super) fn new(plan: &Plan, limit: Option<usize>, digest: &str, folder: &RunFolder) -> Self {
        let path = plan.file.path();
        let shown = path.display().to_string();
        // What follows the path says that overrides changed the text.
        let edited = plan.file.name.strip_prefix(&shown).unwrap_or_default();
        let whole = whole_path(path).map_or(shown, |whole| whole.display().to_string());
        let as_json = |optimized: &Optimized| serde_json::to_value(optimized).ok();
        let as_written = Optimized::none(&plan.pipeline);
        let run = match store::is_url(&folder.path) {
            true => None,
            false => std::path::absolute(&folder.path).ok(),
        };
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            file: format!("{whole}{edited}"),
            text: plan.file.text.clone(),
            optimized: as_json(&plan.optimized) != as_json(&as_written),
            limit,
            plan: digest.to_owned(),
            run: run.as_deref().unwrap_or(&folder.path).display().to_string(),
            starts: folder.starts,
        }
    }

    /// The pipeline's file.
    pub(super) fn source_file(&self) -> SourceFile {
        SourceFile {
            name: self.file.clone(),
            text: self.text.clone(),
        }
    }
}
