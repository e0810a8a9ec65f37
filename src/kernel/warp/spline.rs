//! Uniform cubic B-splines on control grids: weights, padded control points, sums of taps.

use super::bend::Bend;
use glam::{DMat3, DVec3};

/// Added to a number below 2^32, it leaves the nearest integer in the low bits.
pub(super) const MAGIC: f64 = 6_755_399_441_055_744.0;
/// Copies of the edge's control points before the first one, so that taps need no clamping.
pub(super) const LOW: usize = 2;
/// The same after the last one.
const HIGH: usize = 3;
/// Numbers stored for each control point: x, y, z, and a zero that makes it one vector.
pub(super) const STRIDE: usize = 4;
/// Numbers of four neighbours along x.
const TAPS: usize = 4 * STRIDE;

/// Weights of four neighbouring control points at `t` in 0..=1 past the second.
#[inline(always)]
pub(super) fn weights(t: f32) -> [f32; 4] {
    const SIXTH: f32 = 1.0 / 6.0;
    let s = 1.0 - t;
    let middle = |t: f32| (t * t * (3.0 * t - 6.0) + 4.0) * SIXTH;
    [s * s * s * SIXTH, middle(t), middle(s), t * t * t * SIXTH]
}

/// Control points as the row loops read them: edges repeated, axes in the output's order.
#[derive(Debug, Clone)]
pub(super) struct Control {
    /// Control points along each axis before the edges were repeated.
    pub(super) count: [usize; 3],
    /// Points along each axis with the repeated edges.
    pub(super) padded: [usize; 3],
    /// `[z, y, x]`, [`STRIDE`] numbers a point.
    pub(super) vectors: Vec<f32>,
}

impl Control {
    /// `axes[a]` is the bend's control axis at place `a`; vectors go through `linear`.
    pub(super) fn new(bend: &Bend, linear: &DMat3, axes: [usize; 3]) -> Self {
        let count = axes.map(|axis| bend.shape_xyz[axis]);
        let padded = count.map(|n| n + LOW + HIGH);
        let [nx, ny, _] = bend.shape_xyz;
        let stride = [1, nx, nx * ny];
        let turned: Vec<[f32; 3]> = (bend.displacement.iter())
            .map(|v| {
                (*linear * DVec3::from(v.map(f64::from)))
                    .as_vec3()
                    .to_array()
            })
            .collect();
        let edge =
            |axis: usize, i: usize| i.saturating_sub(LOW).min(count[axis] - 1) * stride[axes[axis]];
        let mut vectors = Vec::with_capacity(padded.iter().product::<usize>() * STRIDE);
        for k in 0..padded[2] {
            for j in 0..padded[1] {
                let row = edge(2, k) + edge(1, j);
                for i in 0..padded[0] {
                    let [x, y, z] = turned[row + edge(0, i)];
                    vectors.extend([x, y, z, 0.0]);
                }
            }
        }
        Self {
            count,
            padded,
            vectors,
        }
    }

    /// First of the four taps along an axis in the padded grid, and how far past the second `c` is.
    #[inline(always)]
    pub(super) fn tap(&self, axis: usize, c: f64) -> (u32, f32) {
        let limit = self.count[axis] as u32 as i32 as f64;
        // Comparisons that NaN fails, so that it becomes -1.
        let c = if c > -1.0 { c } else { -1.0 };
        let c = (if c < limit { c } else { limit }) + 1.0;
        // Rounding a half less is the floor, or one less where `c` is whole.
        let rounded = (c - 0.5) + MAGIC;
        // At most 2^32 control points an axis, and never below 0.
        (rounded.to_bits() as u32, (c - (rounded - MAGIC)) as f32)
    }

    /// Sum of all sixty-four taps; `at` is the offset of the first one.
    #[inline(always)]
    pub(super) fn sum(&self, at: usize, wx: [f32; 4], wy: [f32; 4], wz: [f32; 4]) -> [f32; 3] {
        let row = self.padded[0] * STRIDE;
        let plane = self.padded[1] * row;
        let mut sums = [0f32; TAPS];
        for (k, wz) in wz.iter().enumerate() {
            let rows = &self.vectors[at + k * plane..][..3 * row + TAPS];
            let (first, rows) = rows.split_at(row);
            let (second, rows) = rows.split_at(row);
            let (third, fourth) = rows.split_at(row);
            let weights = wy.map(|wy| wz * wy);
            let taps = (first.iter().zip(second)).zip(third.iter().zip(fourth));
            for (sum, ((a, b), (c, d))) in sums.iter_mut().zip(taps) {
                let near = weights[0] * a + weights[1] * b;
                *sum += near + (weights[2] * c + weights[3] * d);
            }
        }
        let mut total = [0f32; STRIDE];
        for (c, total) in total.iter_mut().enumerate() {
            let near = wx[0] * sums[c] + wx[1] * sums[STRIDE + c];
            *total = near + (wx[2] * sums[2 * STRIDE + c] + wx[3] * sums[3 * STRIDE + c]);
        }
        [total[0], total[1], total[2]]
    }
}

/// Taps along one output axis that a control axis follows.
#[derive(Debug, Clone)]
pub(super) struct AxisTaps {
    /// First of four taps in the padded grid.
    pub(super) first: Vec<usize>,
    /// Their weights.
    pub(super) weights: Vec<[f32; 4]>,
}

impl AxisTaps {
    pub(super) fn new(control: &Control, axis: usize, start: f64, step: f64, count: usize) -> Self {
        let taps = (0..count).map(|i| control.tap(axis, start + step * i as f64));
        let (first, t): (Vec<u32>, Vec<f32>) = taps.unzip();
        Self {
            first: first.into_iter().map(|first| first as usize).collect(),
            weights: t.into_iter().map(weights).collect(),
        }
    }

    /// Sums four neighbours of `length` numbers each along this axis.
    #[inline(always)]
    pub(super) fn collapse(&self, i: usize, from: &[f32], length: usize, to: &mut [f32]) {
        let from = &from[self.first[i] * length..][..4 * length];
        let [a, b, c, d] = self.weights[i];
        let (near, far) = from.split_at(2 * length);
        let (first, second) = near.split_at(length);
        let (third, fourth) = far.split_at(length);
        let taps = first.iter().zip(second).zip(third.iter().zip(fourth));
        for (to, ((p, q), (r, s))) in to.iter_mut().zip(taps) {
            *to = (a * p + b * q) + (c * r + d * s);
        }
    }
}
