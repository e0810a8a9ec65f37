//! What can be wrong with a volume or the file it comes from.

use super::dtype::Dtype;
use super::grid::GridError;
use std::path::{Path, PathBuf};

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
    /// Voxels of another type than the volume's.
    #[error("a volume of type {expected} holds voxels of type {found}")]
    Type {
        /// The volume's type.
        expected: Dtype,
        /// The type of its voxels.
        found: Dtype,
    },
    /// A volume is beside the grid it is brought to.
    #[error(
        "shares nothing of the subject's field of view (corners up to {corners_mm:.2} mm apart); look at the affine of its file, or whether it belongs to the subject"
    )]
    Apart {
        /// Largest distance of two corners that answer each other.
        corners_mm: f64,
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

impl VolumeError {
    /// The file it is about, where there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. } | Self::Format { path, .. } | Self::Unsupported { path, .. } => {
                Some(path)
            }
            Self::Grid { path, .. } => path.as_deref(),
            Self::Size { .. } | Self::Type { .. } | Self::Apart { .. } | Self::Column { .. } => {
                None
            }
        }
    }
}
