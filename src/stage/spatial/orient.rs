//! Brings the voxel axes into one anatomical order.

use super::regrid::turned_row;
use crate::kernel::reorient::AxisMap;
use crate::stage::{EdgeSchema, Effect, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Permutes and reverses axes so that x, y, z grow in the directions named; no voxel is changed.
///
/// Stored types, scaling and world positions stay. An oblique volume is brought to the nearest
/// of the 48 orders and stays oblique.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Orient {
    /// Directions in which x, y, z grow: one letter each of L/R, P/A, I/S in any order, such as `RAS` (x to the right, y to the front, z up) or `LPS`.
    #[serde(default = "ras")]
    pub to: String,
}

fn ras() -> String {
    "RAS".to_owned()
}

impl Default for Orient {
    fn default() -> Self {
        Self { to: ras() }
    }
}

/// World axis and direction of each letter.
fn parse(code: &str) -> Result<[(usize, bool); 3], String> {
    let direction = |letter| match letter {
        'L' => Some((0, false)),
        'R' => Some((0, true)),
        'P' => Some((1, false)),
        'A' => Some((1, true)),
        'I' => Some((2, false)),
        'S' => Some((2, true)),
        _ => None,
    };
    let axes: Option<Vec<_>> = code.chars().map(direction).collect();
    if let Some(Ok(axes)) = axes.map(<[(usize, bool); 3]>::try_from)
        && (0..3).all(|world| axes.iter().any(|&(axis, _)| axis == world))
    {
        return Ok(axes);
    }
    Err(format!(
        "`to: {code}` is no orientation; write one letter each of L/R, P/A and I/S, such as `RAS` or `LPS`"
    ))
}

/// The map from axes that grow as `have` to axes that grow as `want`.
fn axis_map(have: [(usize, bool); 3], want: [(usize, bool); 3]) -> AxisMap {
    let mut map = AxisMap::IDENTITY;
    for (output, (world, positive)) in want.into_iter().enumerate() {
        for (source, &(axis, grows)) in have.iter().enumerate() {
            if axis == world {
                map.source_axis[output] = source;
                map.reversed[output] = grows != positive;
            }
        }
    }
    map
}

impl Stage for Orient {
    const NAME: &'static str = "orient";
    const EXAMPLE: &'static str = "{ to: RAS }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let want = parse(&self.to)?;
        Ok(input.map(|channel| {
            let known = channel.orientation.as_deref().and_then(|c| parse(c).ok());
            let map = known.map(|have| axis_map(have, want));
            channel.shape_xyz = channel.shape_xyz.and_then(|s| permuted(s, map.as_ref()));
            channel.spacing_mm = channel.spacing_mm.and_then(|s| permuted(s, map.as_ref()));
            channel.orientation = Some(self.to.clone());
        }))
    }

    fn effect(&self) -> Effect {
        Effect::Permutes
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        let want = parse(&self.to).map_err(StageError::input)?;
        let row = turned_row(row, |volume| axis_map(volume.grid().axes(), want))?;
        Ok(vec![row])
    }
}

/// Three values in their new order; without a known order only equal values stay known.
fn permuted<T: Copy + PartialEq>(values: [T; 3], map: Option<&AxisMap>) -> Option<[T; 3]> {
    match map {
        Some(map) => Some(map.source_axis.map(|axis| values[axis])),
        None => (values[0] == values[1] && values[1] == values[2]).then_some(values),
    }
}
