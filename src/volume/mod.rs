//! Volumes: grids, voxels, rows of a pipeline, and how they lie in Arrow.
//!
//! Nothing here knows of YAML, stages or networks.

pub mod alignment;
pub mod columns;
pub mod deferred;
pub mod dtype;
pub mod error;
mod filtered;
mod gather;
pub mod grid;
mod moves;
pub mod nifti;
pub mod row;
pub mod sites;
pub mod voxels;
pub mod warning;
pub mod warp;

pub use deferred::{Change, ImageInterpolation, Interpolation, LabelInterpolation};
pub use dtype::{Dtype, Role, Scaling, Voxel};
pub use error::VolumeError;
pub use grid::{Grid, GridError};
pub use row::{Channel, Row, Split};
pub use sites::Sites;
pub use voxels::{Backing, Volume};
pub use warning::{Warning, WarningKind};
pub use warp::Warp;
