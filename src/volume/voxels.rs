//! One volume: a typed, shared buffer of voxels on a grid.

use super::grid::{Grid, GridError};
use arrow::buffer::Buffer;
use half::f16;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::PathBuf;

/// What can be wrong with a volume or the file it comes from.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The file could not be opened, read or written.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file breaks a rule of its format.
    #[error("{}: {field}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The header field or part of the file, as the format names it.
        field: &'static str,
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// The file is sound, but holds something no pipeline can use.
    #[error("{}: {what} is not supported; {hint}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// The grid is no grid.
    #[error("{}", path.as_ref().map_or_else(|| "volume".to_owned(), |p| p.display().to_string()))]
    Grid {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// The rule broken.
        #[source]
        source: GridError,
    },
    /// Voxel count and buffer disagree.
    #[error(
        "a volume of shape {shape_zyx:?} (z, y, x) as {dtype} needs {expected} bytes, found {found}"
    )]
    Size {
        /// Shape asked for.
        shape_zyx: [usize; 3],
        /// Voxel type.
        dtype: Dtype,
        /// Bytes the shape needs.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A batch that is not one of ours.
    #[error("column `{column}`: {problem}")]
    Column {
        /// The column.
        column: String,
        /// What was found and expected.
        problem: String,
    },
}

/// What a volume's numbers mean; decides the interpolation, never the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Intensities: linear interpolation.
    Image,
    /// Class numbers: nearest neighbour, so that no class is invented.
    Label,
}

/// A voxel's stored type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Dtype {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Dtype {
    /// Every type, in the order of their definition.
    pub const ALL: [Self; 11] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F16,
        Self::F32,
        Self::F64,
    ];

    /// Bytes of one voxel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The name used in tables and messages, such as `i16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that voxels are stored as.
pub trait Voxel: bytemuck::Pod + PartialEq + Send + Sync {
    /// The stored type.
    const DTYPE: Dtype;
    /// The number as f64 (64-bit integers above 2^53 are rounded).
    fn to_f64(self) -> f64;
    /// The number as f32.
    fn to_f32(self) -> f32;
}

macro_rules! voxel {
    ($($t:ty => $d:ident),*) => {$(impl Voxel for $t {
        const DTYPE: Dtype = Dtype::$d;
        fn to_f64(self) -> f64 { self as f64 }
        fn to_f32(self) -> f32 { self as f32 }
    })*};
}
voxel!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64, f32 => F32, f64 => F64);
impl Voxel for f16 {
    const DTYPE: Dtype = Dtype::F16;
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn to_f32(self) -> f32 {
        self.into()
    }
}

/// Runs a block with `$T` bound to the Rust type of a [`Dtype`].
#[macro_export]
macro_rules! with_voxel_type {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::volume::Dtype::U8 => {
                type $T = u8;
                $body
            }
            $crate::volume::Dtype::I8 => {
                type $T = i8;
                $body
            }
            $crate::volume::Dtype::U16 => {
                type $T = u16;
                $body
            }
            $crate::volume::Dtype::I16 => {
                type $T = i16;
                $body
            }
            $crate::volume::Dtype::U32 => {
                type $T = u32;
                $body
            }
            $crate::volume::Dtype::I32 => {
                type $T = i32;
                $body
            }
            $crate::volume::Dtype::U64 => {
                type $T = u64;
                $body
            }
            $crate::volume::Dtype::I64 => {
                type $T = i64;
                $body
            }
            $crate::volume::Dtype::F16 => {
                type $T = half::f16;
                $body
            }
            $crate::volume::Dtype::F32 => {
                type $T = f32;
                $body
            }
            $crate::volume::Dtype::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

/// What turns stored numbers into values: `value = slope * stored + intercept`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// NIfTI `scl_slope`.
    pub slope: f64,
    /// NIfTI `scl_inter`.
    pub intercept: f64,
}

impl Scaling {
    /// Stored numbers are the values.
    pub const NONE: Self = Self {
        slope: 1.0,
        intercept: 0.0,
    };
}

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
