//! Displacements of rows whose control points lie along the output's axes: sums along one axis
//! serve all voxels that share them.

use super::route::Leg;
use super::spline::{AxisTaps, Control, STRIDE};
use crate::kernel::simd::vectorised;

/// Voxels of one vector operation; runs end within such a group and the next run overwrites it.
pub(super) const LANES: usize = 8;

/// The first leg where its control grid is along the output's axes.
pub(super) struct Aligned {
    along: [AxisTaps; 3],
    /// Neighbouring output x with the same taps: first tap, begin, end.
    runs: Vec<[usize; 3]>,
    /// Weights along x by tap, each one vector longer than the row.
    weights: [Vec<f32>; 4],
    /// Control points with z summed, then with y summed too.
    slab: (Option<usize>, Vec<f32>),
    sums: Vec<f32>,
}

impl Aligned {
    pub(super) fn new(leg: &Leg, shape: [usize; 3]) -> Self {
        let map = &leg.control_from_here;
        let along = [0, 1, 2].map(|a| {
            let (start, step) = (map.translation[a], map.matrix3.col(a)[a]);
            AxisTaps::new(&leg.control, a, start, step, shape[a])
        });
        let mut runs: Vec<[usize; 3]> = Vec::new();
        for (i, &first) in along[0].first.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if run[0] == first => run[2] = i + 1,
                _ => runs.push([first, i, i + 1]),
            }
        }
        let [nx, ny, _] = leg.control.padded;
        let tap = |t: usize| along[0].weights.iter().map(move |w| w[t]);
        let weights = [0, 1, 2, 3].map(|t| tap(t).chain([0.0; LANES]).collect());
        Self {
            runs,
            weights,
            along,
            slab: (None, vec![0.0; nx * ny * STRIDE]),
            sums: vec![0.0; nx * STRIDE],
        }
    }

    pub(super) fn row(&mut self, control: &Control, y: usize, z: usize, bent: &mut [Vec<f32>; 3]) {
        let [nx, ny, _] = control.padded;
        let (row, plane) = (nx * STRIDE, nx * ny * STRIDE);
        let [_, along_y, along_z] = &self.along;
        let (slab_z, slab) = &mut self.slab;
        let (sums, runs, weights) = (&mut self.sums, &self.runs, &self.weights);
        vectorised(
            #[inline(always)]
            || {
                if *slab_z != Some(z) {
                    along_z.collapse(z, &control.vectors, plane, slab);
                }
                along_y.collapse(y, slab, row, sums);
                runs.iter()
                    .for_each(|run| along_x(run, weights, sums, bent));
            },
        );
        *slab_z = Some(z);
    }
}

/// Displacements of one run of voxels that share their four taps.
#[inline(always)]
fn along_x(run: &[usize; 3], weights: &[Vec<f32>; 4], sums: &[f32], bent: &mut [Vec<f32>; 3]) {
    let [first, begin, end] = *run;
    let taps = &sums[first * STRIDE..][..4 * STRIDE];
    for i in (begin..end).step_by(LANES) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|t| lanes(&weights[t][i..]));
        for (axis, bent) in bent.iter_mut().enumerate() {
            let tap = |t: usize| taps[t * STRIDE + axis];
            let (p, q, r, s) = (tap(0), tap(1), tap(2), tap(3));
            let bent = &mut bent[i..i + LANES];
            for l in 0..LANES {
                bent[l] = (a[l] * p + b[l] * q) + (c[l] * r + d[l] * s);
            }
        }
    }
}

#[inline(always)]
fn lanes(from: &[f32]) -> [f32; LANES] {
    let mut to = [0.0; LANES];
    to.copy_from_slice(&from[..LANES]);
    to
}
