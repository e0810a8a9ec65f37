//! Fields one by one: what each may say, and what it means.

use super::super::format;
use super::codes;
use super::encoding::{Layout, Version};
use super::fields::{Fields, check_axes};
use crate::volume::{Dtype, Scaling, VolumeError};
use nifti::{NiftiType, Unit};
use std::path::{Path, PathBuf};

/// `datatype` of single bits.
const BITS: i16 = 1;

/// The voxel type of `datatype`, held against `bitpix`.
pub(super) fn dtype(path: &Path, fields: &Fields) -> Result<Dtype, VolumeError> {
    let unsupported = |what: &str, hint| VolumeError::Unsupported {
        path: PathBuf::from(path),
        what: what.to_owned(),
        hint,
    };
    let split = "store each part as a volume of its own";
    let code = fields.datatype;
    let unsupported = |what: &str, hint| unsupported(&format!("{what} (datatype {code})"), hint);
    let Some(stored) = codes::voxel_type(code) else {
        return Err(match code {
            BITS => unsupported("one bit a voxel", "store it as uint8"),
            _ => format(
                path,
                "datatype",
                format!("code {code} is none of the format's; the header is damaged"),
            ),
        });
    };
    let Some(dtype) = codes::dtype(stored) else {
        return Err(match stored {
            NiftiType::Rgb24 => unsupported("RGB colour", split),
            NiftiType::Rgba32 => unsupported("RGBA colour", split),
            NiftiType::Float128 => unsupported("128-bit floats", "store it as float64"),
            _ => unsupported("complex numbers", "store the magnitude as float32"),
        });
    };
    let bits = dtype.bytes() * 8;
    if i64::from(fields.bitpix) != bits as i64 {
        return Err(format(
            path,
            "bitpix",
            format!(
                "{} bits a voxel, but datatype {} ({dtype}) has {bits}; one of the two is wrong, write the file again",
                fields.bitpix, fields.datatype
            ),
        ));
    }
    Ok(dtype)
}

/// Voxels along x, y, z; axes the file does not have are of one voxel.
pub(super) fn shape(path: &Path, fields: &Fields) -> Result<[usize; 3], VolumeError> {
    let axes = fields.dim[0];
    check_axes(path, axes)?;
    for axis in 1..=axes as usize {
        if fields.dim[axis] < 1 {
            return Err(format(
                path,
                "dim",
                format!(
                    "dim[{axis}] is {}; every axis needs at least one voxel",
                    fields.dim[axis]
                ),
            ));
        }
    }
    let mut shape = [1; 3];
    for (axis, voxels) in shape.iter_mut().enumerate() {
        *voxels = usize::try_from(fields.axis(axis + 1)).map_err(|_| overflow(path, fields))?;
    }
    Ok(shape)
}

/// Length of the fourth axis; further axes must be of one voxel.
pub(super) fn volumes(path: &Path, fields: &Fields) -> Result<usize, VolumeError> {
    // A size that overflows is a damaged header, not a vector image.
    whole(path, fields, Dtype::U8)?;
    if (5..=7).any(|axis| fields.axis(axis) > 1) {
        let axes = &fields.dim[1..=fields.dim[0] as usize];
        return Err(VolumeError::Unsupported {
            path: PathBuf::from(path),
            what: format!(
                "an image with {} axes {axes:?} (vectors or tensors)",
                fields.dim[0]
            ),
            hint: "store its components along the fourth axis and choose one by index",
        });
    }
    usize::try_from(fields.axis(4)).map_err(|_| overflow(path, fields))
}

/// Bytes of all voxels.
pub(super) fn whole(path: &Path, fields: &Fields, dtype: Dtype) -> Result<u64, VolumeError> {
    (1..=7)
        .try_fold(dtype.bytes() as u64, |bytes, axis| {
            bytes.checked_mul(fields.axis(axis) as u64)
        })
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or_else(|| overflow(path, fields))
}

fn overflow(path: &Path, fields: &Fields) -> VolumeError {
    let axes = &fields.dim[1..=fields.dim[0] as usize];
    format(
        path,
        "dim",
        format!("{axes:?} voxels are more than any file can hold; the header is damaged"),
    )
}

/// First byte of the voxels. In a single file nothing below 352 (544) is believed: readers disagree
/// on what such an offset means, so that each would show other voxels.
pub(super) fn vox_offset(path: &Path, fields: &Fields) -> Result<u64, VolumeError> {
    let offset = fields.vox_offset;
    let least = match (fields.layout, fields.version) {
        (Layout::Pair, _) => 0,
        (Layout::Single, Version::Nifti1) => 352,
        (Layout::Single, Version::Nifti2) => 544,
    };
    // 2^53: the last f64 that is surely a byte number.
    if offset.fract() != 0.0 || !(least as f64..9_007_199_254_740_992.0).contains(&offset) {
        return Err(format(
            path,
            "vox_offset",
            format!("{offset}; voxels begin at a whole byte from {least}"),
        ));
    }
    Ok(offset as u64)
}

/// `scl_slope` and `scl_inter`; a slope of 0, NaN or infinity means none.
pub(super) fn scaling(path: &Path, fields: &Fields) -> Result<Scaling, VolumeError> {
    let (slope, intercept) = (fields.scl_slope, fields.scl_inter);
    if slope == 0.0 || !slope.is_finite() {
        return Ok(Scaling::NONE);
    }
    if !intercept.is_finite() {
        return Err(format(
            path,
            "scl_inter",
            format!(
                "{intercept} beside the valid scl_slope {slope}; set it to 0 or to the true intercept"
            ),
        ));
    }
    Ok(Scaling { slope, intercept })
}

/// The factor to mm of the file's spatial unit; unknown counts as mm.
pub(super) fn mm_per_unit(path: &Path, fields: &Fields) -> Result<f64, VolumeError> {
    match codes::spatial_unit(fields.xyzt_units) {
        Some(Unit::Meter) => Ok(1e3),
        Some(Unit::Micron) => Ok(1e-3),
        Some(_) => Ok(1.0),
        None => Err(format(
            path,
            "xyzt_units",
            format!(
                "spatial unit {} is none of the format's; {} is mm",
                fields.xyzt_units & 7,
                Unit::Mm as u8
            ),
        )),
    }
}
