//! What a filter is: a reading and a Gaussian along each axis.

use super::super::tap::Ties;

/// The filter ends this many standard deviations from its centre.
pub(super) const CUT: f64 = 4.0;

/// How a position between two voxels is read along one axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AxisReading {
    /// The nearest voxel; on which side halves are, [`Filter::ties`] says.
    Nearest,
    /// The two voxels around, weighted by distance.
    #[default]
    Linear,
    /// Cubic convolution over four voxels (Keys 1981, a = -1/2).
    Cubic,
}

/// Filter and interpolation along each axis of the source.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Filter {
    /// How positions between voxels are read along source x, y, z.
    pub readings: [AxisReading; 3],
    /// Standard deviations of the Gaussian along source x, y, z, in voxels; 0 smooths nothing.
    pub sigma_xyz: [f64; 3],
    /// Which voxel is the nearest to a position halfway between two, along source x, y, z.
    pub ties: Ties,
}

impl Filter {
    /// The nearest voxel along every axis, ties as in this filter.
    pub(super) fn nearest(&self) -> Self {
        Self {
            readings: [AxisReading::Nearest; 3],
            sigma_xyz: [0.0; 3],
            ties: self.ties,
        }
    }
}
