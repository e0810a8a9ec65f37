//! Volumes: grids, voxels, rows of a pipeline, and how they are laid out in Arrow.
//!
//! ```text
//! NIfTI ─► Volume (stored: bytes, type, scaling, grid) ─► moves and changes ─► Volume (deferred)
//!                                                                                  │ voxels are read
//!          record batch ◄─ Row (channels, labels, draws, warnings) ◄─ Volume (materialised) ◄┘
//! ```
//!
//! **Three types to know.** [`Grid`] says where voxel centres are: shape, and the affine from voxel index
//! to world in mm (RAS+). [`Volume`] is voxels on a grid, `[z, y, x]`, in an Arrow buffer that clones
//! share. [`Row`] is one subject, patch or view: a channel a modality, label maps, and what happened to
//! it.
//!
//! **Deferral.** A move (turn, crop, resampling, warp) or a change of values does not touch voxels: it
//! returns a *deferred* volume, which knows its grid and type and the route to its source. The voxels are
//! *materialised* when they are first read, in one pass with one interpolation, so that a patch that is
//! cut from a deferred volume costs the patch alone. See [`deferred`]. Figures of an image and the box
//! of its foreground do not end this where the background is one value: [`foreground`].
//!
//! **Laws that everything relies on.** Type, scaling and bytes of a volume agree: every conversion is a
//! recorded change, constructors check `bytes = voxels x size`, and writers check again
//! ([`Row::verify`]). Nearest voxels at exactly one half are chosen along the world's axes
//! ([`Grid::ties`]), so that the order of axes in a file changes no label. The differential tests
//! (`tests/differential`) compare chains of every step with an unoptimised run and a naive reference;
//! change nothing here without them.
//!
//! Nothing here knows of YAML, stages or networks.

pub mod alignment;
mod change;
pub mod columns;
pub mod deferred;
pub mod dtype;
pub mod error;
mod filtered;
pub mod foreground;
mod gather;
pub mod grid;
mod interpolation;
mod moves;
pub mod nifti;
pub mod region;
pub mod row;
pub mod sites;
pub mod voxels;
pub mod warning;
pub mod warp;

pub use change::Change;
pub use dtype::{Dtype, Role, Scaling, Voxel};
pub use error::VolumeError;
pub use grid::{Grid, GridError};
pub use interpolation::{ImageInterpolation, Interpolation, LabelInterpolation};
pub use region::LabelRegion;
pub use row::{Channel, Row, Split};
pub use sites::Sites;
pub use voxels::{Backing, KnownForeground, Volume};
pub use warning::{Warning, WarningKind};
pub use warp::Warp;
