//! Pastes a large box, or what surrounds it, or chosen classes, from another subject.

use super::{DrawnBox, Mix, Mixing, present, take_voxels};
use crate::draw::{SampleRng, check_probability};
use crate::kernel::boxes::check_edges;
use crate::stage::intensity::check_augment;
use crate::stage::{EdgeSchema, StageError};
use crate::volume::{Role, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pastes a box of another subject into the row, or the row's box into the other subject.
///
/// **Law** a box of `edge` times the patch along each axis (`clamp(round(edge n), 1, n)` voxels) begins at
/// any of its places, each equally likely; with probability 1/2 each, voxels inside the box or those
/// outside come from the partner, with their labels, for every modality and label map that both rows
/// have. With `classes`, only voxels among these at which the partner's label map is one of them: of
/// a modality with a label map of its own that map, else the common one; a partner without labels
/// has none then. With probability `p` the step runs on a row. Images become f32; unlabelled rows
/// stay unlabelled.
/// **Partner** drawn and made as that of `cutmix`: of the same stream, labelled alike, keyed. So labelled
/// rows are pasted into labelled ones and unlabelled into unlabelled ones; pasting across both, as the
/// first source does, needs pseudo-labels and is the trainer's. Stands in `views.shared`, behind
/// `patch`. **Source** Bai et al., Bidirectional Copy-Paste (BCP), CVPR 2023: edge 2/3; Ghiasi et al.,
/// Simple Copy-Paste, CVPR 2021: `classes` with `edge: 1`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CopyPaste {
    /// Edge of the box as a share of the patch's along every axis; above 0, up to 1. At 1 the inside is the whole patch.
    pub edge: f64,
    /// Probability that the inside comes from the partner rather than the outside, given that the step runs.
    pub inside: f64,
    /// Class numbers to paste, behind all steps in front; every voxel where left out.
    pub classes: Option<Vec<u16>>,
    /// Probability that the step runs on a row.
    pub p: f64,
}

/// What was drawn: the box, and which side of it is the partner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pasted {
    /// First voxel of the box along x, y, z.
    pub first: [usize; 3],
    /// Voxels of the box along x, y, z.
    pub size: [usize; 3],
    /// Whether the inside comes from the partner; else the outside does.
    pub inside: bool,
}

impl Default for CopyPaste {
    fn default() -> Self {
        Self {
            edge: 2.0 / 3.0,
            inside: 0.5,
            classes: None,
            p: 0.5,
        }
    }
}

impl Mix for CopyPaste {
    const NAME: &'static str = "copy_paste";
    const EXAMPLE: &'static str = "{ edge: 0.667, p: 0.5 }";
    const MIXING: Mixing = Mixing::Anatomy;
    type Draw = Pasted;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_edges([self.edge; 2]).map_err(|_| {
            format!(
                "`edge` is {}, expected a share above 0 and up to 1",
                self.edge
            )
        })?;
        check_probability(self.inside).map_err(|e| e.replace("`p`", "`inside`"))?;
        if self.classes.as_ref().is_some_and(Vec::is_empty) {
            return Err("`classes` is empty; name at least one or leave it out".to_owned());
        }
        let labelled = input.channels.iter().any(|c| c.role == Role::Label);
        if self.classes.is_some() && !labelled {
            return Err(
                "`classes` are picked in label maps, and none arrives here; declare one in `source`, or leave `classes` out"
                    .to_owned(),
            );
        }
        check_augment(input, self.p, None)
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row) -> Option<Pasted> {
        if !rng.chance(self.p) {
            return None;
        }
        let inside = rng.chance(self.inside);
        let DrawnBox { first, size } = DrawnBox::draw(rng, [self.edge; 2], row)?;
        Some(Pasted {
            first,
            size,
            inside,
        })
    }

    fn apply(&self, draw: &Pasted, row: Row, partner: &Row) -> Result<Row, StageError> {
        let drawn = DrawnBox {
            first: draw.first,
            size: draw.size,
        };
        take_voxels(row, partner, |name, volume| {
            let shape = volume.grid().shape_xyz();
            let mut mask = drawn.mask(shape)?;
            mask.iter_mut().for_each(|m| *m = *m == draw.inside);
            let Some(classes) = &self.classes else {
                return Ok(Some(mask));
            };
            let own = present(&partner.labels, name);
            let Some(labels) = own.or_else(|| present(&partner.labels, "")) else {
                return Ok(None);
            };
            super::check_shape("label", volume, (&partner.subject, labels))?;
            let wanted: Vec<f32> = classes.iter().map(|c| f32::from(*c)).collect();
            for (picked, label) in mask.iter_mut().zip(labels.to_f32().iter()) {
                *picked &= wanted.contains(label);
            }
            Ok(Some(mask))
        })
    }
}
