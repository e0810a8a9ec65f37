//! What an author says of a manifest.

use super::columns::ManifestColumns;
use super::delimited::Delimiter;
use crate::source::SplitSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A table of subjects: CSV, TSV, Parquet or JSON.
///
/// JSON is an array of objects, a list in the form of the Medical Segmentation Decathlon
/// (`training: [{ image, label }]`, `test`), or one with a key for each modality (`img_CT`,
/// `mask_CT`, … in `training`, `unlabeled_training`, `validation`, `testing`). Both list forms are
/// recognised by themselves: sections set split and labels, and no `columns` are needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestSpec {
    /// The table: absolute, relative to the folder of the pipeline file, or a URL (`s3://`, `gs://`,
    /// `az://`, `https://`). `${VAR}` and `${VAR:-default}` stand for environment variables. Paths *in*
    /// the table are relative to the table's folder, or URLs.
    pub path: String,
    /// What separates the columns of a text: `,`, `;`, `tab` or `|`. Default: recognised by the
    /// header line; a tab in `.tsv` files, in which `n/a` is an empty cell.
    #[serde(default)]
    pub delimiter: Option<Delimiter>,
    /// Which column holds what; needed for CSV, TSV, Parquet and arrays of objects.
    #[serde(default)]
    pub columns: Option<ManifestColumns>,
    /// Names of the images of a Decathlon list, one a channel of its 4-D files; default: the
    /// list's own `modality` entry in lower case.
    #[serde(default)]
    pub modalities: Option<Vec<String>>,
    /// Which rows to use: an SQL condition on the table's columns, such as `site = 'A' AND age > 40`.
    /// Names are case-sensitive; quote those with special characters (`"my column"`). A list has the
    /// columns `subject`, `section` and one for each key of its entries.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
    /// Whether the modalities of a row show different people, as in CMC's list for AMOS22. Each
    /// then becomes a subject of its own, `ID_MODALITY`, that lacks the other modalities: nothing
    /// is compared voxel by voxel that does not belong together. Needs a label map a modality.
    #[serde(default)]
    pub unpaired: bool,
    /// Division into training, validation and test. Subjects that the table places in validation
    /// or test stay there; default: the rest is trained on.
    #[serde(default)]
    pub split: Option<SplitSpec>,
}
