//! The section `sinks` as plain data; its doc comments are the user's reference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// What is kept beside the tables that every run writes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinksSection {
    /// Prepared subjects.
    #[serde(default)]
    pub prepared: Option<FileFormats>,
    /// Predicted label maps of the scored subjects, on their input's own grid.
    #[serde(default)]
    pub predictions: Option<FileFormats>,
    /// Pseudo-labels: label maps with the confidence of every voxel, and of each class the share that reaches the
    /// threshold. In a training those that the final teacher draws of the unlabelled subjects; in a prediction those
    /// of the predicted subjects, with the thresholds that training ended with, or `pseudo_label.threshold.fixed`.
    #[serde(default)]
    pub pseudo_labels: Option<FileFormats>,
    /// What training took, view by view: the draws, and a digest of the voxels, in the table `views`. `voxstream replay`
    /// rebuilds a view from them and compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<ViewsSection>,
    /// Writes the figures of training as events for TensorBoard into the run folder: `tensorboard --logdir runs`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tensorboard: bool,
    /// Reports parameters and figures of training to a file store of MLflow: `mlflow ui --backend-store-uri mlruns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<MlflowSection>,
    /// Most bytes of prepared rows that are committed together, such as `256MiB` (the default). A
    /// killed run loses what it had done of one such part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_size: Option<String>,
}

/// Bytes of a part where `sinks.part_size` is not given.
const PART_BYTES: u64 = 256 << 20;

impl SinksSection {
    /// Most bytes of a part.
    pub fn part_bytes(&self) -> u64 {
        let parsed = self.part_size.as_ref().map(|text| text.parse());
        let parsed = parsed.and_then(|size: Result<bytesize::ByteSize, _>| size.ok());
        parsed.map_or(PART_BYTES, |size| size.as_u64())
    }

    /// Checks what its types leave open.
    ///
    /// **Errors** say which size was found, and what is one.
    pub fn check(&self) -> Result<(), String> {
        let Some(text) = &self.part_size else {
            return Ok(());
        };
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) if size.as_u64() > 0 => Ok(()),
            _ => Err(format!(
                "`part_size` is `{text}`; expected a size above 0 such as `256MiB`"
            )),
        }
    }
}

/// Which views of a training are recorded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewsSection {
    /// Records the views of every so many optimiser steps, from the first on. A digest costs about 1 ms for 3 MB of voxels.
    #[serde(default = "every_step")]
    pub every: NonZeroU64,
}

fn every_step() -> NonZeroU64 {
    NonZeroU64::MIN
}

/// Where MLflow looks for runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MlflowSection {
    /// A local folder, which is made where it is missing; relative to the pipeline file.
    #[serde(default = "mlruns")]
    pub path: String,
    /// The experiment that the run belongs to; default the name of the pipeline.
    #[serde(default)]
    pub experiment: Option<String>,
}

fn mlruns() -> String {
    "mlruns".to_owned()
}

/// Formats of volumes that are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileFormats {
    /// As rows of Parquet.
    #[serde(default = "yes")]
    pub parquet: bool,
    /// As one NIfTI file a volume.
    #[serde(default)]
    pub nifti: bool,
}

fn yes() -> bool {
    true
}
