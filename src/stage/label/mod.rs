//! Steps that change class numbers and leave images alone.
//!
//! Label maps hold class numbers, u8 or u16 without scaling; 255 marks voxels that nobody
//! annotated, and stays unless a step names it. There is no step that writes one channel a class:
//! the loss, the metrics and the network's heads all read class numbers, and a map of numbers is
//! as many times smaller as there are classes.

pub mod keep_largest;
pub mod merge;
pub mod remap;

use super::{EdgeSchema, StageError};
use crate::volume::row::column_name;
use crate::volume::{Dtype, Role, Row, Scaling, Volume};

/// Class number of unannotated voxels.
const NOT_ANNOTATED: u16 = 255;

/// Class numbers of a label map as they are stored.
enum Classes<'a> {
    Narrow(&'a [u8]),
    Wide(&'a [u16]),
}

fn classes(labels: &Volume) -> Result<Classes<'_>, String> {
    let plain = labels.scaling() == Scaling::NONE;
    match (labels.as_slice::<u8>(), labels.as_slice::<u16>()) {
        (Some(values), _) if plain => Ok(Classes::Narrow(values)),
        (_, Some(values)) if plain => Ok(Classes::Wide(values)),
        _ => Err(format!(
            "a label map stored as {} with slope {} and intercept {}; expected class numbers as u8 or u16 without scaling; move the step in front of those that change labels",
            labels.dtype(),
            labels.scaling().slope,
            labels.scaling().intercept
        )),
    }
}

/// Changes every label map present; images stay.
///
/// **Errors** name the column.
fn map_labels(
    mut row: Row,
    change: impl Fn(Volume) -> Result<Volume, String>,
) -> Result<Vec<Row>, StageError> {
    // Where classes were found before, others are now.
    row.forget_sites();
    for channel in &mut row.labels {
        if let Some(labels) = channel.volume.take() {
            let changed = change(labels).map_err(|problem| {
                let column = column_name(Role::Label, &channel.name);
                StageError::input(format!("`{column}`: {problem}"))
            })?;
            channel.volume = Some(changed);
        }
    }
    Ok(vec![row])
}

/// Refuses rows without label maps, whose class numbers nothing could be done with.
fn check_labels(input: &EdgeSchema) -> Result<(), String> {
    if input.labels().next().is_none() {
        return Err(
            "no label map arrives here; declare one in `source`, or remove the step".into(),
        );
    }
    Ok(())
}

/// A new number for each of the 65536 class numbers there can be; `None` where none is allowed.
struct Table {
    new: Vec<Option<u16>>,
    /// Largest new number of those below 256.
    most_narrow: u16,
}

impl Table {
    fn new(number: impl Fn(u16) -> Option<u16>) -> Self {
        let new: Vec<Option<u16>> = (0..=u16::MAX).map(number).collect();
        let narrow = new[..256].iter().flatten();
        let most_narrow = narrow.copied().max().unwrap_or_default();
        Self { new, most_narrow }
    }

    /// Type of a changed map: as it arrives, unless a new number needs more.
    fn dtype(&self, arrives: Option<Dtype>) -> Option<Dtype> {
        match arrives {
            Some(Dtype::U8) if self.most_narrow > 255 => Some(Dtype::U16),
            other => other,
        }
    }

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_labels(input)?;
        Ok(input.map(|c| {
            if c.role == Role::Label {
                c.dtype = self.dtype(c.dtype);
            }
        }))
    }

    fn apply(&self, labels: &Volume) -> Result<Volume, String> {
        let refuse = |class: u16| {
            format!("class {class} is not in `map`; add it, or write `others: keep` or `zero`")
        };
        let grid = *labels.grid();
        let changed = match classes(labels)? {
            Classes::Narrow(values) => {
                if let Some(&class) = values.iter().find(|v| self.new[usize::from(**v)].is_none()) {
                    return Err(refuse(class.into()));
                }
                let new = |v: u8| self.new[usize::from(v)].unwrap_or_default();
                if self.most_narrow <= 255 {
                    let table: [u8; 256] = std::array::from_fn(|v| new(v as u8) as u8);
                    let values = values.iter().map(|v| table[usize::from(*v)]);
                    Volume::from_vec::<u8>(values.collect(), grid)
                } else {
                    Volume::from_vec::<u16>(values.iter().map(|v| new(*v)).collect(), grid)
                }
            }
            Classes::Wide(values) => {
                let new = |v: &u16| self.new[usize::from(*v)].ok_or_else(|| refuse(*v));
                let values: Result<Vec<u16>, String> = values.iter().map(new).collect();
                Volume::from_vec(values?, grid)
            }
        };
        changed.map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests;
