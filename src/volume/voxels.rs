//! One volume: a typed, shared buffer of voxels on a grid.

use super::dtype::{Dtype, Scaling, Voxel};
use super::error::VolumeError;
use super::grid::Grid;
use crate::with_voxel_type;
use arrow::buffer::Buffer;
use std::borrow::Cow;

/// A volume: voxels `[z, y, x]`, their type and scaling, and the grid they stand on.
///
/// Cloning shares the voxels. Writing copies them first if they are shared.
#[derive(Debug, Clone)]
pub struct Volume {
    voxels: Buffer,
    dtype: Dtype,
    scaling: Scaling,
    grid: Grid,
}

impl Volume {
    /// A volume over bytes in native order.
    ///
    /// **Errors** when the number of bytes is not voxels times their size.
    pub fn try_new(
        voxels: Buffer,
        dtype: Dtype,
        scaling: Scaling,
        grid: Grid,
    ) -> Result<Self, VolumeError> {
        let expected = grid.voxel_count() * dtype.bytes();
        if voxels.len() != expected {
            return Err(VolumeError::Size {
                shape_zyx: grid.shape_zyx(),
                dtype,
                expected,
                found: voxels.len(),
            });
        }
        // Foreign buffers (a slice of an IPC message, say) may start anywhere; typed views may not.
        let voxels = if voxels.as_ptr().align_offset(dtype.bytes()) == 0 {
            voxels
        } else {
            Buffer::from(voxels.as_slice())
        };
        Ok(Self {
            voxels,
            dtype,
            scaling,
            grid,
        })
    }

    /// A volume that takes over a vector without copying; stored numbers are the values.
    ///
    /// **Errors** when the vector's length is not the grid's voxel count.
    pub fn from_vec<T: Voxel + arrow::datatypes::ArrowNativeType>(
        voxels: Vec<T>,
        grid: Grid,
    ) -> Result<Self, VolumeError> {
        Self::try_new(Buffer::from_vec(voxels), T::DTYPE, Scaling::NONE, grid)
    }

    /// Voxels as stored, native byte order, x fastest.
    pub fn buffer(&self) -> &Buffer {
        &self.voxels
    }

    /// Stored type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// From stored numbers to values.
    pub fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// Where the voxels stand.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Bytes of the voxels.
    pub fn bytes(&self) -> usize {
        self.voxels.len()
    }

    /// The stored numbers, when they are of type `T`.
    pub fn as_slice<T: Voxel>(&self) -> Option<&[T]> {
        (self.dtype == T::DTYPE).then(|| bytemuck::cast_slice(self.voxels.as_slice()))
    }

    /// The values as f32 `[z, y, x]`; borrowed when they are stored so.
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        if let (Some(values), Scaling::NONE) = (self.as_slice::<f32>(), self.scaling) {
            return Cow::Borrowed(values);
        }
        let (slope, intercept) = (self.scaling.slope as f32, self.scaling.intercept as f32);
        let values = with_voxel_type!(self.dtype, T => {
            let stored: &[T] = bytemuck::cast_slice(self.voxels.as_slice());
            if self.scaling == Scaling::NONE {
                stored.iter().map(|v| v.to_f32()).collect()
            } else if T::DTYPE.bytes() <= 2 {
                stored.iter().map(|v| v.to_f32() * slope + intercept).collect()
            } else {
                // 32-bit integers do not fit an f32: scale first, round once.
                stored.iter().map(|v| (v.to_f64() * self.scaling.slope + self.scaling.intercept) as f32).collect()
            }
        });
        Cow::Owned(values)
    }

    /// The same values stored as f32 without scaling.
    pub fn into_f32(self) -> Self {
        if self.dtype == Dtype::F32 && self.scaling == Scaling::NONE {
            return self;
        }
        let values = self.to_f32().into_owned();
        Self {
            voxels: Buffer::from_vec(values),
            dtype: Dtype::F32,
            scaling: Scaling::NONE,
            grid: self.grid,
        }
    }

    /// Changes the values in place as f32 `[z, y, x]`.
    ///
    /// Converts to f32 first if they are stored otherwise, and copies if the buffer is shared.
    #[must_use]
    pub fn map_f32(self, change: impl FnOnce(&mut [f32])) -> Self {
        let whole = self.into_f32();
        let mut values: Vec<f32> = whole
            .voxels
            .into_vec()
            .unwrap_or_else(|shared: Buffer| bytemuck::cast_slice(shared.as_slice()).to_vec());
        change(&mut values);
        Self {
            voxels: Buffer::from_vec(values),
            dtype: Dtype::F32,
            scaling: Scaling::NONE,
            grid: whole.grid,
        }
    }

    /// The same voxels on another grid of the same shape (orientation or frame corrected).
    ///
    /// **Errors** when the voxel counts differ.
    pub fn with_grid(self, grid: Grid) -> Result<Self, VolumeError> {
        Self::try_new(self.voxels, self.dtype, self.scaling, grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid::with_spacing([2, 1, 2], [1.0; 3]).unwrap()
    }

    #[test]
    fn scaling_is_applied_once() {
        let stored = Buffer::from_vec(vec![0i16, 1, -2, 300]);
        let volume = Volume::try_new(
            stored,
            Dtype::I16,
            Scaling {
                slope: 0.5,
                intercept: 10.0,
            },
            grid(),
        )
        .unwrap();
        assert_eq!(volume.to_f32().as_ref(), [10.0, 10.5, 9.0, 160.0]);
        let changed = volume.clone().map_f32(|v| v[0] = -1.0);
        assert_eq!(changed.as_slice::<f32>().unwrap(), [-1.0, 10.5, 9.0, 160.0]);
        assert_eq!(volume.as_slice::<i16>().unwrap(), [0, 1, -2, 300]);
    }

    #[test]
    fn shared_voxels_are_copied_before_a_change() {
        let first = Volume::from_vec(vec![1f32; 4], grid()).unwrap();
        let second = first.clone().map_f32(|v| v.fill(2.0));
        assert_eq!(first.to_f32()[0], 1.0);
        assert_eq!(second.to_f32()[0], 2.0);
    }

    #[test]
    fn a_wrong_length_is_named() {
        let error = Volume::from_vec(vec![1f32; 3], grid()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a volume of shape [2, 1, 2] (z, y, x) as f32 needs 16 bytes, found 12"
        );
    }
}
