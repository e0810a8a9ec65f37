//! What voxels are stored as, and what their numbers mean.

use crate::kernel::halves::append_halves;
pub use half::f16;
use serde::{Deserialize, Serialize};

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
pub trait Voxel: bytemuck::Pod + PartialOrd + Send + Sync {
    /// The stored type.
    const DTYPE: Dtype;
    /// The number as f64 (64-bit integers above 2^53 are rounded).
    fn to_f64(self) -> f64;
    /// The number as f32.
    fn to_f32(self) -> f32;
    /// Appends numbers as f32.
    fn append_f32(numbers: &[Self], to: &mut Vec<f32>) {
        to.extend(numbers.iter().map(|v| v.to_f32()));
    }
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
    fn append_f32(numbers: &[Self], to: &mut Vec<f32>) {
        append_halves(numbers, to);
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
                type $T = $crate::volume::dtype::f16;
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
