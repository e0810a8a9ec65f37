//! Steps that move voxels.
//!
//! Every one keeps this law: a world point shows the same anatomy before and after, because
//! voxels and affine change together.

pub mod crop_foreground;
pub mod flip;
pub mod orient;
pub mod pad;
pub mod patch;
pub mod resample;
pub mod rotate90;

mod regrid;
#[cfg(test)]
mod tests;
