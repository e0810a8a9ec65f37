//! Steps that mix a row with the row of another subject.
//!
//! The other row, the partner, depends on keys alone: the run draws it, keyed by seed, epoch,
//! subject, sample and stage path, from the subjects of the same stream that are labelled (or
//! unlabelled) alike and have the same modalities, and runs the steps before the mixing step on it
//! with the partner's own draws, in the same epoch and with the same sample number. Earlier mixing
//! steps are passed over there: a partner is one subject, never a mixture. So batches, workers and
//! restarts change nothing, and the partner costs one more patch of a subject that is kept anyway.
//!
//! The record of a mix names the partner; [`AnyStage::replay_mix`] needs its row again.

pub mod copy_paste;
pub mod cutmix;
pub mod fourier_mix;

use super::{AnyStage, EdgeSchema, Effect, Parameters, StageError};
use crate::draw::{DrawKey, SampleRng};
use crate::kernel::boxes::VoxelBox;
use crate::volume::{Row, Volume, row::DrawRecord};
use arrow::buffer::{Buffer, MutableBuffer};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a mixing step takes from the partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    /// Voxels and their labels: every view must be mixed alike, so it is in `views.shared`.
    Anatomy,
    /// Values alone: anatomy and labels stay, so it may stand in a single view.
    Appearance,
}

/// Gives the partner of a row, or says why there is none.
pub type Partner<'a> = &'a mut dyn FnMut(&Row) -> Result<Row, StageError>;

/// A random step that takes from another subject's row: draw, then apply with that row.
pub trait Mix: Parameters {
    /// Key in YAML.
    const NAME: &'static str;
    /// A YAML value for [`Mix::NAME`]; parsed by a test, shown by `stages`.
    const EXAMPLE: &'static str;
    /// What is taken from the partner.
    const MIXING: Mixing;
    /// Everything that was drawn, enough to apply it again with the same partner.
    type Draw: Serialize + DeserializeOwned;
    /// Checks the parameters against what arrives, and says what leaves.
    ///
    /// **Errors** what was found, what was expected, what to do.
    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String>;
    /// Draws the parameters of one row; `None` leaves the row as it is, and no partner is made.
    fn draw(&self, rng: &mut SampleRng, row: &Row) -> Option<Self::Draw>;
    /// Applies a draw; the same draw on the same two rows produces the same bytes.
    ///
    /// **Errors** put the subject into the run's failures; the run continues.
    fn apply(&self, draw: &Self::Draw, row: Row, partner: &Row) -> Result<Row, StageError>;
}

/// A mix as it is recorded.
#[derive(Serialize, Deserialize)]
struct Record<D> {
    /// The partner's subject.
    partner: String,
    #[serde(flatten)]
    draw: D,
}

/// A [`Mix`] with its type erased.
pub struct MixStage<M>(pub M);

impl<M: Mix> AnyStage for MixStage<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }
    fn to_json(&self) -> serde_json::Value {
        super::adapters::json(&self.0)
    }
    fn is_random(&self) -> bool {
        true
    }
    fn effect(&self) -> Option<Effect> {
        Some(Effect::Opaque)
    }
    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.0.check(input)
    }
    fn run(&self, _path: &str, _seed: u64, row: Row) -> Result<Vec<Row>, StageError> {
        Err(StageError::input(format!(
            "`{}` mixes `{}` with the row of another subject, which is not at hand here; move it to `views.shared`",
            M::NAME,
            row.subject
        )))
    }
    fn mixing(&self) -> Option<Mixing> {
        Some(M::MIXING)
    }
    fn mix(
        &self,
        path: &str,
        seed: u64,
        mut row: Row,
        partner: Partner<'_>,
    ) -> Result<Row, StageError> {
        let key = DrawKey {
            seed,
            epoch: row.epoch,
            subject: &row.subject,
            sample: row.sample,
        };
        let draw = self.0.draw(&mut key.rng(path), &row);
        row.history.push(path.to_owned());
        let Some(draw) = draw else { return Ok(row) };
        let partner = partner(&row)?;
        let record = Record {
            partner: partner.subject.clone(),
            draw,
        };
        row.draws.push(DrawRecord {
            stage: path.to_owned(),
            draw: super::adapters::json(&record),
        });
        let mut row = self.0.apply(&record.draw, row, &partner)?;
        row.attribute_warnings(path);
        Ok(row)
    }
    fn replay_mix(
        &self,
        draw: &serde_json::Value,
        row: Row,
        partner: &Row,
    ) -> Result<Row, StageError> {
        let record: Record<M::Draw> = serde_json::from_value(draw.clone())
            .map_err(|e| StageError::input(format!("this is no draw of `{}`: {e}", M::NAME)))?;
        if record.partner != partner.subject {
            return Err(StageError::input(format!(
                "the mix was made with `{}`, not with `{}`; give the row of the recorded partner",
                record.partner, partner.subject
            )));
        }
        self.0.apply(&record.draw, row, partner)
    }
    fn replay(&self, draw: &serde_json::Value, _row: Row) -> Result<Row, StageError> {
        let partner = draw["partner"].as_str().unwrap_or("another subject");
        Err(StageError::input(format!(
            "`{}` took voxels from `{partner}`; replay it with that subject's row (`replay_mix`)",
            M::NAME
        )))
    }
}

/// A box as it is recorded: first voxel and voxels along x, y, z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnBox {
    /// First voxel along x, y, z.
    pub first: [usize; 3],
    /// Voxels along x, y, z.
    pub size: [usize; 3],
}

impl DrawnBox {
    /// A box of the row's first image; `None` for a row without one.
    fn draw(rng: &mut SampleRng, edge: [f64; 2], row: &Row) -> Option<Self> {
        let shape = row.first_image()?.1.grid().shape_xyz();
        let VoxelBox { first, size } = VoxelBox::draw(rng, edge, shape);
        Some(Self { first, size })
    }

    /// Which voxels `[z, y, x]` lie inside.
    ///
    /// **Errors** when the box does not lie in a volume of this shape.
    fn mask(&self, shape_xyz: [usize; 3]) -> Result<Vec<bool>, StageError> {
        let reversed = |[x, y, z]: [usize; 3]| [z, y, x];
        let inside = VoxelBox {
            first: reversed(self.first),
            size: reversed(self.size),
        };
        let shape = reversed(shape_xyz);
        if !inside.fits(shape) {
            return Err(StageError::input(format!(
                "the box of {:?} voxels from {:?} does not lie in {shape_xyz:?} voxels; replay it on the row it was made for",
                self.size, self.first
            )));
        }
        let mut mask = vec![false; shape.iter().product()];
        inside.lines(shape, |line| mask[line].fill(true));
        Ok(mask)
    }
}

/// Refuses a partner of another shape.
fn check_shape(column: &str, own: &Volume, partner: (&str, &Volume)) -> Result<(), StageError> {
    let (found, expected) = (partner.1.grid().shape_xyz(), own.grid().shape_xyz());
    if found == expected {
        return Ok(());
    }
    Err(StageError::input(format!(
        "`{column}` has {expected:?} voxels (x, y, z), that of the partner `{}` {found:?}; cut both alike first: `patch: {{ size: [..] }}`",
        partner.0
    )))
}

/// Takes the voxels that `mask` picks from the partner, labels with their images.
///
/// What one of both rows lacks is not mixed: a modality that only one has stays as it is.
/// `mask` is asked for each channel: its name, and whether it is a label map.
///
/// **Errors** when shapes differ, a label map is stored otherwise, or only one row is labelled.
fn take_voxels(
    mut row: Row,
    partner: &Row,
    mut mask: impl FnMut(&str, &Volume) -> Result<Option<Vec<bool>>, StageError>,
) -> Result<Row, StageError> {
    for (own, other) in row.labels.iter().zip(&partner.labels) {
        if own.volume.is_some() != other.volume.is_some() {
            return Err(StageError::input(format!(
                "of this row and its partner `{}` only one is labelled; labels could not follow the voxels",
                partner.subject
            )));
        }
    }
    for image in &mut row.images {
        let Some(own) = image.volume.take() else {
            continue;
        };
        let Some(other) = present(&partner.images, &image.name) else {
            // As planned: every image is f32 behind the step.
            image.volume = Some(own.into_f32());
            continue;
        };
        let column = format!("image.{}", image.name);
        check_shape(&column, &own, (&partner.subject, other))?;
        let picked = mask(&image.name, &own)?;
        image.volume = Some(match picked {
            Some(picked) => {
                let values = other.to_f32();
                own.map_f32(|voxels| {
                    let both = voxels.iter_mut().zip(values.iter());
                    for ((own, other), _) in both.zip(&picked).filter(|(_, taken)| **taken) {
                        *own = *other;
                    }
                })
            }
            None => own.into_f32(),
        });
    }
    for label in &mut row.labels {
        let Some(other) = present(&partner.labels, &label.name) else {
            continue;
        };
        let Some(own) = label.volume.take() else {
            continue;
        };
        check_shape("label", &own, (&partner.subject, other))?;
        label.volume = Some(match mask(&label.name, &own)? {
            Some(picked) => with_voxels(&own, other, &picked, &partner.subject)?,
            None => own,
        });
    }
    // Where classes were found before, others are now.
    row.forget_sites();
    Ok(row)
}

fn present<'a>(channels: &'a [crate::volume::Channel], name: &str) -> Option<&'a Volume> {
    channels.iter().find(|c| c.name == name)?.volume.as_ref()
}

/// A label map with the picked voxels of another, bit by bit.
fn with_voxels(
    own: &Volume,
    other: &Volume,
    picked: &[bool],
    partner: &str,
) -> Result<Volume, StageError> {
    let (stored, found) = (
        (own.dtype(), own.scaling()),
        (other.dtype(), other.scaling()),
    );
    if stored != found {
        return Err(StageError::input(format!(
            "a label map stored as {}, that of the partner `{partner}` as {}, or with another scaling; store them alike: `remap` in `stages`",
            stored.0, found.0
        )));
    }
    let width = own.dtype().bytes();
    let mut bytes = MutableBuffer::from(own.buffer().as_slice().to_vec());
    let values = bytes.as_slice_mut().chunks_exact_mut(width);
    let taken = other.buffer().as_slice().chunks_exact(width);
    for ((own, other), _) in values.zip(taken).zip(picked).filter(|(_, taken)| **taken) {
        own.copy_from_slice(other);
    }
    Ok(Volume::try_new(
        Buffer::from(bytes),
        stored.0,
        stored.1,
        *own.grid(),
    )?)
}

#[cfg(test)]
pub(crate) mod tests;
