//! Weights along one axis: interpolation and Gaussian as one sum.

use super::super::super::gaussian::{mirrored, weights};
use super::super::tap::{nearest, reach, tap};
use super::filter::{AxisReading, CUT, Filter};
use glam::DAffine3;

/// Neighbouring source voxels along one axis, and the weight of each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stencil {
    /// The first voxel.
    pub(super) low: usize,
    /// Weights from there on; they add up to 1.
    pub(super) weights: Vec<f32>,
    /// The voxel of the largest weight.
    pub(super) centre: usize,
}

impl Stencil {
    fn new(low: usize, weights: Vec<f32>) -> Self {
        let largest = |best: usize, i: usize| if weights[i] > weights[best] { i } else { best };
        let centre = low + (0..weights.len()).fold(0, largest);
        Self {
            low,
            weights,
            centre,
        }
    }

    /// The voxels from `low` to before this one are read.
    pub(super) fn end(&self) -> usize {
        self.low + self.weights.len()
    }

    /// Voxels and weights between two voxels of the axis.
    pub(super) fn within(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, f32)> {
        let (low, begin, end) = (self.low, from.max(self.low), to.min(self.end()));
        (begin..end.max(begin)).map(move |i| (i, self.weights[i - low]))
    }
}

/// For each output voxel of each axis its stencil; `None` outside the source.
pub(super) fn axis_stencils(
    map: &DAffine3,
    source_shape: [usize; 3],
    shape: [usize; 3],
    filter: &Filter,
) -> [Vec<Option<Stencil>>; 3] {
    let reach = reach(map);
    [0, 1, 2].map(|axis| {
        let (step, start) = (map.matrix3.col(axis)[axis], map.translation[axis]);
        let gaussian = weights(filter.sigma_xyz[axis], CUT);
        (0..shape[axis])
            .map(|i| {
                let position = start + step * i as f64;
                let count = source_shape[axis];
                let base = base(position, count, reach[axis], filter, axis)?;
                Some(convolved(&base, &gaussian, count))
            })
            .collect()
    })
}

/// The interpolation at a position along an axis, without the Gaussian; `None` outside.
pub(super) fn base(
    position: f64,
    count: usize,
    reach: f64,
    filter: &Filter,
    axis: usize,
) -> Option<Stencil> {
    let reading = filter.readings[axis];
    let last = count as f64 - 1.0;
    if reading == AxisReading::Nearest {
        let low = nearest(position, last, reach, filter.ties.shift()[axis])?;
        return Some(Stencil::new(low, vec![1.0]));
    }
    let tap = tap(position, last, reach)?;
    if tap.weight == 0.0 {
        return Some(Stencil::new(tap.low, vec![1.0]));
    }
    let t = tap.weight;
    if reading == AxisReading::Linear {
        return Some(Stencil::new(tap.low, vec![1.0 - t, t]));
    }
    let cubic = [
        t * (t * (1.0 - 0.5 * t) - 0.5),
        t * t * (1.5 * t - 2.5) + 1.0,
        t * (t * (2.0 - 1.5 * t) + 0.5),
        t * t * (0.5 * t - 0.5),
    ];
    let low = tap.low.saturating_sub(1);
    let high = (tap.low + 2).min(count - 1);
    let mut weights = vec![0.0; high + 1 - low];
    for (k, weight) in cubic.into_iter().enumerate() {
        // Voxels beyond the edge repeat it.
        let index = (tap.low + k).saturating_sub(1).min(count - 1);
        weights[index - low] += weight;
    }
    Some(Stencil::new(low, weights))
}

/// A stencil on the smoothed axis as one on the axis itself.
fn convolved(base: &Stencil, gaussian: &[f32], count: usize) -> Stencil {
    let radius = gaussian.len() - 1;
    if radius == 0 {
        return base.clone();
    }
    let reached = |centre: usize| {
        let (centre, radius) = (centre as isize, radius as isize);
        (-radius..=radius).map(move |k| (mirrored(centre + k, count), k.unsigned_abs()))
    };
    let centres = base.low..base.end();
    let indices = || centres.clone().flat_map(reached).map(|(index, _)| index);
    let low = indices().min().unwrap_or(base.low);
    let high = indices().max().unwrap_or(base.low);
    let mut weights = vec![0.0f64; high + 1 - low];
    for (centre, weight) in centres.clone().zip(&base.weights) {
        for (index, k) in reached(centre) {
            weights[index - low] += f64::from(*weight) * f64::from(gaussian[k]);
        }
    }
    Stencil::new(low, weights.into_iter().map(|w| w as f32).collect())
}
