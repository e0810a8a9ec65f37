//! How a file is written: version, byte order, one file or two.

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
    /// Returns `true` if this machine's numbers lie so.
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
