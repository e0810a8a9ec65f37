//! Where a header contradicts itself about the place of its voxels.

use super::super::affine::Rows;
use super::super::format;
use super::fields::Fields;
use crate::volume::{Grid, VolumeError};
use std::path::Path;

/// Forms further apart than this, in voxels, place the anatomy elsewhere.
const MOST_VOXELS_APART: f64 = 0.5;

/// Checks that a sform with a code has content.
///
/// **Errors** `Format` if all its rows are zero while the qform is sound: one of the two codes is wrong.
pub(super) fn check_sform(
    path: &Path,
    fields: &Fields,
    shape_xyz: [usize; 3],
    sform: Option<Rows>,
    qform: Option<Rows>,
) -> Result<(), VolumeError> {
    let is_zero = sform.is_some_and(|rows| rows.as_flattened().iter().all(|v| *v == 0.0));
    let Some(grid) = qform.and_then(|rows| Grid::from_rows(shape_xyz, rows).ok()) else {
        return Ok(());
    };
    if !is_zero {
        return Ok(());
    }
    let spacing = grid
        .spacing_mm()
        .map(|s| format!("{}", (s * 1e4).round() / 1e4));
    Err(format(
        path,
        "srow",
        format!(
            "sform_code is {}, but the sform holds zeros only; the qform (qform_code {}) is sound: {} mm, {}; set sform_code to 0, or copy the qform into the sform",
            fields.sform_code,
            fields.qform_code,
            spacing.join(" x "),
            grid.orientation()
        ),
    ))
}

/// What is usable, but suspicious.
pub(super) fn remarks(
    fields: &Fields,
    grid: &Grid,
    sform: Option<Rows>,
    qform: Option<Rows>,
) -> Vec<String> {
    let mut remarks = Vec::new();
    let other = qform.and_then(|rows| Grid::from_rows(grid.shape_xyz(), rows).ok());
    if let (Some(_), Some(other)) = (sform, other) {
        let apart_mm = grid.corner_distance_mm(&other);
        let smallest_mm = grid.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        if apart_mm > MOST_VOXELS_APART * smallest_mm {
            remarks.push(format!(
                "its sform (code {}) and qform (code {}) are up to {apart_mm:.2} mm apart, {:.1} voxels; the sform is used: write one affine into both, or set qform_code to 0",
                fields.sform_code,
                fields.qform_code,
                apart_mm / smallest_mm
            ));
        }
    }
    if sform.is_none() {
        let axes = (fields.dim[0].clamp(0, 3)) as usize;
        let zero: Vec<&str> = (0..axes)
            .filter(|a| fields.pixdim[a + 1] == 0.0)
            .map(|a| ["x", "y", "z"][a])
            .collect();
        if !zero.is_empty() {
            let forms = match qform {
                Some(_) => "the affine is the qform's",
                None => "there is neither sform nor qform",
            };
            remarks.push(format!(
                "its voxel size (pixdim) along {} is 0 and {forms}: 1 mm is assumed; write the true size into the header",
                zero.join(", ")
            ));
        }
    }
    remarks
}
