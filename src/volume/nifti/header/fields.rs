//! The two headers' fields at their byte offsets, in one shape.

use super::super::affine::Rows;
use super::super::format;
use super::encoding::{ByteOrder, Layout, Version};
use crate::volume::VolumeError;
use nifti::NiftiHeader;
use std::path::{Path, PathBuf};

/// Fields as they stand in the file; only size and magic are checked.
pub(super) struct Fields {
    pub(super) version: Version,
    pub(super) byte_order: ByteOrder,
    pub(super) layout: Layout,
    pub(super) dim: [i64; 8],
    pub(super) datatype: i16,
    pub(super) bitpix: i16,
    pub(super) pixdim: [f64; 8],
    pub(super) vox_offset: f64,
    pub(super) scl_slope: f64,
    pub(super) scl_inter: f64,
    pub(super) xyzt_units: u8,
    pub(super) intent_code: i32,
    pub(super) intent_name: String,
    pub(super) descrip: String,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    pub(super) quatern: [f64; 3],
    pub(super) qoffset: [f64; 3],
    pub(super) srow: Rows,
}

/// Reads numbers of one byte order.
struct Bytes<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

impl Bytes<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[at..at + N]);
        if self.order == ByteOrder::Big {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.array(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.array(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.array(at))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.array(at))
    }
}

/// Text up to its first zero.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).trim().to_owned()
}

impl Fields {
    /// Finds version, byte order and layout, then every field.
    ///
    /// **Errors** `Format` when the bytes are no NIfTI header, `Unsupported` for ANALYZE 7.5.
    pub(super) fn new(path: &Path, bytes: &[u8]) -> Result<Self, VolumeError> {
        let Some(size) = bytes.first_chunk::<4>() else {
            return Err(too_short(path, bytes, 348));
        };
        let (length, order) = match (i32::from_le_bytes(*size), i32::from_be_bytes(*size)) {
            (n @ (348 | 540), _) => (n as usize, ByteOrder::Little),
            (_, n @ (348 | 540)) => (n as usize, ByteOrder::Big),
            (found, _) => {
                return Err(format(
                    path,
                    "sizeof_hdr",
                    format!(
                        "{found}, expected 348 or 540 in either byte order; this is no NIfTI file"
                    ),
                ));
            }
        };
        if bytes.len() < length {
            return Err(too_short(path, bytes, length));
        }
        let bytes = Bytes { bytes, order };
        if length == 348 {
            Self::nifti1(path, &bytes)
        } else {
            Self::nifti2(path, &bytes)
        }
    }

    /// Voxels along an axis from 1 to 7; 1 for axes the file does not have.
    pub(super) fn axis(&self, axis: usize) -> i64 {
        if axis as i64 <= self.dim[0] {
            self.dim[axis]
        } else {
            1
        }
    }

    fn nifti1(path: &Path, b: &Bytes<'_>) -> Result<Self, VolumeError> {
        let layout = match &b.bytes[344..348] {
            b"n+1\0" => Layout::Single,
            b"ni1\0" => Layout::Pair,
            _ => {
                return Err(VolumeError::Unsupported {
                    path: PathBuf::from(path),
                    what: "a header without NIfTI's magic (ANALYZE 7.5)".to_owned(),
                    hint: "convert it to NIfTI with a tool that knows which side is left; ANALYZE does not say",
                });
            }
        };
        // `NiftiHeader` knows the byte order by this number alone, so it must be a sound one.
        check_axes(path, b.i16(40).into())?;
        let header =
            NiftiHeader::from_reader(b.bytes).map_err(|e| format(path, "header", e.to_string()))?;
        Ok(Self {
            version: Version::Nifti1,
            byte_order: b.order,
            layout,
            // `NiftiHeader` keeps them without their sign.
            dim: header.dim.map(|n| i64::from(n as i16)),
            datatype: header.datatype,
            bitpix: header.bitpix,
            pixdim: header.pixdim.map(f64::from),
            vox_offset: header.vox_offset.into(),
            scl_slope: header.scl_slope.into(),
            scl_inter: header.scl_inter.into(),
            xyzt_units: header.xyzt_units,
            intent_code: header.intent_code.into(),
            intent_name: text(&header.intent_name),
            descrip: text(&header.descrip),
            qform_code: header.qform_code.into(),
            sform_code: header.sform_code.into(),
            quatern: [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from),
            qoffset: [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from),
            srow: [header.srow_x, header.srow_y, header.srow_z].map(|row| row.map(f64::from)),
        })
    }

    fn nifti2(path: &Path, b: &Bytes<'_>) -> Result<Self, VolumeError> {
        let layout = match &b.bytes[4..8] {
            b"n+2\0" => Layout::Single,
            b"ni2\0" => Layout::Pair,
            found => {
                return Err(format(
                    path,
                    "magic",
                    format!(
                        "`{}`, expected `n+2` or `ni2` in a header of 540 bytes",
                        found.escape_ascii()
                    ),
                ));
            }
        };
        if &b.bytes[8..12] != b"\r\n\x1a\n" {
            return Err(format(
                path,
                "magic",
                "line ends were rewritten: the file was copied as text; copy it again as binary",
            ));
        }
        Ok(Self {
            version: Version::Nifti2,
            byte_order: b.order,
            layout,
            dim: std::array::from_fn(|i| b.i64(16 + 8 * i)),
            datatype: b.i16(12),
            bitpix: b.i16(14),
            pixdim: std::array::from_fn(|i| b.f64(104 + 8 * i)),
            vox_offset: b.i64(168) as f64,
            scl_slope: b.f64(176),
            scl_inter: b.f64(184),
            xyzt_units: b.i32(500) as u8,
            intent_code: b.i32(504),
            intent_name: text(&b.bytes[508..524]),
            descrip: text(&b.bytes[240..320]),
            qform_code: b.i32(344),
            sform_code: b.i32(348),
            quatern: std::array::from_fn(|i| b.f64(352 + 8 * i)),
            qoffset: std::array::from_fn(|i| b.f64(376 + 8 * i)),
            srow: std::array::from_fn(|row| std::array::from_fn(|i| b.f64(400 + 32 * row + 8 * i))),
        })
    }
}

/// **Errors** `Format` if a file cannot have so many axes.
pub(super) fn check_axes(path: &Path, axes: i64) -> Result<(), VolumeError> {
    match (1..=7).contains(&axes) {
        true => Ok(()),
        false => Err(format(
            path,
            "dim",
            format!("dim[0] is {axes}; a file has 1 to 7 axes"),
        )),
    }
}

fn too_short(path: &Path, bytes: &[u8], expected: usize) -> VolumeError {
    format(
        path,
        "header",
        format!(
            "cut off: expected {expected} bytes, found {}; this is no NIfTI file or an incomplete one",
            bytes.len()
        ),
    )
}
