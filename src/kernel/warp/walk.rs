//! Source positions of one output row at a time, split into voxel and weight.

use super::aligned::{Aligned, LANES};
use super::route::{Leg, Route};
use super::spline::{Control, MAGIC, STRIDE, weights};
use crate::kernel::simd::vectorised;
use glam::{DAffine3, DVec3};

/// Positions this close to a voxel centre are on it: affines are stored as f32 in files.
const SNAP: f64 = 1e-6;

/// How source positions of one axis become voxel and weight.
#[derive(Debug, Clone, Copy)]
struct Bound {
    /// Positions below and above have no source.
    from: f64,
    to: f64,
    /// The outermost voxel centre.
    last: f64,
    /// The largest lower neighbour.
    low: f64,
}

/// Where the voxels of one output row lie in the source.
#[derive(Debug)]
pub struct Taps {
    pub(super) source_shape: [usize; 3],
    /// Offset to the upper neighbour along x, y, z; 0 where the source has one voxel.
    pub(super) stride: [u32; 3],
    /// Lower neighbour x, y, z of each voxel.
    pub(super) low: [Vec<u32>; 3],
    /// Buffer offset of the lower neighbours.
    pub(super) at: Vec<u32>,
    /// Weight of the upper neighbour along x, y, z, in 0..=1.
    pub(super) weight: [Vec<f32>; 3],
    /// Not 0 for voxels that have a source.
    inside: Vec<u32>,
    pub(super) any_inside: bool,
    /// Whether a weight is 1: the last voxel of an axis is its neighbour's upper one.
    pub(super) any_upper: bool,
    pub(super) all_inside: bool,
}

impl Taps {
    /// Puts `fill` where there is no source.
    #[inline(always)]
    pub(super) fn fill<T: Copy>(&self, out: &mut [T], fill: T) {
        if !self.all_inside {
            for (value, inside) in out.iter_mut().zip(&self.inside) {
                *value = if *inside == 0 { fill } else { *value };
            }
        }
    }
}

/// Walks the rows of an output grid along a route.
pub(super) struct Walk<'a> {
    route: &'a Route,
    bounds: [Bound; 3],
    aligned: Option<Aligned>,
    positions: [Vec<f64>; 3],
    bent: [Vec<f32>; 3],
    taps: Taps,
}

impl<'a> Walk<'a> {
    pub(super) fn new(route: &'a Route, source_shape: [usize; 3], shape: [usize; 3]) -> Self {
        let rows = route.affine.matrix3.transpose();
        let scale = [rows.x_axis, rows.y_axis, rows.z_axis].map(DVec3::length);
        let bounds = [0, 1, 2].map(|a| {
            let (n, reach) = (source_shape[a], 0.5 * scale[a].max(1.0) + SNAP);
            let last = n as f64 - 1.0;
            Bound {
                from: -reach,
                to: last + reach,
                last,
                low: n.saturating_sub(2) as f64,
            }
        });
        let count = shape[0];
        let aligned = route.legs.first().filter(|leg| leg.aligned);
        let stride = [1, source_shape[0], source_shape[0] * source_shape[1]];
        let zeros = || vec![0u32; count];
        Self {
            route,
            bounds,
            aligned: aligned.map(|leg| Aligned::new(leg, shape)),
            positions: [0; 3].map(|_| vec![0.0; count]),
            bent: [0; 3].map(|_| vec![0.0; count + LANES]),
            taps: Taps {
                source_shape,
                stride: [0, 1, 2].map(|a| {
                    if source_shape[a] > 1 {
                        stride[a] as u32
                    } else {
                        0
                    }
                }),
                low: [0; 3].map(|_| zeros()),
                at: zeros(),
                weight: [0; 3].map(|_| vec![0.0; count]),
                inside: zeros(),
                any_inside: false,
                any_upper: false,
                all_inside: false,
            },
        }
    }

    /// Where the voxels of row y, z lie in the source.
    pub(super) fn row(&mut self, y: usize, z: usize) -> &Taps {
        self.locate(y, z);
        let Self {
            positions,
            bounds,
            taps,
            ..
        } = self;
        vectorised(
            #[inline(always)]
            || split(positions, bounds, taps),
        );
        taps
    }

    /// Fills `positions` with the source positions of row y, z.
    fn locate(&mut self, y: usize, z: usize) {
        let index = DVec3::new(0.0, y as f64, z as f64);
        let (positions, bent) = (&mut self.positions, &mut self.bent);
        let Some((first, rest)) = self.route.legs.split_first() else {
            return line(&self.route.affine, index, None, positions);
        };
        match &mut self.aligned {
            Some(aligned) => aligned.row(&first.control, y, z, bent),
            None => {
                line(&first.control_from_here, index, None, positions);
                vectorised(
                    #[inline(always)]
                    || scattered(&first.control, positions, bent),
                );
            }
        }
        line(&first.next_from_here, index, Some(bent), positions);
        for leg in rest {
            vectorised(
                #[inline(always)]
                || onwards(leg, positions, bent),
            );
        }
    }

    /// Source positions of one row, for tests.
    #[cfg(test)]
    pub(super) fn positions(&mut self, y: usize, z: usize) -> Vec<[f64; 3]> {
        self.locate(y, z);
        let [px, py, pz] = &self.positions;
        (0..px.len()).map(|i| [px[i], py[i], pz[i]]).collect()
    }
}

/// Positions of a row on a straight line, with displacements added where there are any.
fn line(map: &DAffine3, index: DVec3, bent: Option<&[Vec<f32>; 3]>, to: &mut [Vec<f64>; 3]) {
    let start = map.transform_point3(index);
    let step = map.matrix3.x_axis;
    vectorised(
        #[inline(always)]
        || {
            for (axis, to) in to.iter_mut().enumerate() {
                let (start, step) = (start[axis], step[axis]);
                let along = |i: usize| start + step * (i as u32 as i32 as f64);
                match bent {
                    None => (to.iter_mut().enumerate()).for_each(|(i, p)| *p = along(i)),
                    Some(bent) => {
                        for (i, (p, d)) in to.iter_mut().zip(&bent[axis]).enumerate() {
                            *p = along(i) + f64::from(*d);
                        }
                    }
                }
            }
        },
    );
}

/// Voxels whose taps are found together, as vectors, before they are summed one by one.
const GROUP: usize = 16;

/// Displacements at control coordinates in any place.
#[inline(always)]
fn scattered(control: &Control, at: &[Vec<f64>; 3], bent: &mut [Vec<f32>; 3]) {
    let [nx, ny, _] = control.padded.map(|n| n as u32);
    let count = at[0].len();
    for begin in (0..count).step_by(GROUP) {
        let length = GROUP.min(count - begin);
        let mut offset = [0u32; GROUP];
        let mut weight = [[[0f32; 4]; GROUP]; 3];
        // From z to x, so that the offset grows by one axis after the other.
        for axis in [2, 1, 0] {
            let size = [nx, ny, 0][axis];
            let (mut c, mut t) = ([0f64; GROUP], [0f32; GROUP]);
            c[..length].copy_from_slice(&at[axis][begin..begin + length]);
            for l in 0..GROUP {
                let (first, past) = control.tap(axis, c[l]);
                offset[l] = offset[l] * size + first;
                t[l] = past;
            }
            for l in 0..GROUP {
                weight[axis][l] = weights(t[l]);
            }
        }
        for l in 0..length {
            let [wx, wy, wz] = [weight[0][l], weight[1][l], weight[2][l]];
            let sum = control.sum(offset[l] as usize * STRIDE, wx, wy, wz);
            for (bent, sum) in bent.iter_mut().zip(sum) {
                bent[begin + l] = sum;
            }
        }
    }
}

/// One more leg for positions that lie on no line any more.
#[inline(always)]
fn onwards(leg: &Leg, positions: &mut [Vec<f64>; 3], bent: &mut [Vec<f32>; 3]) {
    let [px, py, pz] = positions;
    let mut control: [Vec<f64>; 3] = [px.clone(), py.clone(), pz.clone()];
    let [cx, cy, cz] = &mut control;
    apply(&leg.control_from_here, cx, cy, cz);
    scattered(&leg.control, &control, bent);
    apply(&leg.next_from_here, px, py, pz);
    for (positions, bent) in positions.iter_mut().zip(bent) {
        for (p, d) in positions.iter_mut().zip(bent) {
            *p += f64::from(*d);
        }
    }
}

#[inline(always)]
fn apply(map: &DAffine3, x: &mut [f64], y: &mut [f64], z: &mut [f64]) {
    for ((x, y), z) in x.iter_mut().zip(y).zip(z) {
        [*x, *y, *z] = map.transform_point3(DVec3::new(*x, *y, *z)).to_array();
    }
}

/// Splits positions into lower neighbours and weights.
#[inline(always)]
fn split(positions: &[Vec<f64>; 3], bounds: &[Bound; 3], taps: &mut Taps) {
    taps.inside.fill(1);
    let mut upper = 0;
    for axis in 0..3 {
        let bound = bounds[axis];
        let low = taps.low[axis].iter_mut().zip(&mut taps.weight[axis]);
        let to = low.zip(&mut taps.inside);
        for (&p, ((low, weight), inside)) in positions[axis].iter().zip(to) {
            *inside &= u32::from((p >= bound.from) & (p <= bound.to));
            // Comparisons that NaN fails, so that it becomes 0.
            let p = if p > 0.0 { p } else { 0.0 };
            let p = if p < bound.last { p } else { bound.last };
            // Rounding a half less is the floor; the last voxel is its neighbour's upper one.
            let rounded = p + (SNAP - 0.5);
            let rounded = if rounded < bound.low {
                rounded
            } else {
                bound.low
            };
            let shifted = rounded + MAGIC;
            *low = shifted.to_bits() as u32;
            let w = (p - (shifted - MAGIC)) as f32;
            let w = if w < SNAP as f32 { 0.0 } else { w };
            let w = if w > 1.0 - SNAP as f32 { 1.0 } else { w };
            upper |= u32::from(w == 1.0);
            *weight = w;
        }
    }
    let [nx, ny] = [taps.source_shape[0] as u32, taps.source_shape[1] as u32];
    let [x, y, z] = &taps.low;
    for (at, ((x, y), z)) in taps.at.iter_mut().zip(x.iter().zip(y).zip(z)) {
        *at = (z * ny + y) * nx + x;
    }
    let count: u32 = taps.inside.iter().sum();
    taps.any_inside = count > 0;
    taps.any_upper = upper > 0;
    taps.all_inside = count as usize == taps.inside.len();
}
