//! Resampling through a low-pass filter or with a rule of its own for an axis.

use super::dtype::{Dtype, Role, Scaling};
use super::error::VolumeError;
use super::grid::Grid;
use super::voxels::Volume;
use crate::kernel::sample::filtered::{Filter, sample_filtered, vote_filtered};
use crate::with_voxel_type;
use arrow::buffer::Buffer;

impl Volume {
    /// The volume at the voxels of another grid, read through `filter`; its voxels are materialised
    /// first, and so are those of the result.
    ///
    /// A filter is defined on the grid of the volume as it is, so that moves before it cannot be
    /// composed with it. Moves of the result read the result.
    /// Images leave as f32, with the minimum of the volume beyond its edge; label maps keep their
    /// stored type, with 0 there (a label map with an intercept leaves as f32).
    ///
    /// **Errors** if the result breaks a rule of volumes, which the shapes of grids exclude.
    pub fn resampled_through(
        self,
        role: Role,
        grid: Grid,
        filter: &Filter,
    ) -> Result<Self, VolumeError> {
        let map = self.grid().voxel_from_world() * grid.world_from_voxel();
        let (from, to) = (self.grid().shape_xyz(), grid.shape_xyz());
        // The stored number 0 represents what is outside, and must be class 0.
        let has_zero = role == Role::Image || self.scaling().intercept == 0.0;
        let source = if has_zero { self } else { self.into_f32() }.materialised();
        if role == Role::Image {
            let fill = source.lowest_value();
            let values = sample_filtered(&source.to_f32(), from, &map, to, fill, filter);
            let voxels = Buffer::from_vec(values);
            let mut out = Self::try_new(voxels, Dtype::F32, Scaling::NONE, grid)?;
            out.know_lowest(u64::from(fill.to_bits()));
            return Ok(out);
        }
        let voxels = with_voxel_type!(source.dtype(), T => {
            let stored: &[T] = bytemuck::cast_slice(source.buffer().as_slice());
            let fill: T = bytemuck::Zeroable::zeroed();
            Buffer::from_vec(vote_filtered(stored, from, &map, to, fill, filter))
        });
        Self::try_new(voxels, source.dtype(), source.scaling(), grid)
    }
}
