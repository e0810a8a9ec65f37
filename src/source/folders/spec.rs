//! What an author says of a folder.

use crate::source::{ModalityNames, SplitSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A folder of NIfTI files named by a pattern, such as `images/{subject}.nii.gz`.
///
/// A pattern holds placeholders of any name, `*` for any text within a name and `**` for any number of
/// folders; `.nii*` at the end stands for `.nii` and `.nii.gz`, in upper case, too. A placeholder stands for at least one
/// character, as many as fit (beside a `*` as few), and for the same text wherever it is repeated.
/// Files are one subject if they agree on what `id` names; a modality without a file is missing for
/// that subject. Files and folders whose names begin with a dot are passed over. A BIDS tree with
/// sessions: `images: "sub-{subject}/ses-{session}/anat/*_{modality}.nii.gz"`, `id:
/// "{subject}_{session}"`, `patient: "{subject}"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldersSpec {
    /// The folder: absolute, relative to the folder of the pipeline file, or the URL of a prefix in a store
    /// (`s3://`, `gs://`, `az://`; `https://` if the server speaks WebDAV). `${VAR}` and `${VAR:-default}` stand for environment variables.
    pub path: String,
    /// Pattern of the images' paths below `path`, with `{subject}` and, for several modalities,
    /// `{modality}`: `{subject}/{modality}.nii.gz`.
    pub images: String,
    /// Pattern of the label maps' paths; with `{modality}` each modality has its own map, without
    /// it there is one for all. It holds every placeholder of `id`. A file that is the label map of
    /// another subject is no image, although `images` fits it: `{subject}.nii.gz` and
    /// `{subject}_seg.nii.gz`. Default: no labels.
    #[serde(default)]
    pub labels: Option<String>,
    /// The id of a subject, made of placeholders of `images`: `{subject}_{session}`. Default:
    /// `{subject}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The patient that a subject shows, made of placeholders of `images`: `{subject}`. Subjects of one
    /// patient are never in different parts of `split`, whose counts are then of patients. Default:
    /// every subject is a patient of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// Modalities in the order of columns: a list, or a map from modality to what stands at
    /// `{modality}` in the path (`{ flair: FLAIR, t1: T1W }`).
    pub modalities: ModalityNames,
    /// Division into training, validation and test; default: all subjects are trained on.
    #[serde(default)]
    pub split: Option<SplitSpec>,
}
