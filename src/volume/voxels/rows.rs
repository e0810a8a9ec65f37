//! Rows of a volume on another grid.

use super::Volume;
use super::stored::value_of;
use crate::kernel::sample::{LinearRows, ReadRows};
use crate::volume::dtype::{Dtype, Scaling, Voxel};
use crate::with_voxel_type;
use glam::DAffine3;

impl Volume {
    /// The values between voxels on a grid of `shape_xyz`, row by row; `None` where axes change
    /// places or turn.
    pub(in crate::volume) fn rows(
        &self,
        source_from_output: &DAffine3,
        shape_xyz: [usize; 3],
    ) -> Option<Box<dyn ReadRows + '_>> {
        let (from, scaling, map) = (self.grid.shape_xyz(), self.scaling(), source_from_output);
        let is_whole = !matches!(self.dtype(), Dtype::F16 | Dtype::F32 | Dtype::F64);
        with_voxel_type!(self.dtype(), T => {
            let stored: (&[T], _) = (bytemuck::cast_slice(self.buffer().as_slice()), from);
            match scaling == Scaling::NONE {
                true => {
                    let rows = LinearRows::try_new(stored, |v: T| v.to_f32(), map, shape_xyz)?;
                    boxed(rows.of_finite(is_whole))
                }
                false => {
                    let value = move |v: T| value_of(v, scaling);
                    boxed(LinearRows::try_new(stored, value, map, shape_xyz)?)
                }
            }
        })
    }

    /// Value of rows of an image where there is no source: its smallest value. It is looked for, in all voxels, only
    /// if the rows reach out of the source.
    pub(in crate::volume) fn fill_of(&self, rows: &dyn ReadRows) -> f32 {
        match rows.reaches_out() {
            true => self.lowest_value(),
            false => 0.0,
        }
    }
}

fn boxed<'a>(rows: impl ReadRows + 'a) -> Option<Box<dyn ReadRows + 'a>> {
    Some(Box::new(rows))
}
