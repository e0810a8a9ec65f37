//! Where a position falls along an axis: the voxels around it, the nearest one, and what is outside.

use glam::DAffine3;

/// Positions this close to a voxel centre are on it: affines are stored as f32 in files.
pub(super) const SNAP: f64 = 1e-6;

/// For each source axis x, y, z the side on which a position halfway between two voxels is.
///
/// Which voxel is nearest must not depend on the order and direction in which an array keeps its
/// axes, or a turn before and behind a resampling would give different labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ties {
    /// `true`: a half belongs to the voxel with the larger index.
    pub up: [bool; 3],
}

impl Default for Ties {
    fn default() -> Self {
        Self::UP
    }
}

impl Ties {
    /// Halves belong to the larger index on every axis.
    pub const UP: Self = Self { up: [true; 3] };

    /// What is added to a position before it is rounded down. Positions within [`SNAP`] of a half
    /// are halves.
    pub(super) fn shift(self) -> [f64; 3] {
        self.up.map(|up| if up { 0.5 + SNAP } else { 0.5 - SNAP })
    }
}

/// How far past the outermost voxel centres of each source axis the edge value holds.
pub(super) fn reach(map: &DAffine3) -> [f64; 3] {
    let rows = map.matrix3.transpose();
    [rows.x_axis, rows.y_axis, rows.z_axis].map(|row| 0.5 * row.length().max(1.0) + SNAP)
}

/// The source voxels on both sides of an output voxel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    pub(super) low: usize,
    pub(super) weight: f32,
}

/// The voxels around a position of an axis whose last voxel is `last`; `None` outside.
#[inline(always)]
pub(super) fn tap(position: f64, last: f64, reach: f64) -> Option<Tap> {
    if !(position >= -reach && position <= last + reach) {
        return None;
    }
    let position = position.clamp(0.0, last);
    // Truncation is the floor of a number that is not negative.
    let low = position as usize;
    let weight = position - low as f64;
    Some(if weight < SNAP {
        Tap { low, weight: 0.0 }
    } else if weight > 1.0 - SNAP {
        Tap {
            low: low + 1,
            weight: 0.0,
        }
    } else {
        Tap {
            low,
            weight: weight as f32,
        }
    })
}

/// The value between two voxels, of which the second has a weight below 1.
///
/// **Law** `a + (b - a) w`. Voxels of one value give it to the last bit, whatever the weight: air of one value
/// stays so, and thresholds behind it find it. With the weights of [`tap`], which end [`SNAP`] below 1, no result
/// is beyond the two.
#[inline(always)]
pub(super) fn between(a: f32, b: f32, weight: f32) -> f32 {
    a + (b - a) * weight
}

/// The value between up to eight voxels, of which those without a weight do not count: a value that is not finite
/// spreads to what it has a share in, and no further.
pub(super) fn weighted([x, y, z]: [Tap; 3], value: impl Fn([usize; 3]) -> f32) -> f32 {
    let pick = |t: Tap, high: bool| match (high, t.weight > 0.0) {
        (false, _) => Some((t.low, 1.0 - t.weight)),
        (true, true) => Some((t.low + 1, t.weight)),
        (true, false) => None,
    };
    let corners = (0..8).filter_map(|corner| {
        let (x, wx) = pick(x, corner & 1 != 0)?;
        let (y, wy) = pick(y, corner & 2 != 0)?;
        let (z, wz) = pick(z, corner & 4 != 0)?;
        Some(value([x, y, z]) * (wx * wy * wz))
    });
    corners.sum()
}

/// The nearest voxel of an axis; `shift` as [`Ties::shift`].
pub(super) fn nearest(position: f64, last: f64, reach: f64, shift: f64) -> Option<usize> {
    (position >= -reach && position <= last + reach)
        .then(|| (position + shift).clamp(0.0, last + 0.5) as usize)
}
