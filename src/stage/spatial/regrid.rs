//! Volumes on another grid without interpolation, and the question whether a row has one grid.

use crate::kernel::reorient::AxisMap;
use crate::stage::{EdgeSchema, StageError};
use crate::volume::grid::SAME_GRID_TOLERANCE_MM;
use crate::volume::{Grid, Row, Volume, VolumeError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An axis of the voxel array; after `orient: { to: RAS }` x runs left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Fastest in memory.
    X,
    /// Between the others.
    Y,
    /// Slowest in memory.
    Z,
}

impl Axis {
    /// Every axis.
    pub const ALL: [Self; 3] = [Self::X, Self::Y, Self::Z];

    /// Position in x, y, z.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Voxels more than this many times longer along one axis than along another are thick slices.
///
/// **Source** nnU-Net v2, `ANISO_THRESHOLD`.
pub(super) const THICK_SLICES: f64 = 3.0;

/// Voxel sizes closer than this are equal.
pub(super) const SAME_SPACING_MM: f64 = 1e-3;

/// A length this close to a half, relative to itself, is a half: files hold spacings as f32, and
/// which side of the half their rounding falls on must not decide how many voxels an axis has.
const HALF_TOLERANCE: f64 = 1e-6;

/// A length in voxels, or the half that it equals up to rounding.
pub(super) fn exact_half(length: f64) -> f64 {
    let half = length.floor() + 0.5;
    let is_half = (length - half).abs() <= HALF_TOLERANCE * length;
    if is_half { half } else { length }
}

/// The axis with the largest voxel size; `None` if two or three axes share it, as in nnU-Net.
pub(super) fn coarsest_axis(spacing_mm: [f64; 3]) -> Option<usize> {
    let most = spacing_mm.into_iter().fold(0.0, f64::max);
    let mut coarse = (0..3).filter(|&axis| most - spacing_mm[axis] <= SAME_SPACING_MM);
    coarse.next().filter(|_| coarse.next().is_none())
}

/// Returns `true` if the largest voxel size is more than three times the smallest.
pub(super) fn has_thick_slices(spacing_mm: [f64; 3]) -> bool {
    let least = spacing_mm.into_iter().fold(f64::INFINITY, f64::min);
    spacing_mm.into_iter().fold(0.0, f64::max) > THICK_SLICES * least
}

/// Names the column an error arose in.
pub(super) fn in_column((column, error): (String, VolumeError)) -> StageError {
    let mut problem = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        problem = format!("{problem}: {cause}");
        source = cause.source();
    }
    StageError::Volume(VolumeError::Column { column, problem })
}

/// Turns every volume of the row.
pub(super) fn turned_row(row: Row, map: impl Fn(&Volume) -> AxisMap) -> Result<Row, StageError> {
    row.try_map_volumes(|_, role, volume| volume.turned(role, &map(&volume)))
        .map_err(in_column)
}

/// Cuts the same window out of every volume of the row.
pub(super) fn windowed_row(
    row: Row,
    offset_xyz: [i64; 3],
    shape_xyz: [usize; 3],
) -> Result<Row, StageError> {
    row.try_map_volumes(|_, role, volume| volume.windowed(role, offset_xyz, shape_xyz))
        .map_err(in_column)
}

/// The grid all volumes of a row share; `None` for a row without volumes.
///
/// **Errors** name the two columns, how far apart their grids are, and the step that helps.
pub(super) fn one_grid(row: &Row, stage: &str) -> Result<Option<Grid>, StageError> {
    let columns = row.columns();
    let present: Vec<(String, Grid)> = columns.map(|(name, _, v)| (name, *v.grid())).collect();
    let Some((first, grid)) = present.first() else {
        return Ok(None);
    };
    for (column, other) in &present[1..] {
        if !other.is_same(grid, SAME_GRID_TOLERANCE_MM) {
            return Err(StageError::input(format!(
                "`{column}` ({:?} voxels) is on another grid than `{first}` ({:?} voxels), corners up to {:.3} mm apart; add `resample` before `{stage}`",
                other.shape_xyz(),
                grid.shape_xyz(),
                other.corner_distance_mm(grid),
            )));
        }
    }
    Ok(Some(*grid))
}

/// Refuses a plan whose columns are known to have different grids.
pub(super) fn check_one_grid(input: &EdgeSchema, stage: &str) -> Result<(), String> {
    let mut known = input
        .channels
        .iter()
        .filter_map(|c| Some((c.column(), c.shape_xyz?)));
    let Some((first, shape)) = known.next() else {
        return Ok(());
    };
    match known.find(|(_, other)| *other != shape) {
        None => Ok(()),
        Some((column, other)) => Err(format!(
            "`{column}` arrives with {other:?} voxels and `{first}` with {shape:?}, and `{stage}` needs one grid; add `resample` before it"
        )),
    }
}
