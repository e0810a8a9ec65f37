//! Voxel loops: plain slices in, plain slices out. No Arrow, no serde, no subjects.

pub mod bias;
pub mod boxes;
pub mod components;
pub mod distance;
pub mod fourier;
pub mod gaussian;
pub mod halves;
pub mod largest;
pub mod lattice;
pub mod math;
pub mod median;
pub mod moments;
pub mod mutual_information;
pub mod noise;
pub mod peaks;
pub mod percentile;
pub mod quality;
pub mod region;
pub mod reorient;
pub mod rician;
pub mod sample;
pub mod simd;
pub mod transpose;
pub mod vote;
pub mod warp;
