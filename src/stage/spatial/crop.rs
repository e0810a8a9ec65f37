//! Cuts a box of a fixed size.

use super::regrid::{check_one_grid, exact_half, one_grid, windowed_row};
use crate::stage::{EdgeSchema, Effect, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cuts the same box out of every volume of a subject: from its middle, or from a given place.
///
/// An axis with fewer voxels than asked for stays whole; add `pad` to make it longer. Where an odd
/// voxel is left over in the middle, it is cut from the end. All volumes need one grid.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Voxels along x, y, z; `null` keeps an axis whole. Give this or `size_mm`.
    #[serde(default)]
    pub size: Option<[Option<usize>; 3]>,
    /// Size in mm along x, y, z, rounded to whole voxels (halves up, at least one); `null` keeps an axis whole.
    #[serde(default)]
    pub size_mm: Option<[Option<f64>; 3]>,
    /// First voxel x, y, z of the box; its place is the middle where left out.
    #[serde(default)]
    pub offset: Option<[usize; 3]>,
}

impl Crop {
    /// Voxels of the box along each axis, at most as many as there are.
    fn size(&self, shape_xyz: [usize; 3], spacing_mm: [f64; 3]) -> [usize; 3] {
        [0, 1, 2].map(|a| {
            let voxels = self.size.and_then(|size| size[a]);
            let from_mm = || {
                let mm = self.size_mm?[a]?;
                Some(((exact_half(mm / spacing_mm[a]) + 0.5).floor() as usize).max(1))
            };
            let wanted = voxels.or_else(from_mm).unwrap_or(shape_xyz[a]);
            wanted.min(shape_xyz[a])
        })
    }

    fn window(
        &self,
        shape_xyz: [usize; 3],
        spacing_mm: [f64; 3],
    ) -> Result<([i64; 3], [usize; 3]), String> {
        let size = self.size(shape_xyz, spacing_mm);
        let Some(offset) = self.offset else {
            let middle = [0, 1, 2].map(|a| ((shape_xyz[a] - size[a]) / 2) as i64);
            return Ok((middle, size));
        };
        let ends_inside = |a: usize| {
            let end = offset[a].checked_add(size[a]);
            end.is_some_and(|end| end <= shape_xyz[a])
        };
        if !(0..3).all(ends_inside) {
            return Err(format!(
                "a box of {size:?} voxels that begins at {offset:?} leaves the volume of {shape_xyz:?} voxels (x, y, z); move `offset` towards 0, ask for less, or add `pad` before `crop`"
            ));
        }
        Ok((offset.map(|o| o as i64), size))
    }
}

impl Stage for Crop {
    const NAME: &'static str = "crop";
    const EXAMPLE: &'static str = "{ size: [8, 8, null] }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        if self.size.is_some() == self.size_mm.is_some() {
            return Err(
                "give either `size` in voxels, such as `size: [96, 96, 64]`, or `size_mm`"
                    .to_owned(),
            );
        }
        if self.size.into_iter().flatten().flatten().any(|n| n == 0) {
            return Err("`size` holds 0; a box has at least one voxel along each axis".to_owned());
        }
        let mut sizes_mm = self.size_mm.into_iter().flatten().flatten();
        if let Some(bad) = sizes_mm.find(|mm| !(mm.is_finite() && *mm > 0.0)) {
            return Err(format!(
                "`size_mm` holds {bad}; a size is a positive number of mm, or null for the whole axis"
            ));
        }
        check_one_grid(input, Self::NAME)?;
        let mut next = input.clone();
        for channel in &mut next.channels {
            let spacing_mm = match (channel.spacing_mm, self.size_mm) {
                (None, None) => Some([1.0; 3]),
                (spacing_mm, _) => spacing_mm,
            };
            let known = channel.shape_xyz.zip(spacing_mm);
            channel.shape_xyz = match known {
                Some((shape, spacing)) => Some(self.window(shape, spacing)?.1),
                None => None,
            };
        }
        Ok(next)
    }

    fn effect(&self) -> Effect {
        Effect::Crops
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        let Some(grid) = one_grid(&row, Self::NAME)? else {
            return Ok(vec![row]);
        };
        let window = self.window(grid.shape_xyz(), grid.spacing_mm());
        let (offset_xyz, shape_xyz) = window.map_err(StageError::input)?;
        Ok(vec![windowed_row(row, offset_xyz, shape_xyz)?])
    }
}
