//! Makes NIfTI files in memory.

use crate::volume::Dtype;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Everything a test may want to set; `Build::new` makes a sound 2 x 3 x 4 file.
#[derive(Debug, Clone)]
pub(super) struct Build {
    pub(super) version: u8,
    pub(super) big: bool,
    pub(super) pair: bool,
    pub(super) dim: [i64; 8],
    pub(super) datatype: i16,
    pub(super) bitpix: i16,
    pub(super) pixdim: [f64; 8],
    pub(super) vox_offset: Option<f64>,
    pub(super) slope: f64,
    pub(super) inter: f64,
    pub(super) units: u8,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    pub(super) quatern: [f64; 3],
    pub(super) qoffset: [f64; 3],
    pub(super) srow: [[f64; 4]; 3],
    /// Bytes from the end of the fixed header to the voxels, extender included.
    pub(super) gap: Vec<u8>,
    /// Numbers before conversion to the datatype.
    pub(super) values: Vec<f64>,
}

pub(super) fn datatype(dtype: Dtype) -> i16 {
    match dtype {
        Dtype::U8 => 2,
        Dtype::I16 => 4,
        Dtype::I32 => 8,
        Dtype::F32 => 16,
        Dtype::F64 => 64,
        Dtype::I8 => 256,
        Dtype::U16 => 512,
        Dtype::U32 => 768,
        Dtype::I64 => 1024,
        Dtype::U64 => 1280,
        Dtype::F16 => panic!("the format knows no f16"),
    }
}

impl Build {
    pub(super) fn new(dtype: Dtype) -> Self {
        Self {
            version: 1,
            big: false,
            pair: false,
            dim: [3, 2, 3, 4, 1, 1, 1, 1],
            datatype: datatype(dtype),
            bitpix: dtype.bytes() as i16 * 8,
            pixdim: [1.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0],
            vox_offset: None,
            slope: 0.0,
            inter: 0.0,
            units: 2,
            qform_code: 0,
            sform_code: 1,
            quatern: [0.0; 3],
            qoffset: [0.0; 3],
            srow: [
                [-1.0, 0.0, 0.0, 10.0],
                [0.0, 2.0, 0.0, -20.0],
                [0.0, 0.0, 3.0, 30.5],
            ],
            gap: vec![0; 4],
            values: (0..24).map(f64::from).collect(),
        }
    }

    fn end<const N: usize>(&self, mut little: [u8; N]) -> [u8; N] {
        if self.big {
            little.reverse();
        }
        little
    }

    /// Header and gap.
    pub(super) fn header(&self) -> Vec<u8> {
        let length = if self.version == 1 { 348 } else { 540 };
        let mut out = vec![0u8; length];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        let f32s = |v: f64| self.end((v as f32).to_le_bytes());
        let f64s = |v: f64| self.end(v.to_le_bytes());
        let i16s = |v: i16| self.end(v.to_le_bytes());
        let i32s = |v: i32| self.end(v.to_le_bytes());
        let start = if self.pair {
            0
        } else {
            length + self.gap.len()
        };
        let vox_offset = self.vox_offset.unwrap_or(start as f64);
        put(0, &i32s(length as i32));
        let flat: Vec<f64> = self.srow.iter().flatten().copied().collect();
        if self.version == 1 {
            for i in 0..8 {
                put(40 + 2 * i, &i16s(self.dim[i] as i16));
                put(76 + 4 * i, &f32s(self.pixdim[i]));
            }
            put(70, &i16s(self.datatype));
            put(72, &i16s(self.bitpix));
            put(108, &f32s(vox_offset));
            put(112, &f32s(self.slope));
            put(116, &f32s(self.inter));
            put(123, &[self.units]);
            put(148, b"made by a test");
            put(252, &i16s(self.qform_code as i16));
            put(254, &i16s(self.sform_code as i16));
            for i in 0..3 {
                put(256 + 4 * i, &f32s(self.quatern[i]));
                put(268 + 4 * i, &f32s(self.qoffset[i]));
            }
            for (i, &v) in flat.iter().enumerate() {
                put(280 + 4 * i, &f32s(v));
            }
            put(344, if self.pair { b"ni1\0" } else { b"n+1\0" });
        } else {
            put(
                4,
                if self.pair {
                    b"ni2\0\r\n\x1a\n"
                } else {
                    b"n+2\0\r\n\x1a\n"
                },
            );
            put(12, &i16s(self.datatype));
            put(14, &i16s(self.bitpix));
            for i in 0..8 {
                put(16 + 8 * i, &self.end(self.dim[i].to_le_bytes()));
                put(104 + 8 * i, &f64s(self.pixdim[i]));
            }
            put(168, &self.end((vox_offset as i64).to_le_bytes()));
            put(176, &f64s(self.slope));
            put(184, &f64s(self.inter));
            put(240, b"made by a test");
            put(344, &i32s(self.qform_code));
            put(348, &i32s(self.sform_code));
            for i in 0..3 {
                put(352 + 8 * i, &f64s(self.quatern[i]));
                put(376 + 8 * i, &f64s(self.qoffset[i]));
            }
            for (i, &v) in flat.iter().enumerate() {
                put(400 + 8 * i, &f64s(v));
            }
            put(500, &i32s(self.units.into()));
        }
        out.extend(&self.gap);
        out
    }

    /// Voxels in the file's type and order; other datatypes give `bitpix / 8` bytes a value.
    pub(super) fn voxels(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for &v in &self.values {
            match self.datatype {
                2 => out.extend(self.end((v as u8).to_le_bytes())),
                4 => out.extend(self.end((v as i16).to_le_bytes())),
                8 => out.extend(self.end((v as i32).to_le_bytes())),
                16 => out.extend(self.end((v as f32).to_le_bytes())),
                64 => out.extend(self.end(v.to_le_bytes())),
                256 => out.extend(self.end((v as i8).to_le_bytes())),
                512 => out.extend(self.end((v as u16).to_le_bytes())),
                768 => out.extend(self.end((v as u32).to_le_bytes())),
                1024 => out.extend(self.end((v as i64).to_le_bytes())),
                1280 => out.extend(self.end((v as u64).to_le_bytes())),
                _ => out.extend(vec![v as u8; self.bitpix as usize / 8]),
            }
        }
        out
    }

    /// A single file's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.header(), self.voxels()].concat()
    }

    /// Writes a single file, gzip when the name says so.
    pub(super) fn save(&self, folder: &Path, name: &str) -> PathBuf {
        let bytes = self.bytes();
        save(
            folder,
            name,
            &if name.ends_with(".gz") {
                gzip(&bytes)
            } else {
                bytes
            },
        )
    }
}

pub(super) fn save(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
