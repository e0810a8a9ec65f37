//! What a NIfTI header says, checked.

mod check;
mod codes;
mod encoding;
mod fields;
mod geometry;
mod pair;

pub(super) use codes::of_dtype;
pub use codes::{alignment, intent};
pub use encoding::{ByteOrder, Layout, Version};

use super::affine::{self, Rows};
use super::{format, inflate, input};
use crate::volume::{Dtype, Grid, Scaling, VolumeError};
use check::{dtype, mm_per_unit, scaling, shape, volumes, vox_offset, whole};
use fields::Fields;
use std::path::{Path, PathBuf};

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
    /// What the sform aligns to, see [`alignment`]; 0: no sform.
    pub sform_code: i32,
    /// What the qform aligns to, see [`alignment`]; 0: no qform.
    pub qform_code: i32,
    /// Rows of the sform in mm, where its code is above 0.
    pub sform: Option<[[f64; 4]; 3]>,
    /// Rows of the qform in mm, where its code is above 0.
    pub qform: Option<[[f64; 4]; 3]>,
    /// `xyzt_units`: the spatial unit in bits 0 to 2, the temporal one in bits 3 to 5.
    pub xyzt_units: u8,
    /// What the values mean, see [`intent`]; 0: nothing said.
    pub intent_code: i32,
    /// Name of the intent.
    pub intent_name: String,
    /// Free text.
    pub descrip: String,
    /// The file that holds the voxels.
    pub voxels_path: PathBuf,
    /// What is usable, but suspicious about the geometry: what was found, what was assumed, what to do.
    pub remarks: Vec<String>,
}

impl Header {
    /// The volume to read: `index`, or the only one; `path` is named in errors.
    ///
    /// **Errors** `Format` when the choice is missing or out of range.
    pub fn choose(&self, path: &Path, index: Option<usize>) -> Result<usize, VolumeError> {
        let volumes = self.volumes;
        match index {
            None if volumes == 1 => Ok(0),
            None => Err(format(
                path,
                "dim",
                format!(
                    "a 4-D file with {volumes} volumes; a manifest chooses one of them: `{{ column: NAME, index: 0 }}`, from 0 to {}",
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

/// A file, or both halves of the pair it belongs to, those that are there.
pub(super) fn files_of(path: &Path) -> Vec<PathBuf> {
    let header = pair::header_path(path);
    // A single file has no other half; a header without its image fails when it is read.
    let image = pair::image_path(&header).ok();
    std::iter::once(header).chain(image).collect()
}

/// Reads and checks the header that `path` names, itself or as the other half of a pair.
pub(super) fn read(path: &Path) -> Result<Header, VolumeError> {
    let path = &pair::header_path(path);
    let head = input::head(path, inflate::LONGEST)?;
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
    geometry::check_sform(path, &fields, shape_xyz, sform, qform)?;
    let grid = Grid::from_rows(shape_xyz, rows).map_err(|source| VolumeError::Grid {
        path: Some(path.clone()),
        source,
    })?;
    let remarks = geometry::remarks(&fields, &grid, sform, qform);
    let (voxels_path, gzip) = match fields.layout {
        Layout::Single => {
            inflate::check_length(path, &head, vox_offset.saturating_add(whole))?;
            (path.clone(), head.gzip)
        }
        Layout::Pair => {
            let image = pair::image_path(path)?;
            let head = input::head(&image, 0)?;
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
        remarks,
    })
}
