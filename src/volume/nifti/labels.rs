//! Label maps: whole numbers from 0, however they are stored.

use super::format;
use crate::volume::{Dtype, Scaling, Volume, VolumeError, Voxel};
use crate::with_voxel_type;
use arrow::buffer::Buffer;
use std::path::Path;

/// Largest class number.
const MOST: f64 = u16::MAX as f64;

/// How far a scaled value may lie from a whole number: an f32 slope is exact to 6e-8, so 65535
/// times it is off by up to 4e-3.
const ROUNDING: f64 = 5e-3;

/// The same map as u8 or u16 without scaling.
///
/// **Errors** `Format` with the first value that is no class number, and its voxel.
pub(super) fn from_volume(path: &Path, volume: Volume) -> Result<Volume, VolumeError> {
    if volume.dtype() == Dtype::U8 && volume.scaling() == Scaling::NONE {
        return Ok(volume);
    }
    let grid = *volume.grid();
    let scaling = volume.scaling();
    let (voxels, dtype) = with_voxel_type!(volume.dtype(), T => {
        let stored: &[T] = bytemuck::cast_slice(volume.buffer().as_slice());
        let most = most(stored, scaling).map_err(|(at, value)| offence(path, &volume, at, value))?;
        let class = |v: &T| value(*v, scaling).round();
        if most <= f64::from(u8::MAX) {
            (Buffer::from_vec(stored.iter().map(|v| class(v) as u8).collect::<Vec<u8>>()), Dtype::U8)
        } else {
            (Buffer::from_vec(stored.iter().map(|v| class(v) as u16).collect::<Vec<u16>>()), Dtype::U16)
        }
    });
    Volume::try_new(voxels, dtype, Scaling::NONE, grid)
}

fn value<T: Voxel>(stored: T, scaling: Scaling) -> f64 {
    if scaling == Scaling::NONE {
        stored.to_f64()
    } else {
        scaling.slope * stored.to_f64() + scaling.intercept
    }
}

/// The largest class number, or the first value that is none with its position.
fn most<T: Voxel>(stored: &[T], scaling: Scaling) -> Result<f64, (usize, f64)> {
    let rounding = if scaling == Scaling::NONE {
        0.0
    } else {
        ROUNDING
    };
    let mut most = 0f64;
    for (at, &v) in stored.iter().enumerate() {
        let v = value(v, scaling);
        let class = v.round();
        // Written so that NaN fails, too.
        if !((v - class).abs() <= rounding && (0.0..=MOST).contains(&class)) {
            return Err((at, v));
        }
        most = most.max(class);
    }
    Ok(most)
}

fn offence(path: &Path, volume: &Volume, at: usize, value: f64) -> VolumeError {
    let [nx, ny, _] = volume.grid().shape_xyz();
    let (x, y, z) = (at % nx, at / nx % ny, at / (nx * ny));
    format(
        path,
        "voxels",
        format!(
            "the value at voxel x {x}, y {y}, z {z} is {value}, but a label map holds whole numbers from 0 to {MOST}; \
             is the file an image, or was it resampled with interpolation?"
        ),
    )
}
