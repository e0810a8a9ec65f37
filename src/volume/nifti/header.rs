//! What a NIfTI header says, checked.

mod fields;
mod pair;

use super::affine::{self, Rows};
use super::{format, inflate};
use crate::volume::{Dtype, Grid, Scaling, VolumeError};
use fields::Fields;
use std::path::{Path, PathBuf};

/// Bytes of the longer of the two headers.
const LONGEST: u64 = 540;

/// Version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// NIfTI-1: 348 bytes, 16-bit dimensions, f32 affines.
    Nifti1,
    /// NIfTI-2: 540 bytes, 64-bit dimensions, f64 affines.
    Nifti2,
}

/// Order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    /// Whether this machine's numbers lie so.
    pub fn is_native(self) -> bool {
        self == if cfg!(target_endian = "big") {
            Self::Big
        } else {
            Self::Little
        }
    }
}

/// Where the voxels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Behind the header, in one file (`.nii`).
    Single,
    /// In a file of their own (`.hdr` and `.img`).
    Pair,
}

/// A checked header; every field fits the file it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Version of the format.
    pub version: Version,
    /// Byte order of header and voxels.
    pub byte_order: ByteOrder,
    /// One file or two.
    pub layout: Layout,
    /// Whether the voxels are gzip.
    pub gzip: bool,
    /// Shape and affine of one 3-D volume, in mm.
    pub grid: Grid,
    /// 3-D volumes along the fourth axis.
    pub volumes: usize,
    /// Type of a voxel as stored.
    pub dtype: Dtype,
    /// From stored numbers to values.
    pub scaling: Scaling,
    /// `dim`: the number of axes, then voxels along each.
    pub dim: [i64; 8],
    /// `pixdim`: the qform's handedness, then sizes along each axis, in the file's units.
    pub pixdim: [f64; 8],
    /// Byte at which the voxels begin, in the file that holds them.
    pub vox_offset: u64,
    /// What the sform aligns to; 0: no sform.
    pub sform_code: i32,
    /// What the qform aligns to; 0: no qform.
    pub qform_code: i32,
    /// Rows of the sform in mm, where its code is above 0.
    pub sform: Option<[[f64; 4]; 3]>,
    /// Rows of the qform in mm, where its code is above 0.
    pub qform: Option<[[f64; 4]; 3]>,
    /// `xyzt_units`: the spatial unit in bits 0 to 2, the temporal one in bits 3 to 5.
    pub xyzt_units: u8,
    /// What the values mean, 0: nothing said.
    pub intent_code: i32,
    /// Name of the intent.
    pub intent_name: String,
    /// Free text.
    pub descrip: String,
    /// The file that holds the voxels.
    pub voxels_path: PathBuf,
}

impl Header {
    /// The volume to read: `index`, or the only one.
    pub(super) fn choose(&self, path: &Path, index: Option<usize>) -> Result<usize, VolumeError> {
        let volumes = self.volumes;
        match index {
            None if volumes == 1 => Ok(0),
            None => Err(format(
                path,
                "dim",
                format!(
                    "a 4-D file with {volumes} volumes; choose one with an index from 0 to {}",
                    volumes - 1
                ),
            )),
            Some(index) if index < volumes => Ok(index),
            Some(index) => Err(format(
                path,
                "dim",
                format!("volume {index} was asked for, but the file has {volumes}, counted from 0"),
            )),
        }
    }
}

/// Reads and checks the header that `path` names, itself or as the other half of a pair.
pub(super) fn read(path: &Path) -> Result<Header, VolumeError> {
    let path = &pair::header_path(path);
    let head = inflate::head(path, LONGEST)?;
    let fields = Fields::new(path, &head.bytes)?;
    let (dtype, shape_xyz, volumes) = (
        dtype(path, &fields)?,
        shape(path, &fields)?,
        volumes(path, &fields)?,
    );
    let vox_offset = vox_offset(path, &fields)?;
    let whole = whole(path, &fields, dtype)?;
    let scaling = scaling(path, &fields)?;
    let mm = mm_per_unit(path, &fields)?;
    let in_mm = |rows: Rows| rows.map(|row| row.map(|v| v * mm));
    let sform = (fields.sform_code > 0).then(|| in_mm(fields.srow));
    let qform = (fields.qform_code > 0).then(|| {
        in_mm(affine::from_quaternion(
            fields.quatern,
            fields.qoffset,
            &fields.pixdim,
        ))
    });
    let rows = sform.or(qform).unwrap_or_else(|| {
        in_mm(affine::from_sizes(
            shape_xyz,
            fields.dim[0] as usize,
            &fields.pixdim,
        ))
    });
    let grid = Grid::from_rows(shape_xyz, rows).map_err(|source| VolumeError::Grid {
        path: Some(path.clone()),
        source,
    })?;
    let (voxels_path, gzip) = match fields.layout {
        Layout::Single => {
            inflate::check_length(path, &head, vox_offset.saturating_add(whole))?;
            (path.clone(), head.gzip)
        }
        Layout::Pair => {
            let image = pair::image_path(path)?;
            let head = inflate::head(&image, 0)?;
            inflate::check_length(&image, &head, vox_offset.saturating_add(whole))?;
            (image, head.gzip)
        }
    };
    Ok(Header {
        version: fields.version,
        byte_order: fields.byte_order,
        layout: fields.layout,
        gzip,
        grid,
        volumes,
        dtype,
        scaling,
        dim: fields.dim,
        pixdim: fields.pixdim,
        vox_offset,
        sform_code: fields.sform_code,
        qform_code: fields.qform_code,
        sform,
        qform,
        xyzt_units: fields.xyzt_units,
        intent_code: fields.intent_code,
        intent_name: fields.intent_name,
        descrip: fields.descrip,
        voxels_path,
    })
}

/// The voxel type of `datatype`, held against `bitpix`.
fn dtype(path: &Path, fields: &Fields) -> Result<Dtype, VolumeError> {
    let unsupported = |what: &str, hint| VolumeError::Unsupported {
        path: PathBuf::from(path),
        what: what.to_owned(),
        hint,
    };
    let split = "store each part as a volume of its own";
    let dtype = match fields.datatype {
        2 => Dtype::U8,
        4 => Dtype::I16,
        8 => Dtype::I32,
        16 => Dtype::F32,
        64 => Dtype::F64,
        256 => Dtype::I8,
        512 => Dtype::U16,
        768 => Dtype::U32,
        1024 => Dtype::I64,
        1280 => Dtype::U64,
        1 => {
            return Err(unsupported(
                "one bit a voxel (datatype 1)",
                "store it as uint8",
            ));
        }
        128 => return Err(unsupported("RGB colour (datatype 128)", split)),
        2304 => return Err(unsupported("RGBA colour (datatype 2304)", split)),
        32 | 1792 | 2048 => {
            let what = format!("complex numbers (datatype {})", fields.datatype);
            return Err(unsupported(&what, "store the magnitude as float32"));
        }
        1536 => {
            return Err(unsupported(
                "128-bit floats (datatype 1536)",
                "store it as float64",
            ));
        }
        code => {
            return Err(format(
                path,
                "datatype",
                format!("code {code} is none of the format's; the header is damaged"),
            ));
        }
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
fn shape(path: &Path, fields: &Fields) -> Result<[usize; 3], VolumeError> {
    let axes = fields.dim[0];
    if !(1..=7).contains(&axes) {
        return Err(format(
            path,
            "dim",
            format!("dim[0] is {axes}; a file has 1 to 7 axes"),
        ));
    }
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
fn volumes(path: &Path, fields: &Fields) -> Result<usize, VolumeError> {
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
fn whole(path: &Path, fields: &Fields, dtype: Dtype) -> Result<u64, VolumeError> {
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
fn vox_offset(path: &Path, fields: &Fields) -> Result<u64, VolumeError> {
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
fn scaling(path: &Path, fields: &Fields) -> Result<Scaling, VolumeError> {
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
fn mm_per_unit(path: &Path, fields: &Fields) -> Result<f64, VolumeError> {
    match fields.xyzt_units & 7 {
        0 | 2 => Ok(1.0),
        1 => Ok(1e3),
        3 => Ok(1e-3),
        code => Err(format(
            path,
            "xyzt_units",
            format!("spatial unit {code} is none of the format's; 2 is mm"),
        )),
    }
}
