//! Measures whether the modalities of a subject are registered.

use super::motion::interpolated;
use crate::stage::{EdgeSchema, Stage, StageError};
use crate::volume::alignment::{Likeness, likeness, overlap};
use crate::volume::grid::SAME_GRID_TOLERANCE_MM;
use crate::volume::row::{Measure, column_name};
use crate::volume::{Interpolation, Role, Row, Volume, WarningKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Measures each modality against the first one present (or `like`), and acts on those out of register.
///
/// Three things are measured: the largest distance of corresponding corners of the two grids in
/// mm; the share of the reference's field of view that the other covers; and whether the two
/// images say more about each other in place than when one is shifted by `shift_voxels` along any
/// axis (normalised mutual information of Studholme 1999, over at most 64 voxels an axis). Images
/// that are constant or too small for the shift pass the third. A modality that fails one
/// of them is treated as `policy` says. Nothing is measured of missing modalities. What was
/// measured is in the run's table `quality`: `register_corner_mm`, `register_overlap`,
/// `register_nmi` and, of the best shifted copy, `register_nmi_shifted`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegisterCheck {
    /// Modality the others are measured against; a subject without it takes its first modality.
    pub like: Option<String>,
    /// What happens to a modality out of register.
    pub policy: Policy,
    /// Largest distance of corresponding corners in mm; not looked at where left out, because modalities may well come on grids of their own.
    pub max_corner_mm: Option<f64>,
    /// Smallest share of the reference's field of view that a modality covers, 0 to 1.
    pub min_overlap: f64,
    /// Voxels of the reference by which copies are shifted; 0 leaves the images themselves unread.
    pub shift_voxels: usize,
    /// How much more a shifted copy's normalised mutual information (1 to 2) may be than that in place.
    pub tolerance: f64,
}

/// What happens to a modality out of register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The subject fails, with the figures as the cause.
    Fail,
    /// A line in the log.
    Warn,
    /// The modality is missing from here on, and its own label map with it.
    Drop,
    /// Every modality and label map is brought on the reference's grid; what covers too little or is out of place still fails the subject.
    Resample,
}

impl Default for RegisterCheck {
    fn default() -> Self {
        Self {
            like: None,
            policy: Policy::Fail,
            max_corner_mm: None,
            min_overlap: 0.75,
            shift_voxels: 4,
            tolerance: 0.005,
        }
    }
}

/// What was measured of one modality.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Largest distance of corresponding corners in mm.
    pub corner_mm: f64,
    /// Share of the reference's field of view that is covered.
    pub overlap: f64,
    /// In place against shifted copies, where that could be measured.
    pub likeness: Option<Likeness>,
}

impl Measured {
    /// As rows of the table `quality`.
    fn figures(&self, modality: &str, step: u32) -> Vec<Measure> {
        let figure = |name: &str, value| Measure {
            step,
            modality: modality.to_owned(),
            name: format!("register_{name}"),
            value,
        };
        let mut found = vec![
            figure("corner_mm", self.corner_mm),
            figure("overlap", self.overlap),
        ];
        if let Some(likeness) = self.likeness {
            found.push(figure("nmi", likeness.in_place));
            found.push(figure("nmi_shifted", likeness.shifted));
        }
        found
    }
}

impl RegisterCheck {
    /// Measures `other` against `reference`.
    pub fn measure(&self, reference: &Volume, other: &Volume) -> Measured {
        let (grid, other_grid) = (reference.grid(), other.grid());
        // In space: in which order an array keeps its axes is no misregistration.
        let (ours, theirs) = (grid.along_world(), other_grid.along_world());
        Measured {
            corner_mm: ours.corner_distance_mm(&theirs),
            overlap: overlap(grid, other_grid),
            likeness: (self.shift_voxels > 0)
                .then(|| likeness(reference, other, self.shift_voxels))
                .flatten(),
        }
    }

    /// What is wrong with what was measured; empty for a registered modality.
    fn faults(&self, measured: &Measured) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(most) = self.max_corner_mm
            && self.policy != Policy::Resample
            && measured.corner_mm > most
        {
            faults.push(format!(
                "its corners lie up to {:.2} mm apart (at most {most} allowed)",
                measured.corner_mm
            ));
        }
        if measured.overlap < self.min_overlap {
            faults.push(format!(
                "it covers {:.1} % of the field of view ({:.1} % expected)",
                100.0 * measured.overlap,
                100.0 * self.min_overlap
            ));
        }
        if let Some(found) = measured.likeness
            && found.shifted > found.in_place + self.tolerance
        {
            faults.push(format!(
                "shifted by {:?} voxels (x, y, z) it fits better (mutual information {:.4}) than in place ({:.4})",
                found.shift_xyz, found.shifted, found.in_place
            ));
        }
        faults
    }

    /// The modality measured against, and its volume.
    fn reference(&self, row: &Row) -> Option<(String, Volume)> {
        let named = self.like.as_ref().and_then(|like| {
            let channel = row.images.iter().find(|c| c.name == *like)?;
            Some((like.clone(), channel.volume.clone()?))
        });
        let first = || row.first_image().map(|(n, v)| (n.to_owned(), v.clone()));
        named.or_else(first)
    }
}

/// Brings every volume on the grid of `reference`.
fn on_one_grid(mut row: Row, reference: &Volume) -> Row {
    let grid = *reference.grid();
    for (role, channel) in row.channels_mut() {
        channel.volume = channel.volume.take().map(|volume| {
            if volume.grid().is_same(&grid, SAME_GRID_TOLERANCE_MM) {
                volume
            } else {
                volume.resampled(role, grid, Interpolation::default())
            }
        });
    }
    row
}

impl Stage for RegisterCheck {
    const NAME: &'static str = "register_check";
    const EXAMPLE: &'static str = "{ like: ct, policy: drop, shift_voxels: 2 }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        input.check_modalities(self.like.as_ref().map(std::slice::from_ref))?;
        if !(0.0..=1.0).contains(&self.min_overlap) {
            return Err(format!(
                "`min_overlap` is {}; a share is 0 to 1",
                self.min_overlap
            ));
        }
        let corner_mm = self.max_corner_mm.unwrap_or_default();
        for (name, value) in [("max_corner_mm", corner_mm), ("tolerance", self.tolerance)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!(
                    "`{name}` is {value}; expected 0 or a positive number"
                ));
            }
        }
        if self.policy != Policy::Resample {
            return Ok(input.clone());
        }
        // A reference is not resampled, but may be another one in each subject.
        let mut next = interpolated(input, 1.0, |_| true);
        for channel in &mut next.channels {
            (channel.shape_xyz, channel.spacing_mm, channel.orientation) = (None, None, None);
        }
        Ok(next)
    }

    fn map(&self, mut row: Row) -> Result<Vec<Row>, StageError> {
        let Some((like, reference)) = self.reference(&row) else {
            return Ok(vec![row]);
        };
        for i in 0..row.images.len() {
            let channel = &row.images[i];
            let Some(volume) = channel.volume.as_ref().filter(|_| channel.name != like) else {
                continue;
            };
            let measured = self.measure(&reference, volume);
            let (name, step) = (channel.name.clone(), row.history.len() as u32);
            row.quality.extend(measured.figures(&name, step));
            let faults = self.faults(&measured);
            if faults.is_empty() {
                continue;
            }
            let problem = format!(
                "`{}` is not registered with `{}`: {}",
                column_name(Role::Image, &name),
                column_name(Role::Image, &like),
                faults.join("; ")
            );
            match self.policy {
                Policy::Warn => row.warn(WarningKind::Geometry, Some(&name), problem),
                Policy::Drop => {
                    let problem = format!("{problem}; it is left out");
                    row.warn(WarningKind::Geometry, Some(&name), problem);
                    row.images[i].volume = None;
                    let own = row.labels.iter_mut().filter(|c| c.name == name);
                    own.for_each(|label| label.volume = None);
                }
                Policy::Fail | Policy::Resample => {
                    return Err(StageError::input(format!(
                        "{problem}; register the files again, or choose `policy: drop`"
                    )));
                }
            }
        }
        if self.policy == Policy::Resample {
            row = on_one_grid(row, &reference);
        }
        Ok(vec![row])
    }
}
