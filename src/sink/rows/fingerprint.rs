//! The tables of a data set's fingerprint.

use super::*;

tables! {
    /// One row a volume of a data set: what its header says, and figures of its voxels where it was sampled.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    FingerprintRow => FINGERPRINT "fingerprint" version 1 {
        /// The subject's id.
        subject_id: String => "",
        /// The patient that the subject shows; its id where the source names no patient.
        patient: String => "",
        /// Column of the volume: image.ct, label.
        volume: String => "",
        /// Directions in which x, y and z of the stored volume grow, such as RAS or LPI.
        orientation: String => "",
        /// Voxels along the world's x, from left to right.
        shape_x: i32 => "voxels",
        /// Voxels along the world's y, from back to front.
        shape_y: i32 => "voxels",
        /// Voxels along the world's z, from bottom to top.
        shape_z: i32 => "voxels",
        /// Distance of voxel centres along the world's x.
        spacing_x_mm: f64 => "mm",
        /// Distance of voxel centres along the world's y.
        spacing_y_mm: f64 => "mm",
        /// Distance of voxel centres along the world's z.
        spacing_z_mm: f64 => "mm",
        /// Type of the stored voxels.
        dtype: String => "",
        /// Bytes of the voxels as stored.
        bytes: i64 => "bytes",
        /// Smallest finite value of an image; null where it was not sampled, as all figures below.
        low: Option<f64> => "",
        /// Largest finite value of an image.
        high: Option<f64> => "",
        /// Share of an image's voxels that are exactly 0.
        zero_share: Option<f64> => "",
        /// Which voxels the figures below are of: labels (inside any class), nonzero (no label map on this grid).
        foreground: Option<String> => "",
        /// Foreground voxels that were looked at, evenly spaced.
        foreground_voxels: Option<i64> => "voxels",
        /// 0.5th percentile of the foreground.
        p00_5: Option<f64> => "",
        /// Median of the foreground.
        p50: Option<f64> => "",
        /// 99.5th percentile of the foreground.
        p99_5: Option<f64> => "",
        /// Mean of the foreground.
        mean: Option<f64> => "",
        /// Standard deviation of the foreground, divided by n.
        sd: Option<f64> => "",
    }

    /// One row a value above 0 of a sampled label map.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    FingerprintClassRow => FINGERPRINT_CLASSES "fingerprint_classes" version 1 {
        /// The subject's id.
        subject_id: String => "",
        /// Column of the label map: label, label.ct.
        volume: String => "",
        /// The value as stored.
        value: i64 => "",
        /// Volume of its voxels.
        volume_ml: f64 => "mL",
        /// Connected components, by faces, edges and corners.
        components: i32 => "",
        /// Volume of the largest component.
        largest_ml: f64 => "mL",
    }
}
