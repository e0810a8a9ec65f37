//! Values by cubic convolution at the positions of a row.

use super::jobs::{Job, repair, weighted};
use super::walk::Taps;
use crate::kernel::simd::vectorised;

/// Values by cubic convolution, which keeps edges sharper than linear and may overshoot.
///
/// **Law** Catmull-Rom kernel (a = -1/2) over 4 x 4 x 4 voxels; voxels beyond the edge repeat it, and
/// voxels without weight do not count, as for [`Linear`](super::Linear). What is summed are differences from the
/// voxel below, so that voxels of one value keep it to the last bit.
/// **Source** Keys, IEEE TASSP 29(6), 1981, equation 15.
pub struct Cubic<'a> {
    source: &'a [f32],
    fill: f32,
    out: &'a mut [f32],
}

impl<'a> Cubic<'a> {
    /// Reads `source` into `out`; writes `fill` outside the source.
    pub fn new(source: &'a [f32], fill: f32, out: &'a mut [f32]) -> Self {
        Self { source, fill, out }
    }
}

impl Job for Cubic<'_> {
    fn row(&mut self, taps: &Taps, first: usize) {
        let out = &mut self.out[first..first + taps.at.len()];
        if !taps.any_inside {
            return out.fill(self.fill);
        }
        let (source, fill) = (self.source, self.fill);
        vectorised(
            #[inline(always)]
            || {
                let mut all_finite = true;
                for (i, value) in out.iter_mut().enumerate() {
                    *value = Cell::new(source, taps, i).value();
                    all_finite &= value.is_finite();
                }
                if !all_finite {
                    repair(out, |i| Cell::new(source, taps, i).weighted_value());
                }
                taps.fill(out, fill);
            },
        );
    }
}

/// Keys' weights of the voxels at -1, 0, 1 and 2 for a position `t` past the one at 0.
#[inline(always)]
fn keys(t: f32) -> [f32; 4] {
    let far = |t: f32| t * (t * (1.0 - 0.5 * t) - 0.5);
    let near = |t: f32| t * t * (1.5 * t - 2.5) + 1.0;
    let s = 1.0 - t;
    [far(t), near(t), near(s), far(s)]
}

/// The value along an axis.
#[inline(always)]
fn along(weights: &[f32; 4], [before, below, above, behind]: [f32; 4]) -> f32 {
    let [first, _, third, fourth] = *weights;
    let far = first * (before - below) + fourth * (behind - below);
    below + (third * (above - below) + far)
}

/// The 64 voxels around a position.
struct Cell<'a> {
    source: &'a [f32],
    /// Voxels along x and y.
    shape: [usize; 2],
    /// Indices along x, y, z; those beyond the edge repeat it.
    at: [[usize; 4]; 3],
    weight: [[f32; 4]; 3],
}

impl<'a> Cell<'a> {
    #[inline(always)]
    fn new(source: &'a [f32], taps: &Taps, i: usize) -> Self {
        let [nx, ny, _] = taps.source_shape;
        let place = |a: usize| match (taps.low[a][i] as usize, taps.weight[a][i]) {
            // All of the weight is the upper voxel's.
            (low, 1.0) => (low + 1, 0.0),
            place => place,
        };
        let places = [0, 1, 2].map(place);
        Self {
            source,
            shape: [nx, ny],
            at: [0, 1, 2].map(|a| {
                let ((low, _), last) = (places[a], taps.source_shape[a] - 1);
                [0, 1, 2, 3].map(|tap| (low + tap).saturating_sub(1).min(last))
            }),
            weight: places.map(|(_, weight)| keys(weight)),
        }
    }

    #[inline(always)]
    fn row(&self, z: usize, y: usize) -> [f32; 4] {
        let [nx, ny] = self.shape;
        let row = &self.source[(z * ny + y) * nx..][..nx];
        self.at[0].map(|x| row[x])
    }

    /// The sum over all voxels. Written as loops: as sums of mapped arrays it takes longer.
    #[inline(always)]
    fn value(&self) -> f32 {
        let ([_, y, z], [wx, wy, wz]) = (&self.at, &self.weight);
        let (mut planes, mut rows) = ([0.0; 4], [0.0; 4]);
        for (plane, &z) in planes.iter_mut().zip(z) {
            for (row, &y) in rows.iter_mut().zip(y) {
                *row = along(wx, self.row(z, y));
            }
            *plane = along(wy, rows);
        }
        along(wz, planes)
    }

    /// The sum over the voxels that have a weight.
    fn weighted_value(&self) -> f32 {
        let ([_, y, z], [wx, wy, wz]) = (self.at, self.weight);
        let row = |z, y| weighted(wx.into_iter().zip(self.row(z, y)));
        let plane = |z| weighted(wy.into_iter().zip(y.map(|y| row(z, y))));
        weighted(wz.into_iter().zip(z.map(plane)))
    }
}
