//! The voxel size that all volumes are resampled to.

use crate::init::fingerprint::Fingerprint;
use crate::init::numbers::{by_axis, median, percentile, short};
use crate::spec::{agreeing, counted};

/// An axis is strongly anisotropic if its spacing is more than this times the others', and its count of
/// voxels less than the others' by the same factor.
const ANISOTROPY: f64 = 3.0;

/// The voxel size that all volumes are resampled to.
#[derive(Debug, Clone, PartialEq)]
pub struct Spacing {
    /// Distance of voxel centres along x, y, z in mm.
    pub spacing_mm: [f64; 3],
    /// Median shape of the subjects at that spacing, voxels along x, y, z.
    pub median_shape: [usize; 3],
    /// Whether the coarsest axis is read by the nearest slice.
    pub is_anisotropic: bool,
    /// Why.
    pub reason: String,
}

impl Spacing {
    /// **Law** the median of each axis; along a strongly anisotropic axis the 10th percentile, but no
    /// less than the largest of the other two. **Source** nnU-Net v2,
    /// `ExperimentPlanner.determine_fullres_target_spacing`.
    pub fn new(print: &Fingerprint) -> Self {
        let images = print.first_images();
        let of_axis =
            |axis: usize| -> Vec<f64> { images.iter().map(|v| v.spacing_mm[axis]).collect() };
        let stored = [0, 1, 2].map(|axis| median(&mut of_axis(axis)));
        let shape = [0, 1, 2].map(|axis| {
            let mut counts: Vec<f64> = images.iter().map(|v| v.shape_xyz[axis] as f64).collect();
            median(&mut counts)
        });
        let worst = (0..3)
            .max_by(|a, b| stored[*a].total_cmp(&stored[*b]))
            .unwrap_or(2);
        let others: Vec<usize> = (0..3).filter(|axis| *axis != worst).collect();
        let coarsest_other = others.iter().map(|i| stored[*i]).fold(0.0, f64::max);
        let least_voxels = others
            .iter()
            .map(|i| shape[*i])
            .fold(f64::INFINITY, f64::min);
        let is_anisotropic =
            stored[worst] > ANISOTROPY * coarsest_other && ANISOTROPY * shape[worst] < least_voxels;
        let mut target = stored;
        if is_anisotropic {
            target[worst] = percentile(&mut of_axis(worst), 10.0).max(coarsest_other);
        }
        // Headers hold f32: 0.8999999761581421 was written as 0.9.
        let target = target.map(|mm| (mm * 1e4).round() / 1e4);
        let median_shape = [0, 1, 2].map(|axis| {
            let resampled = |v: &&super::super::fingerprint::VolumePrint| {
                (v.shape_xyz[axis] as f64 * v.spacing_mm[axis] / target[axis]).round()
            };
            let mut counts: Vec<f64> = images.iter().map(resampled).collect();
            median(&mut counts).round().max(1.0) as usize
        });
        let range = |axis: usize| {
            let values = of_axis(axis);
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            match high - low <= 1e-3 * high {
                true => short(low),
                false => format!("{} to {}", short(low), short(high)),
            }
        };
        let found = [0, 1, 2].map(range).join(" x ");
        let whose = format!(
            "{}, which {} {found} mm",
            counted(images.len(), "subject"),
            agreeing(images.len(), "has", "have")
        );
        let reason = match is_anisotropic {
            false => format!("median voxel size of {whose}"),
            true => format!(
                "median voxel size of {whose}; along {}, more than three times as coarse, the 10th percentile",
                ["x", "y", "z"][worst]
            ),
        };
        Self {
            spacing_mm: target,
            median_shape,
            is_anisotropic,
            reason,
        }
    }

    /// The median subject in words.
    pub fn median_subject(&self) -> String {
        let shape = self.median_shape.map(|n| n as f64);
        format!("{} voxels", by_axis(shape))
    }
}
