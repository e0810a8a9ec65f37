//! Sampling through maps without structure: rows walked in 32.32 fixed point.
//!
//! Fixed point makes floor and fraction a shift and a mask, and adding the step up is exact.

use super::tap::{Tap, between, nearest, reach, tap, weighted};
use glam::{DAffine3, DVec3};

/// One voxel in 32.32 fixed point.
const ONE: f64 = 4_294_967_296.0;

/// A map without structure: where each row starts, and how far one voxel steps.
pub(super) struct Walk {
    map: DAffine3,
    source_shape: [usize; 3],
    last: [f64; 3],
    reach: [f64; 3],
}

impl Walk {
    pub(super) fn new(map: &DAffine3, source_shape: [usize; 3]) -> Self {
        Self {
            map: *map,
            source_shape,
            last: source_shape.map(|n| n as f64 - 1.0),
            reach: reach(map),
        }
    }

    fn position(&self, x: usize, y: usize, z: usize) -> [f64; 3] {
        let at = DVec3::new(x as f64, y as f64, z as f64);
        self.map.transform_point3(at).to_array()
    }

    /// Start and step of a row in fixed point, and its half-open range of x whose positions
    /// (shifted by `shift` voxels) are in `0..limit` on every axis.
    fn row(
        &self,
        y: usize,
        z: usize,
        count: usize,
        shift: [f64; 3],
        limit: [usize; 3],
    ) -> FixedRow {
        let start = self.position(0, y, z);
        let end = self.position(count, y, z);
        let mut fixed = FixedRow {
            start: [0; 3],
            step: [0; 3],
            range: [0, 0],
        };
        // Beyond this the integer part would not fit; such rows are far outside or absurdly large.
        let fits = |p: &f64| p.abs() < 1e9;
        if !(start.iter().all(fits) && end.iter().all(fits)) {
            return fixed;
        }
        let mut range = [0, count as i64];
        for axis in 0..3 {
            let from = ((start[axis] + shift[axis]) * ONE).round() as i64;
            let step = (self.map.matrix3.x_axis[axis] * ONE).round() as i64;
            let bound = (limit[axis] as i64) << 32;
            let [begin, end] = steps_inside(from, step, bound);
            range = [range[0].max(begin), range[1].min(end)];
            fixed.start[axis] = from;
            fixed.step[axis] = step;
        }
        if range[0] < range[1] {
            fixed.range = range.map(|i| i as usize);
        }
        fixed
    }
}

struct FixedRow {
    start: [i64; 3],
    step: [i64; 3],
    range: [usize; 2],
}

impl FixedRow {
    fn at(&self, x: usize) -> [i64; 3] {
        [0, 1, 2].map(|axis| self.start[axis] + self.step[axis] * x as i64)
    }
}

#[inline(always)]
fn whole(position: i64) -> usize {
    (position >> 32) as usize
}

#[inline(always)]
fn fraction(position: i64) -> f32 {
    // 24 bits fill an f32; through i32, because unsigned numbers convert slowly.
    ((position as u32) >> 8) as i32 as f32 * (1.0 / 16_777_216.0)
}

/// Half-open range of `i` with `0 <= start + i * step < bound`.
fn steps_inside(start: i64, step: i64, bound: i64) -> [i64; 2] {
    let ceil_div = |a: i64, b: i64| -((-a).div_euclid(b));
    match step {
        0 if (0..bound).contains(&start) => [0, i64::MAX],
        0 => [0, 0],
        1.. => [ceil_div(-start, step), ceil_div(bound - start, step)],
        _ => [
            ceil_div(start - bound + 1, -step),
            start.div_euclid(-step) + 1,
        ],
    }
}

#[inline(always)]
pub(super) fn linear_general(source: &[f32], walk: &Walk, shape: [usize; 3], out: &mut [f32]) {
    let [nx, ny, _] = walk.source_shape;
    let plane = nx * ny;
    let limit = walk.source_shape.map(|n| n - 1);
    for (row, values) in out.chunks_exact_mut(shape[0]).enumerate() {
        let (y, z) = (row % shape[1], row / shape[1]);
        let fixed = walk.row(y, z, shape[0], [0.0; 3], limit);
        let [begin, end] = fixed.range;
        // Plain numbers, not arrays: the positions stay in registers.
        let [mut px, mut py, mut pz] = fixed.at(begin);
        let [dx, dy, dz] = fixed.step;
        let mut all_finite = true;
        for value in &mut values[begin..end] {
            let at = whole(pz) * plane + whole(py) * nx + whole(px);
            let (u, v, w) = (fraction(px), fraction(py), fraction(pz));
            let cell = &source[at..at + plane + nx + 2];
            let along_x = |from: usize| between(cell[from], cell[from + 1], u);
            let near = between(along_x(0), along_x(nx), v);
            let far = between(along_x(plane), along_x(plane + nx), v);
            *value = between(near, far, w);
            all_finite &= value.is_finite();
            px += dx;
            py += dy;
            pz += dz;
        }
        // A voxel that is not finite and has no weight would make NaN of what it does not reach.
        let odd = if all_finite { begin..begin } else { begin..end };
        for x in odd.filter(|x| !values[*x].is_finite()).collect::<Vec<_>>() {
            if let Some(value) = linear_at(source, walk, walk.position(x, y, z)) {
                values[x] = value;
            }
        }
        for x in (0..begin).chain(end..shape[0]) {
            if let Some(value) = linear_at(source, walk, walk.position(x, y, z)) {
                values[x] = value;
            }
        }
    }
}

/// One position near or beyond the edge.
#[inline(never)]
fn linear_at(source: &[f32], walk: &Walk, position: [f64; 3]) -> Option<f32> {
    let [nx, ny, _] = walk.source_shape;
    let [x, y, z] = [0, 1, 2].map(|a| tap(position[a], walk.last[a], walk.reach[a]));
    let (x, y, z) = (x?, y?, z?);
    let stored = |[x, y, z]: [usize; 3]| source[(z * ny + y) * nx + x];
    let ends = |t: Tap| [t.low, t.low + usize::from(t.weight > 0.0)];
    let along = |t: Tap, value: &dyn Fn(usize) -> f32| {
        let [low, high] = ends(t).map(value);
        between(low, high, t.weight)
    };
    let value = along(z, &|z| along(y, &|y| along(x, &|x| stored([x, y, z]))));
    Some(match value.is_finite() {
        true => value,
        false => weighted([x, y, z], stored),
    })
}

pub(super) fn nearest_general<T: Copy>(
    source: &[T],
    walk: &Walk,
    shape: [usize; 3],
    shift: [f64; 3],
    out: &mut [T],
) {
    let [nx, ny, _] = walk.source_shape;
    let plane = nx * ny;
    for (row, values) in out.chunks_exact_mut(shape[0]).enumerate() {
        let (y, z) = (row % shape[1], row / shape[1]);
        let fixed = walk.row(y, z, shape[0], shift, walk.source_shape);
        let [begin, end] = fixed.range;
        let [mut px, mut py, mut pz] = fixed.at(begin);
        let [dx, dy, dz] = fixed.step;
        for value in &mut values[begin..end] {
            *value = source[whole(pz) * plane + whole(py) * nx + whole(px)];
            px += dx;
            py += dy;
            pz += dz;
        }
        for x in (0..begin).chain(end..shape[0]) {
            let at = walk.position(x, y, z);
            let [i, j, k] =
                [0, 1, 2].map(|a| nearest(at[a], walk.last[a], walk.reach[a], shift[a]));
            if let (Some(i), Some(j), Some(k)) = (i, j, k) {
                values[x] = source[k * plane + j * nx + i];
            }
        }
    }
}
