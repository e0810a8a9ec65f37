//! Volumes on another grid without interpolation, and the question whether a row has one grid.

use crate::kernel::region::{minimum, window};
use crate::kernel::reorient::{AxisMap, reorient};
use crate::stage::{EdgeSchema, StageError};
use crate::volume::grid::SAME_GRID_TOLERANCE_MM;
use crate::volume::row::column_name;
use crate::volume::{Grid, GridError, Role, Row, Volume, VolumeError, Voxel};
use crate::with_voxel_type;
use arrow::buffer::Buffer;
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

/// Runs code with `$T` bound to the unsigned integer as wide as a voxel: moving needs no more.
macro_rules! with_bits {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype.bytes() {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}

pub(super) use with_bits;

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

/// A grid that broke a rule, outside any file.
pub(super) fn bad_grid(source: GridError) -> VolumeError {
    VolumeError::Grid { path: None, source }
}

/// The volume with its axes permuted and reversed; stored type, scaling and world stay.
pub(super) fn turned(volume: &Volume, map: &AxisMap) -> Result<Volume, VolumeError> {
    if *map == AxisMap::IDENTITY {
        return Ok(volume.clone());
    }
    let shape = volume.grid().shape_xyz();
    let affine = volume.grid().world_from_voxel() * map.source_from_output(shape);
    let grid = Grid::try_new(map.output_shape(shape), affine).map_err(bad_grid)?;
    let voxels = with_bits!(volume.dtype(), T => {
        let stored: &[T] = bytemuck::cast_slice(volume.buffer().as_slice());
        Buffer::from_vec(reorient(stored, shape, map))
    });
    Volume::try_new(voxels, volume.dtype(), volume.scaling(), grid)
}

/// Turns every volume of the row.
pub(super) fn turned_row(row: Row, map: impl Fn(&Volume) -> AxisMap) -> Result<Row, StageError> {
    row.try_map_volumes(|_, _, volume| turned(&volume, &map(&volume)))
        .map_err(in_column)
}

/// The window of a volume that begins at `offset_xyz`; stored type, scaling and world stay.
///
/// Outside the volume images hold their minimum, labels 0.
pub(super) fn windowed(
    volume: &Volume,
    role: Role,
    offset_xyz: [i64; 3],
    shape_xyz: [usize; 3],
) -> Result<Volume, VolumeError> {
    let old = volume.grid().shape_xyz();
    if offset_xyz == [0; 3] && shape_xyz == old {
        return Ok(volume.clone());
    }
    let grid = volume
        .grid()
        .window(offset_xyz, shape_xyz)
        .map_err(bad_grid)?;
    let reaches_out = (0..3).any(|a| {
        offset_xyz[a] < 0 || offset_xyz[a].saturating_add(shape_xyz[a] as i64) > old[a] as i64
    });
    let volume = match role {
        Role::Label => with_stored_zero(volume),
        Role::Image => volume.clone(),
    };
    let voxels = with_voxel_type!(volume.dtype(), T => {
        let stored: &[T] = bytemuck::cast_slice(volume.buffer().as_slice());
        let fill = match role {
            Role::Image if reaches_out => background(stored, volume.scaling().slope),
            _ => bytemuck::Zeroable::zeroed(),
        };
        Buffer::from_vec(window(stored, old, offset_xyz, shape_xyz, fill))
    });
    Volume::try_new(voxels, volume.dtype(), volume.scaling(), grid)
}

/// A label map in which the stored number 0 is class 0: all but those with an intercept are.
pub(super) fn with_stored_zero(labels: &Volume) -> Volume {
    if labels.scaling().intercept == 0.0 {
        labels.clone()
    } else {
        labels.clone().into_f32()
    }
}

/// The stored number whose value is smallest; zero where every number is NaN.
fn background<T: Voxel>(stored: &[T], slope: f64) -> T {
    let sign = if slope < 0.0 { -1.0 } else { 1.0 };
    let mut best: Option<(f64, T)> = None;
    for &v in stored {
        let value = sign * v.to_f64();
        if best.is_none_or(|(least, _)| value < least) && !value.is_nan() {
            best = Some((value, v));
        }
    }
    best.map_or_else(bytemuck::Zeroable::zeroed, |(_, v)| v)
}

/// The smallest value of an image's numbers, which stands for what lies outside; 0 where all are NaN.
pub(super) fn background_value(values: &[f32]) -> f32 {
    minimum(values).unwrap_or(0.0)
}

/// The grid all volumes of a row share; `None` for a row without volumes.
///
/// **Errors** name the two columns, how far apart their grids are, and the step that helps.
pub(super) fn one_grid(row: &Row, stage: &str) -> Result<Option<Grid>, StageError> {
    let columns = |role, channels: &'_ [crate::volume::Channel]| {
        channels
            .iter()
            .filter_map(|c| Some((column_name(role, &c.name), *c.volume.as_ref()?.grid())))
            .collect::<Vec<_>>()
    };
    let mut present = columns(Role::Image, &row.images);
    present.extend(columns(Role::Label, &row.labels));
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
