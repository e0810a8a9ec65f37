//! Takes a box of another subject.

use super::{DrawnBox, Mix, Mixing, take_voxels};
use crate::draw::SampleRng;
use crate::kernel::boxes::check_edges;
use crate::stage::intensity::check_augment;
use crate::stage::{EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes a box of voxels and their labels from another subject.
///
/// **Law** `v' = v_partner` inside the box and `v` elsewhere, for every modality and label map that both
/// rows have; along each axis of `n` voxels the box has `m = clamp(round(e n), 1, n)` voxels, `e` uniform
/// between the ends of `edge`, and begins at any of its `n - m + 1` places, each equally likely. With
/// probability `p` the step runs on a row. Images become f32; unlabelled rows stay unlabelled.
/// **Partner** another subject of the same stream, drawn by seed, epoch, subject, sample and place of
/// the step: each equally likely among those labelled (or unlabelled) alike with the same modalities,
/// or, where there is none, among those labelled alike; the subject itself only where it is alone.
/// The steps in front run on the partner with its own draws, without earlier mixing steps. Both must
/// have the same number of voxels: `patch` first. Boxes are voxels, not millimetres: `orient` and
/// `resample` first, and put `drop_modality` behind. Stands in `views.shared`; strong views are mixed
/// with their pseudo-labels by `train.objective.pseudo_label.cutmix`.
/// **Source** Yun et al., CutMix, ICCV 2019, without its ratio of areas: labels here are maps.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CutMix {
    /// Edge of the box as a share of the patch's, drawn uniformly between both for each axis; above 0, up to 1.
    pub edge: [f64; 2],
    /// Probability that the step runs on a row.
    pub p: f64,
}

impl Default for CutMix {
    fn default() -> Self {
        Self {
            edge: [0.25, 0.75],
            p: 0.5,
        }
    }
}

impl Mix for CutMix {
    const NAME: &'static str = "cutmix";
    const EXAMPLE: &'static str = "{ edge: [0.25, 0.75], p: 0.5 }";
    const MIXING: Mixing = Mixing::Anatomy;
    type Draw = DrawnBox;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_edges(self.edge).map_err(|problem| format!("`edge` {problem}"))?;
        check_augment(input, self.p, None)
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row) -> Option<DrawnBox> {
        rng.chance(self.p)
            .then(|| DrawnBox::draw(rng, self.edge, row))?
    }

    fn apply(&self, draw: &DrawnBox, row: Row, partner: &Row) -> Result<Row, StageError> {
        take_voxels(row, partner, |_, volume| {
            draw.mask(volume.grid().shape_xyz()).map(Some)
        })
    }
}
