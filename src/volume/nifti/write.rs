//! Volumes into `.nii` and `.nii.gz`.
//!
//! The header is written here and not by the package `nifti`, which writes whole files only: with
//! `scl_slope` 1 and `scl_inter` 0 whatever the volume says, with 16-bit dimensions, under a name whose
//! ending it changes on its own. The tests read our files back with it.

use super::affine::{self, Quaternion};
use super::header::{Header, Version, of_dtype};
use super::{format, io};
use crate::store::{self, Target};
use crate::volume::{Dtype, Grid, Scaling, Volume, VolumeError};
use libdeflater::{CompressionLvl, Compressor};
use nifti::{Unit, XForm};
use std::borrow::Cow;
use std::io::Write as _;
use std::path::Path;

/// What a grid aligns to when nobody says: "another file", as nibabel writes.
const ALIGNED: i32 = XForm::AlignedAnat as i32;

/// gzip level: against level 3, label maps are a third smaller in the same time; CT voxels are 1 %
/// smaller and take a fifth longer. Most of what is written are label maps.
const LEVEL: i32 = 6;

/// How the hidden name of a file in the making ends; it begins with a dot.
pub const DRAFT: &str = ".partial";

/// Writes a volume as NIfTI-1, or NIfTI-2 when an axis is longer than 32767 voxels.
///
/// The type stays as stored, scaling in `scl_slope`/`scl_inter`; f16, which the format does not
/// know, becomes f32. The affine goes to the sform and, unless it is sheared, to the qform: the
/// sform is exact in f32, the qform's quaternion may be off by 1e-3 rad next to half turns. Codes
/// and the temporal unit come from `like`; without it the code is 2, aligned. The spatial unit is
/// mm. A file of that name is replaced when the new one is complete, never before.
///
/// **Errors** as [`Volume::verify`]; `Format` when the name ends in neither `.nii` nor `.nii.gz` or the affine exceeds
/// f32; `Io` when the folder cannot be written to.
pub fn write(path: &Path, volume: &Volume, like: Option<&Header>) -> Result<(), VolumeError> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let gzip = name.ends_with(".nii.gz");
    if !gzip && !name.ends_with(".nii") {
        return Err(format(
            path,
            "name",
            "a volume is written to a name ending in .nii or .nii.gz",
        ));
    }
    volume.verify()?;
    // Both the header and the voxels lie in this machine's byte order, which every reader knows.
    let wide;
    let (dtype, voxels) = if volume.dtype() == Dtype::F16 {
        wide = widened(volume);
        (Dtype::F32, bytemuck::cast_slice(&wide))
    } else {
        (volume.dtype(), volume.buffer().as_slice())
    };
    let header = header(path, volume.grid(), dtype, volume.scaling(), like)?;
    if store::is_url(path) {
        let content = match gzip {
            true => compressed(path, &header, voxels)?,
            false => [&header[..], voxels].concat(),
        };
        return store::write(path, &content).map_err(io(path, "uploading"));
    }
    let target = Target::of(path).map_err(io(path, "looking it up"))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(DRAFT);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The user's umask applies; a temporary file's own default hides it from the group.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder
        .tempfile_in(target.folder())
        .map_err(io(path, "creating a file beside it"))?;
    let content = if gzip {
        Cow::Owned(compressed(path, &header, voxels)?)
    } else {
        Cow::Borrowed(voxels)
    };
    let written = if gzip {
        file.write_all(&content)
    } else {
        file.write_all(&header)
            .and_then(|()| file.write_all(&content))
    };
    written.map_err(io(path, "writing"))?;
    target
        .publish(file)
        .map_err(io(path, "putting the complete file in its place"))
}

fn widened(volume: &Volume) -> Vec<f32> {
    volume
        .as_slice::<half::f16>()
        .unwrap_or_default()
        .iter()
        .map(|v| v.to_f32())
        .collect()
}

/// One gzip member: many readers know no second.
fn compressed(path: &Path, header: &[u8], voxels: &[u8]) -> Result<Vec<u8>, VolumeError> {
    let plain = [header, voxels].concat();
    let level = CompressionLvl::new(LEVEL).expect("invariant: the level is one of libdeflate's");
    let mut compressor = Compressor::new(level);
    let mut out = vec![0; compressor.gzip_compress_bound(plain.len())];
    let length = compressor
        .gzip_compress(&plain, &mut out)
        .map_err(|e| io(path, "compressing")(std::io::Error::other(format!("{e:?}"))))?;
    out.truncate(length);
    Ok(out)
}

/// Header and the four bytes that say "no extensions": 352 or 544 bytes.
fn header(
    path: &Path,
    grid: &Grid,
    dtype: Dtype,
    scaling: Scaling,
    like: Option<&Header>,
) -> Result<Vec<u8>, VolumeError> {
    let version = if grid.shape_xyz().iter().all(|&n| n <= i16::MAX as usize) {
        Version::Nifti1
    } else {
        Version::Nifti2
    };
    let rows = grid.rows();
    let finite = |v: &f64| (*v as f32).is_finite();
    if version == Version::Nifti1 && !rows.iter().flatten().all(finite) {
        return Err(format(
            path,
            "srow",
            format!("{rows:?} does not fit 32-bit floats"),
        ));
    }
    let code = |own: fn(&Header) -> i32, other: fn(&Header) -> i32| {
        like.and_then(|h| [own(h), other(h)].into_iter().find(|&code| code > 0))
            .unwrap_or(ALIGNED)
    };
    let sform_code = code(|h| h.sform_code, |h| h.qform_code);
    let (qform_code, turn) = match affine::quaternion(grid.world_from_voxel().matrix3) {
        Some(turn) => (code(|h| h.qform_code, |h| h.sform_code), turn),
        None => (
            0,
            Quaternion {
                bcd: [0.0; 3],
                q: 1.0,
            },
        ),
    };
    let time = like.map_or(0, |h| h.xyzt_units & 0b11_1000);
    let [x, y, z] = grid.shape_xyz();
    let [sx, sy, sz] = grid.spacing_mm();
    let dim = [3, x as i64, y as i64, z as i64, 1, 1, 1, 1];
    let pixdim = [turn.q, sx, sy, sz, 1.0, 1.0, 1.0, 1.0];
    let origin = rows.map(|row| row[3]);
    let datatype = of_dtype(dtype) as i16;
    let bits = dtype.bytes() as i16 * 8;
    let descrip = concat!("voxstream ", env!("CARGO_PKG_VERSION"));
    let units = time | Unit::Mm as u8;
    Ok(match version {
        Version::Nifti1 => {
            let mut out = Out::new(352);
            out.put(0, &348i32.to_ne_bytes());
            out.put(38, b"r"); // `regular`, which ANALYZE readers ask for
            out.put_all(40, dim.map(|v| (v as i16).to_ne_bytes()));
            out.put(70, &datatype.to_ne_bytes());
            out.put(72, &bits.to_ne_bytes());
            out.put_all(76, pixdim.map(f32_bytes));
            out.put(108, &f32_bytes(352.0));
            out.put(112, &f32_bytes(scaling.slope));
            out.put(116, &f32_bytes(scaling.intercept));
            out.put(123, &[units]);
            out.put(148, descrip.as_bytes());
            out.put(252, &(qform_code as i16).to_ne_bytes());
            out.put(254, &(sform_code as i16).to_ne_bytes());
            out.put_all(256, turn.bcd.map(f32_bytes));
            out.put_all(268, origin.map(f32_bytes));
            out.put_all(280, rows.as_flattened().iter().map(|&v| f32_bytes(v)));
            out.put(344, b"n+1\0");
            out.0
        }
        Version::Nifti2 => {
            let mut out = Out::new(544);
            out.put(0, &540i32.to_ne_bytes());
            out.put(4, b"n+2\0\r\n\x1a\n");
            out.put(12, &datatype.to_ne_bytes());
            out.put(14, &bits.to_ne_bytes());
            out.put_all(16, dim.map(i64::to_ne_bytes));
            out.put_all(104, pixdim.map(f64::to_ne_bytes));
            out.put(168, &544i64.to_ne_bytes());
            out.put(176, &scaling.slope.to_ne_bytes());
            out.put(184, &scaling.intercept.to_ne_bytes());
            out.put(240, descrip.as_bytes());
            out.put(344, &qform_code.to_ne_bytes());
            out.put(348, &sform_code.to_ne_bytes());
            out.put_all(352, turn.bcd.map(f64::to_ne_bytes));
            out.put_all(376, origin.map(f64::to_ne_bytes));
            out.put_all(400, rows.as_flattened().iter().map(|v| v.to_ne_bytes()));
            out.put(500, &i32::from(units).to_ne_bytes());
            out.0
        }
    })
}

fn f32_bytes(value: f64) -> [u8; 4] {
    (value as f32).to_ne_bytes()
}

/// Bytes written at the format's offsets; the rest stays zero.
struct Out(Vec<u8>);

impl Out {
    fn new(length: usize) -> Self {
        Self(vec![0; length])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_all<const N: usize>(&mut self, at: usize, items: impl IntoIterator<Item = [u8; N]>) {
        for (i, item) in items.into_iter().enumerate() {
            self.put(at + N * i, &item);
        }
    }
}
