//! A smooth displacement, and the maps that a route consists of.

use glam::{DAffine3, DVec3};
use std::sync::Arc;

/// A cubic B-spline displacement on a coarse grid of control points.
///
/// **Law** `p' = p + sum over i of b(x - i) b(y - j) b(z - k) v[k, j, i]`, with `(x, y, z)` the
/// control coordinates of `p` and `b` the uniform cubic B-spline, which reaches two points to
/// either side. Outside the control grid the nearest control points represent those missing.
/// **Source** Rueckert et al., IEEE TMI 18(8), 1999.
#[derive(Debug, Clone, PartialEq)]
pub struct Bend {
    /// Control coordinates (index of the control point along x, y, z) of an input position.
    pub control_from_input: DAffine3,
    /// Control points along x, y, z; at least one each.
    pub shape_xyz: [usize; 3],
    /// Displacements `[z, y, x]` of the control points, x, y, z in the units of the input.
    pub displacement: Arc<[[f32; 3]]>,
}

impl Bend {
    /// Displacement of one input position, summed in f64.
    ///
    /// **Panics** when `displacement` is shorter than its shape says.
    pub fn displacement_at(&self, point: DVec3) -> DVec3 {
        displacement_at(self, self.control_from_input.transform_point3(point))
    }
}

/// One map of a position to a position, from the output towards the source.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An affine map.
    Affine(DAffine3),
    /// A displacement.
    Bend(Bend),
}

/// Displacement at control coordinates by definition, in f64.
fn displacement_at(bend: &Bend, control: DVec3) -> DVec3 {
    let spline = |x: f64| match x.abs() {
        x if x < 1.0 => (4.0 - 6.0 * x * x + 3.0 * x * x * x) / 6.0,
        x if x < 2.0 => (2.0 - x).powi(3) / 6.0,
        _ => 0.0,
    };
    let [nx, ny, nz] = bend.shape_xyz.map(|n| n as i64);
    // Farther out nothing changes any more.
    let limit = DVec3::new(nx as f64, ny as f64, nz as f64);
    let at = control.max(DVec3::splat(-1.0)).min(limit);
    let first = at.floor().to_array().map(|c| c as i64 - 1);
    let mut sum = DVec3::ZERO;
    for k in first[2]..first[2] + 4 {
        for j in first[1]..first[1] + 4 {
            for i in first[0]..first[0] + 4 {
                let weight =
                    spline(at.x - i as f64) * spline(at.y - j as f64) * spline(at.z - k as f64);
                let [i, j, k] = [i.clamp(0, nx - 1), j.clamp(0, ny - 1), k.clamp(0, nz - 1)];
                let vector = bend.displacement[((k * ny + j) * nx + i) as usize];
                sum += weight * DVec3::from(vector.map(f64::from));
            }
        }
    }
    sum
}
