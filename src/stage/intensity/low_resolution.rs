//! Makes images look as if they had been taken with fewer voxels.

use super::{PerModality, apply_on_grid, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::sample::{Ties, sample_linear, sample_nearest};
use crate::stage::spatial::Axis;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use glam::{DAffine3, DVec3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes an image down to fewer voxels and back up, on its own grid; labels keep their detail.
///
/// **Law** an axis of `n` voxels goes down to `m = max(1, round(factor * n))` and back. Down, voxel
/// `j` takes the nearest, `floor((j + 1/2) * n / m)`; up, voxel `i` is mixed linearly at
/// `(i + 1/2) * m / n - 1/2`, the edge value beyond the outermost. `factor: 1` changes nothing. A
/// voxel that is not finite reaches the voxels that are mixed from it. With probability `p` the
/// step runs on a row; then every modality takes part with probability `p_modality` and draws its
/// own factor, one for all axes. **Source** nnU-Net v2: `p` 0.25, `p_modality` 0.5, U(0.5, 1).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LowResolution {
    /// Share of the voxels that is kept along each axis: a number, a pair to draw uniformly between, or a `choice`; 0.01 to 1.
    pub factor: Range,
    /// Axes of the voxel array that lose voxels; nnU-Net leaves out the axis across thick slices.
    pub axes: Vec<Axis>,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs; 0.5 in nnU-Net.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

impl Default for LowResolution {
    fn default() -> Self {
        Self {
            factor: Range::Uniform([0.5, 1.0]),
            axes: Axis::ALL.to_vec(),
            p: 0.25,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl LowResolution {
    fn degrade(&self, factor: f32, shape: [usize; 3], voxels: &mut [f32]) {
        let mut small = shape;
        for axis in &self.axes {
            let n = shape[axis.index()];
            let m = (f64::from(factor) * n as f64).round_ties_even() as usize;
            small[axis.index()] = m.clamp(1, n);
        }
        if small == shape {
            return;
        }
        // Voxel boxes, not centres, cover each other: position (i + 1/2) * ratio - 1/2.
        let map = |from: [usize; 3], to: [usize; 3]| {
            let ratio = DVec3::from([0, 1, 2].map(|a| to[a] as f64 / from[a] as f64));
            DAffine3 {
                translation: (ratio - 1.0) * 0.5,
                ..DAffine3::from_scale(ratio)
            }
        };
        let down = sample_nearest(voxels, shape, &map(small, shape), small, 0.0, Ties::UP);
        // No position is beyond the edge voxels' boxes, so nothing is filled.
        let up = sample_linear(&down, small, &map(shape, small), shape, 0.0);
        voxels.copy_from_slice(&up);
    }
}

impl Augment for LowResolution {
    const NAME: &'static str = "low_resolution";
    const EXAMPLE: &'static str = "{ factor: [0.5, 1.0], p: 0.25 }";
    type Draw = PerModality<f32>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.factor.check("factor", 0.01, 1.0)?;
        if self.axes.is_empty() {
            return Err("`axes` is empty; name at least one of x, y, z".to_owned());
        }
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
            self.factor.draw(rng) as f32
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |factor, grid, voxels| {
            self.degrade(*factor, grid.shape_xyz(), voxels);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn degraded(stage: &LowResolution, factor: f32, shape: [usize; 3]) -> [Vec<f32>; 2] {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| ((i * 37) % 101) as f32).collect();
        let draw = PerModality::from([("ct".to_owned(), factor)]);
        let row = stage.apply(&draw, row_on(&values, shape)).unwrap();
        [values, image_of(&row)]
    }

    /// The formula along one axis, one voxel at a time.
    fn plainly(values: &[f32], shape: [usize; 3], axis: usize, m: usize) -> Vec<f32> {
        let (n, stride) = (shape[axis], [1, shape[0], shape[0] * shape[1]][axis]);
        (0..values.len())
            .map(|i| {
                let at = i / stride % n;
                let read = |j: usize| {
                    let from = ((j as f64 + 0.5) * n as f64 / m as f64).floor() as usize;
                    f64::from(values[i - at * stride + from * stride])
                };
                let position = (at as f64 + 0.5) * m as f64 / n as f64 - 0.5;
                let position = position.clamp(0.0, (m - 1) as f64);
                let (low, w) = (position as usize, position.fract());
                (read(low) * (1.0 - w) + read((low + 1).min(m - 1)) * w) as f32
            })
            .collect()
    }

    #[test]
    fn voxels_go_down_to_the_nearest_and_up_linearly() {
        for (factor, m) in [(0.5, [6, 5, 4]), (0.77, [9, 8, 6]), (0.01, [1, 1, 1])] {
            let shape = [12, 10, 8];
            let [mut expected, found] = degraded(&LowResolution::default(), factor, shape);
            for (axis, m) in m.into_iter().enumerate() {
                expected = plainly(&expected, shape, axis, m);
            }
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 2e-4,
                    "{factor}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn whole_axes_and_named_axes_keep_their_bits() {
        let [before, after] = degraded(&LowResolution::default(), 1.0, [7, 5, 3]);
        assert_eq!(before, after);
        let flat = LowResolution {
            axes: vec![Axis::X],
            ..LowResolution::default()
        };
        let [before, after] = degraded(&flat, 0.4, [10, 2, 2]);
        let expected = plainly(&before, [10, 2, 2], 0, 4);
        assert!(
            after
                .iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() < 1e-4)
        );
        assert_ne!(before, after);
    }
}
