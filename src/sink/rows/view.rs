//! The table of the views that training took.

use super::*;

tables! {
    /// One row a view that an optimiser step took: what was drawn, and a digest of every volume.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    ViewRow => VIEWS "views" version 1 {
        /// Number of the optimiser step that took it, from 1, as in `metrics`.
        step: i64 => "steps",
        /// The subject's id.
        subject_id: String => "",
        /// Pass over the data in which it was drawn, from 0.
        epoch: i64 => "epochs",
        /// Sample of the subject in this pass, from 0.
        sample: i32 => "",
        /// Name of the view: weak, strong or `strong.<name>`.
        view: String => "",
        /// What every step drew, in order: a JSON list of `stage` (path in the pipeline) and `draw`.
        draws: String => "",
        /// Digest of each volume by its column, such as `image.ct`: the first 128 bits of BLAKE3 over stored
        /// type, scaling, shape and voxels. A modality that the subject lacks is not in it.
        digests: BTreeMap<String, String> => "",
    }
}
