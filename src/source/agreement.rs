//! What the volumes of a column agree on, header by header.

use super::VolumeHeader;
use crate::stage::ChannelSchema;
use crate::volume::{Dtype, Grid, Role};

/// Spacings closer than this, relative to the first, are one for the plan.
const SAME_SPACING: f64 = 1e-4;

/// Spacings closer than this, relative to the first, differ by how NIfTI rounds them to f32, so that
/// one length follows from them when a volume is resampled.
const STORED_SPACING: f64 = 5e-7;

/// A column, and on what the headers so far agree.
pub(super) struct Agreement {
    role: Role,
    name: String,
    /// Grid and type of the first volume, with which all others are compared.
    first: Option<(Grid, Dtype)>,
    dtype: bool,
    shape: bool,
    orientation: bool,
    /// Within [`SAME_SPACING`].
    spacing: bool,
    /// Within [`STORED_SPACING`].
    stored_spacing: bool,
}

impl Agreement {
    /// A column of which no volume was seen.
    pub(super) fn of(role: Role, name: &str) -> Self {
        Self {
            role,
            name: name.to_owned(),
            first: None,
            dtype: true,
            shape: true,
            orientation: true,
            spacing: true,
            stored_spacing: true,
        }
    }

    /// Returns `true` if no volume of the column was seen.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Compares the volumes of the column among the headers of a subject.
    pub(super) fn add(&mut self, headers: &[VolumeHeader]) {
        let own = |h: &&VolumeHeader| h.role == self.role && h.name == self.name;
        for VolumeHeader { grid, dtype, .. } in headers.iter().filter(own) {
            let (first, first_dtype) = *self.first.get_or_insert((*grid, *dtype));
            let (a, b) = (first.spacing_mm(), grid.spacing_mm());
            let within = |share: f64| (0..3).all(|i| (a[i] - b[i]).abs() <= share * a[i]);
            self.dtype &= *dtype == first_dtype;
            self.shape &= grid.shape_xyz() == first.shape_xyz();
            self.orientation &= grid.orientation() == first.orientation();
            self.spacing &= within(SAME_SPACING);
            self.stored_spacing &= within(STORED_SPACING);
        }
    }

    /// The column: what all volumes agree on is known, anything else is `None`.
    pub(super) fn schema(&self) -> ChannelSchema {
        let grid = |agreed: bool| self.first.filter(|_| agreed).map(|(grid, _)| grid);
        let dtype = self.first.filter(|_| self.dtype).map(|(_, dtype)| dtype);
        // The shape behind a resampling is planned from both: spacings that are only nearly equal
        // may lead to different ones, so that no shape is promised with them.
        let one_length = !self.spacing || self.stored_spacing;
        ChannelSchema {
            name: self.name.clone(),
            role: self.role,
            dtype: dtype.filter(|&dtype| self.role == Role::Image || dtype == Dtype::U8),
            shape_xyz: grid(self.shape && one_length).map(|grid| grid.shape_xyz()),
            spacing_mm: grid(self.spacing).map(|grid| grid.spacing_mm()),
            orientation: grid(self.orientation).map(|grid| grid.orientation()),
        }
    }
}
