//! Pictures of volumes: slices, label contours, histograms, and pages of them.
//!
//! ```text
//! Volume ─► plane (which voxels, where left and right are) ─► panel (three planes, histogram, caption)
//!                                                               │
//!            contour (label boundaries)  window (grey values) ──┘─► page (bands of panels) ─► PNG, terminal
//! ```
//!
//! Nothing here knows of pipelines: [`page`] gets rows with titles, [`errors`] gets two label maps.
//! Every voxel is drawn in its size in mm, so thick slices look thick; orientation letters stand
//! at each plane.

mod beside;
pub mod canvas;
pub mod contour;
pub mod errors;
pub mod focus;
mod histogram;
pub mod overlay;
pub mod page;
pub mod panel;
pub mod plane;
pub mod terminal;
pub mod text;
pub mod unscored;
pub mod window;

pub use canvas::{Canvas, Rgb};
pub use page::{Band, Page};
pub use panel::Panel;
