//! Soft Dice of one class or region, from sums over its voxels.

use std::ops::AddAssign;

/// What Dice needs of a class of a sample, or of a region, ignored voxels left out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Overlap {
    /// Sum of p t.
    pub(super) both: f64,
    /// Sum of q, which is p or p^2.
    pub(super) predicted: f64,
    /// Sum of t.
    pub(super) truth: f64,
}

impl AddAssign for Overlap {
    fn add_assign(&mut self, other: Self) {
        self.both += other.both;
        self.predicted += other.predicted;
        self.truth += other.truth;
    }
}

impl Overlap {
    /// Numerator and denominator of Dice.
    fn fraction(&self, smooth: f64) -> [f64; 2] {
        [
            2.0 * self.both + smooth,
            self.predicted + self.truth + smooth,
        ]
    }

    /// **Law** `(2 sum(p t) + smooth) / (sum(q) + sum(t) + smooth)`.
    pub(super) fn dice(&self, smooth: f64) -> f64 {
        let [top, bottom] = self.fraction(smooth);
        top / bottom
    }

    /// The derivative of `-factor dice` by p of a voxel: its part where t is 1, and its part by q everywhere,
    /// to be multiplied by `q' = 1` or `2 p`.
    pub(super) fn slopes(&self, smooth: f64, factor: f64) -> [f32; 2] {
        let [top, bottom] = self.fraction(smooth);
        [-factor * 2.0 / bottom, factor * top / (bottom * bottom)].map(|v| v as f32)
    }
}
