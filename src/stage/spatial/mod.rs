//! Steps that move voxels.
//!
//! Every one keeps this law: a world point shows the same anatomy before and after, because
//! voxels and affine change together.

pub mod affine;
pub mod crop;
pub mod crop_foreground;
pub mod elastic;
pub mod fill;
pub mod flip;
pub mod misalign;
pub mod motion;
pub mod orient;
pub mod pad;
pub mod patch;
pub mod register_check;
pub mod resample;
pub mod rotate90;

mod regrid;
pub use regrid::Axis;
#[cfg(test)]
mod tests;
