//! Makes volumes large enough for patches and networks.

use super::fill::OutsideFill;
use super::regrid::in_column;
use crate::stage::{EdgeSchema, Effect, Stage, StageError};
use crate::volume::Row;
use crate::volume::grid::{MOST_VOXELS, is_in_bounds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Pads every volume on both sides alike: images with their minimum, or with the value `fill`, labels with 0.
///
/// An odd voxel goes to the end. Axes that are large enough stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Fewest voxels along x, y, z. At least one of `size` and `multiple_of` is needed.
    #[serde(default)]
    pub size: Option<[usize; 3]>,
    /// Makes every axis a multiple of this many voxels, as networks that halve their grid need.
    #[serde(default)]
    pub multiple_of: Option<NonZeroUsize>,
    /// Value of images in the padding: `min`, a number in the image's values at this step (such as `-1024` for air in HU), or one of them for each modality. With a number images leave as f32.
    #[serde(default, skip_serializing_if = "OutsideFill::is_default")]
    pub fill: OutsideFill,
}

/// Where a window of `length` voxels begins that holds `count` voxels in its middle.
pub(super) fn centred_offset(count: usize, length: usize) -> i64 {
    -((length.saturating_sub(count) / 2) as i64)
}

impl Pad {
    fn padded(&self, shape_xyz: [usize; 3]) -> [usize; 3] {
        let least = self.size.unwrap_or_default();
        [0, 1, 2].map(|a| {
            let length = shape_xyz[a].max(least[a]);
            length.next_multiple_of(self.multiple_of.map_or(1, NonZeroUsize::get))
        })
    }
}

impl Stage for Pad {
    const NAME: &'static str = "pad";
    const EXAMPLE: &'static str = "{ size: [96, 96, 96], multiple_of: 16 }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        const MOST: usize = 1 << 16;
        if self.size.is_none() && self.multiple_of.is_none() {
            return Err(
                "neither `size` nor `multiple_of` is given; say how large volumes must be, such as `size: [96, 96, 96]`"
                    .to_owned(),
            );
        }
        let multiple = self.multiple_of.map(NonZeroUsize::get);
        if let Some(large) = self
            .size
            .iter()
            .flatten()
            .copied()
            .chain(multiple)
            .find(|&n| n > MOST)
        {
            return Err(format!(
                "{large} voxels along an axis are more than the {MOST} supported; ask for less"
            ));
        }
        if !is_in_bounds(self.padded([1; 3])) {
            return Err(format!(
                "volumes of {:?} voxels are too large; {MOST_VOXELS} voxels in all is the most",
                self.padded([1; 3])
            ));
        }
        let filled = self.fill.check(input)?;
        Ok(filled.map(|c| c.shape_xyz = c.shape_xyz.map(|shape| self.padded(shape))))
    }

    fn effect(&self) -> Effect {
        Effect::Crops
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        let row = row.try_map_volumes(|name, role, volume| {
            let old = volume.grid().shape_xyz();
            let new = self.padded(old);
            let offset = [0, 1, 2].map(|a| centred_offset(old[a], new[a]));
            self.fill.windowed(name, role, volume, offset, new)
        });
        Ok(vec![row.map_err(in_column)?])
    }
}
