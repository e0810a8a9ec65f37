//! Figures of one volume, and of one class in it.

use crate::volume::Role;

/// A volume of a subject, by its header.
#[derive(Debug, Clone)]
pub struct VolumePrint {
    /// Position of the subject in [`Fingerprint::subjects`](super::Fingerprint::subjects).
    pub subject: usize,
    /// Image or label.
    pub role: Role,
    /// Modality; empty for one label map for all.
    pub name: String,
    /// Directions in which x, y and z grow as stored.
    pub orientation: String,
    /// Voxels along the world's x, y, z.
    pub shape_xyz: [usize; 3],
    /// Distance of voxel centres along the world's x, y, z.
    pub spacing_mm: [f64; 3],
    /// Stored type.
    pub dtype: String,
    /// Bytes of the voxels as stored.
    pub bytes: u64,
    /// Figures of the voxels of a sampled image.
    pub intensity: Option<Intensity>,
}

/// Figures of an image's voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct Intensity {
    /// Smallest and largest finite value.
    pub range: [f64; 2],
    /// Share of voxels that are exactly 0.
    pub zero_share: f64,
    /// Share of voxels below 0.
    pub negative_share: f64,
    /// 1st and 99th percentile of the voxels that are not 0, wherever they are; NaN if there are none.
    pub ends: [f64; 2],
    /// Whether the voxels are whole numbers in regions of one value, as those of a label map.
    pub looks_like_labels: bool,
    /// Whether the foreground is what the label map marks; else it is what is not 0.
    pub inside_labels: bool,
    /// Foreground values, evenly spaced, at most 20,000.
    pub foreground: Vec<f32>,
}

/// A value of a sampled label map.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassPrint {
    /// Position of the subject in [`Fingerprint::subjects`](super::Fingerprint::subjects).
    pub subject: usize,
    /// Modality; empty for one label map for all.
    pub name: String,
    /// The value as stored.
    pub value: i64,
    /// Volume in mL.
    pub volume_ml: f64,
    /// Connected components (26 neighbours).
    pub components: usize,
    /// Volume of the largest in mL.
    pub largest_ml: f64,
}

impl Intensity {
    /// Percentiles of the foreground; `None` if there is none.
    pub fn percentiles(&self, percents: &[f64]) -> Option<Vec<f64>> {
        crate::kernel::percentile::percentiles(&self.foreground, f32::is_finite, percents)
    }

    /// Mean and standard deviation of the foreground; `None` if there is none.
    pub fn moments(&self) -> Option<[f64; 2]> {
        moments(&self.foreground)
    }
}

/// Mean and standard deviation (divided by n) of values, in f64; `None` if there are none.
pub fn moments(values: &[f32]) -> Option<[f64; 2]> {
    let n = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let square = |v: &f32| (f64::from(*v) - mean).powi(2);
    Some([mean, (values.iter().map(square).sum::<f64>() / n).sqrt()])
}
