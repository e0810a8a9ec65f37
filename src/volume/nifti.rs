//! NIfTI in and out. TEMPORARY LOCAL SHIM, not committed.
use super::*;
use std::path::Path;
/// h
pub struct Header {
    /// g
    pub grid: Grid,
    /// d
    pub dtype: Dtype,
    nt: usize,
}
/// r
pub fn read_header(path: &Path) -> Result<Header, VolumeError> {
    let b = bytes(path)?;
    let i16at = |o: usize| i16::from_le_bytes([b[o], b[o + 1]]);
    let f32at = |o: usize| f32::from_le_bytes([b[o], b[o + 1], b[o + 2], b[o + 3]]) as f64;
    let shape = [1, 2, 3].map(|i| i16at(40 + 2 * i) as usize);
    let dtype = match i16at(70) {
        2 => Dtype::U8,
        4 => Dtype::I16,
        16 => Dtype::F32,
        _ => {
            return Err(VolumeError::Column {
                column: "x".into(),
                problem: "dtype".into(),
            });
        }
    };
    let rows = [0, 1, 2].map(|r| [0, 1, 2, 3].map(|c| f32at(280 + 16 * r + 4 * c)));
    let grid = Grid::from_rows(shape, rows).map_err(|source| VolumeError::Grid {
        path: Some(path.into()),
        source,
    })?;
    Ok(Header {
        grid,
        dtype,
        nt: i16at(48).max(1) as usize,
    })
}
fn bytes(path: &Path) -> Result<Vec<u8>, VolumeError> {
    let io = |source| VolumeError::Io {
        path: path.into(),
        action: "reading",
        source,
    };
    let b = std::fs::read(path).map_err(io)?;
    let b = if b.starts_with(&[0x1f, 0x8b]) {
        let mut o = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&b[..]), &mut o)
            .map_err(io)?;
        o
    } else {
        b
    };
    if b.len() < 352 {
        return Err(VolumeError::Format {
            path: path.into(),
            field: "sizeof_hdr",
            problem: "short".into(),
        });
    }
    Ok(b)
}
/// r
pub fn read(path: &Path, index: Option<usize>) -> Result<Volume, VolumeError> {
    let h = read_header(path)?;
    let b = bytes(path)?;
    let n = h.grid.voxel_count() * h.dtype.bytes();
    let i = index.unwrap_or(0);
    if index.is_none() && h.nt > 1 {
        return Err(VolumeError::Format {
            path: path.into(),
            field: "dim",
            problem: "4-D".into(),
        });
    }
    Volume::try_new(
        arrow::buffer::Buffer::from(&b[352 + i * n..352 + (i + 1) * n]),
        h.dtype,
        Scaling::NONE,
        h.grid,
    )
}
/// r
pub fn read_labels(path: &Path, index: Option<usize>) -> Result<Volume, VolumeError> {
    read(path, index)
}
/// w
pub fn write(_path: &Path, _volume: &Volume, _like: Option<&Header>) -> Result<(), VolumeError> {
    unimplemented!()
}
