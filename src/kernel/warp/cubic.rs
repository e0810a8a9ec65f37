//! Values by cubic convolution at the positions of a row.

use super::jobs::{Job, repair, weighted};
use super::walk::Taps;
use crate::kernel::simd::vectorised;

/// Values by cubic convolution, which keeps edges sharper than linear and may overshoot.
///
/// **Law** Catmull-Rom kernel (a = -1/2) over 4 x 4 x 4 voxels; voxels beyond the edge repeat it, and
/// voxels without weight do not count, as for [`Linear`](super::Linear). What is summed are differences from one of
/// the voxels, so that voxels of one value keep it to the last bit.
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
                let all_finite = match taps.any_upper {
                    true => cubic_row::<true>(source, taps, out),
                    false => cubic_row::<false>(source, taps, out),
                };
                if !all_finite {
                    repair(out, |i| Cell::new(source, taps, i).weighted_value());
                }
                taps.fill(out, fill);
            },
        );
    }
}

/// Fills a row; returns `true` if all its values are finite. `UPPER`: some weights are 1.
#[inline(always)]
fn cubic_row<const UPPER: bool>(source: &[f32], taps: &Taps, out: &mut [f32]) -> bool {
    let mut all_finite = true;
    for (i, value) in out.iter_mut().enumerate() {
        *value = Cell::new(source, taps, i).value::<UPPER>();
        all_finite &= value.is_finite();
    }
    all_finite
}

/// Keys' weights of the voxels at -1, 0, 1 and 2 for a position `t` past the one at 0.
#[inline(always)]
fn keys(t: f32) -> [f32; 4] {
    let far = |t: f32| t * (t * (1.0 - 0.5 * t) - 0.5);
    let near = |t: f32| t * t * (1.5 * t - 2.5) + 1.0;
    let s = 1.0 - t;
    [far(t), near(t), near(s), far(s)]
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
        Self {
            source,
            shape: [nx, ny],
            at: [0, 1, 2].map(|a| {
                let (low, last) = (taps.low[a][i] as usize, taps.source_shape[a] - 1);
                [0, 1, 2, 3].map(|tap| (low + tap).saturating_sub(1).min(last))
            }),
            weight: [0, 1, 2].map(|a| keys(taps.weight[a][i])),
        }
    }

    #[inline(always)]
    fn row(&self, z: usize, y: usize) -> [f32; 4] {
        let [nx, ny] = self.shape;
        let row = &self.source[(z * ny + y) * nx..][..nx];
        self.at[0].map(|x| row[x])
    }

    /// The sum over all voxels of differences from the one below, or from the one that has all of the weight, whose
    /// value stays. Written as loops: as sums of mapped arrays it takes longer.
    #[inline(always)]
    fn value<const UPPER: bool>(&self) -> f32 {
        let ([_, y, z], [wx, wy, wz]) = (&self.at, &self.weight);
        let below = |weights: &[f32; 4]| 1 + usize::from(UPPER && weights[2] == 1.0);
        let origin = self.row(z[below(wz)], y[below(wy)])[below(wx)];
        let mut sums = [0.0; 4];
        for (&z, wz) in z.iter().zip(wz) {
            for (&y, wy) in y.iter().zip(wy) {
                let (weight, row) = (wz * wy, self.row(z, y));
                for (sum, v) in sums.iter_mut().zip(row) {
                    *sum += weight * (v - origin);
                }
            }
        }
        let [a, b, c, d] = sums;
        origin + ((wx[0] * a + wx[1] * b) + (wx[2] * c + wx[3] * d))
    }

    /// The sum over the voxels that have a weight.
    fn weighted_value(&self) -> f32 {
        let ([_, y, z], [wx, wy, wz]) = (self.at, self.weight);
        let row = |z, y| weighted(wx.into_iter().zip(self.row(z, y)));
        let plane = |z| weighted(wy.into_iter().zip(y.map(|y| row(z, y))));
        weighted(wz.into_iter().zip(z.map(plane)))
    }
}
