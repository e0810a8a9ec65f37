//! Lays faint copies of an image beside it, as periodic motion does.

use super::{PerModality, apply_on_grid, aside, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::fourier::{add_filtered, frequencies};
use crate::stage::spatial::Axis;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Weakens every n-th line of k-space along one axis, which shows as shifted copies.
///
/// **Law** with `F` the Fourier transform along the drawn axis of `n` voxels, `v' = F^-1(h F(v))`, where
/// `h(f) = 1 - strength` for whole frequencies `f` that `ghosts` divides and that lie further than
/// `keep_centre * n / 2` from 0, and 1 elsewhere: copies stand `n / ghosts` voxels apart. An axis of
/// less than `2 * ghosts` voxels has no such line and stays. Voxels that are not finite stay, and
/// count as the image's smallest value for the others. `strength: 0` changes nothing. With
/// probability `p` the step runs on a row; then every modality takes part with probability
/// `p_modality` and draws its own axis, ghosts and strength.
/// **Source** TorchIO's `RandomGhosting`, whose ranges the defaults are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ghosting {
    /// Fewest and most ghosts along the axis, each number between them equally likely; 1 to 1000.
    pub ghosts: [u32; 2],
    /// Axes of the voxel array to draw from, each equally likely: those of phase encoding.
    pub axes: Vec<Axis>,
    /// How much the lines are weakened: a number, a pair to draw uniformly between, or a `choice`; 0 to 1.
    pub strength: Range,
    /// Share of k-space around its centre that is kept as it is, 0 to 1.
    pub keep_centre: f64,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// Ghosts of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ghosts {
    /// How many there are along the axis.
    pub ghosts: u32,
    /// The axis.
    pub axis: Axis,
    /// How much the lines are weakened.
    pub strength: f32,
}

impl Default for Ghosting {
    fn default() -> Self {
        Self {
            ghosts: [4, 10],
            axes: Axis::ALL.to_vec(),
            strength: Range::Uniform([0.5, 1.0]),
            keep_centre: 0.02,
            p: 0.1,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Ghosting {
    fn ghost(&self, drawn: &Ghosts, shape: [usize; 3], voxels: &mut [f32]) {
        let axis = drawn.axis.index();
        let n = shape[axis];
        let kept = self.keep_centre * n as f64 / 2.0;
        let taken = |f: i64| {
            let is_weakened = f != 0 && f % i64::from(drawn.ghosts.max(1)) == 0;
            if is_weakened && f.abs() as f64 > kept {
                -drawn.strength
            } else {
                0.0
            }
        };
        let response: Vec<f32> = frequencies(n).map(taken).collect();
        if response.iter().all(|taken| *taken == 0.0) {
            return;
        }
        aside(voxels, |voxels| {
            let source = voxels.to_vec();
            add_filtered(voxels, &source, shape, axis, &response);
        });
    }
}

impl Augment for Ghosting {
    const NAME: &'static str = "ghosting";
    const EXAMPLE: &'static str =
        "{ ghosts: [2, 4], axes: [y], strength: [0.5, 1.0], p: 0.1, modalities: [mr] }";
    type Draw = PerModality<Ghosts>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let [fewest, most] = self.ghosts;
        if fewest == 0 || fewest > most || most > 1000 {
            return Err(format!(
                "`ghosts` is [{fewest}, {most}]; expected two numbers from 1 to 1000, the smaller first"
            ));
        }
        if self.axes.is_empty() {
            return Err("`axes` is empty; name at least one of x, y, z".to_owned());
        }
        self.strength.check("strength", 0.0, 1.0)?;
        if !(0.0..=1.0).contains(&self.keep_centre) {
            return Err(format!(
                "`keep_centre` is {}; expected a share of k-space from 0 to 1",
                self.keep_centre
            ));
        }
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
            let [fewest, most] = self.ghosts;
            Ghosts {
                ghosts: fewest + rng.below((most - fewest) as usize + 1) as u32,
                axis: self.axes[rng.below(self.axes.len())],
                strength: self.strength.draw(rng) as f32,
            }
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |ghosts, grid, voxels| {
            self.ghost(ghosts, grid.shape_xyz(), voxels);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn ghosted(strength: f32, axis: Axis, values: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let stage = Ghosting {
            keep_centre: 0.0,
            ..Ghosting::default()
        };
        let ghosts = Ghosts {
            ghosts: 4,
            axis,
            strength,
        };
        let draw = PerModality::from([("ct".to_owned(), ghosts)]);
        image_of(&stage.apply(&draw, row_on(values, shape)).unwrap())
    }

    #[test]
    fn copies_stand_a_quarter_apart() {
        // Weakening frequencies -8, -4, 4 (and 0, which is spared) of a point: the comb of all four
        // would take strength * 4 / 16 at every fourth voxel, frequency 0 returns 1 / 16 of it.
        for (axis, shape) in [
            (Axis::X, [16, 1, 1]),
            (Axis::Y, [1, 16, 1]),
            (Axis::Z, [1, 1, 16]),
        ] {
            let mut point = [0f32; 16];
            point[5] = 1.0;
            let found = ghosted(0.8, axis, &point, shape);
            for (i, found) in found.iter().enumerate() {
                let comb = if i % 4 == 1 { 0.25 } else { 0.0 };
                let expected = point[i] - 0.8 * (comb - 1.0 / 16.0);
                assert!(
                    (found - expected).abs() < 1e-6,
                    "{axis:?} {i}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn the_mean_stays_and_no_strength_changes_no_bit() {
        let values: Vec<f32> = (0..480).map(|i| ((i * 37) % 101) as f32).collect();
        assert_eq!(ghosted(0.0, Axis::Y, &values, [4, 12, 10]), values);
        let found = ghosted(1.0, Axis::Y, &values, [4, 12, 10]);
        let sum = |v: &[f32]| v.iter().map(|v| f64::from(*v)).sum::<f64>();
        assert!((sum(&found) - sum(&values)).abs() < 1e-2);
        assert!(found.iter().zip(&values).any(|(a, b)| (a - b).abs() > 1.0));
        let mut odd = values;
        odd[100] = f32::NAN;
        let found = ghosted(1.0, Axis::Y, &odd, [4, 12, 10]);
        assert!(found[100].is_nan());
        assert_eq!(found.iter().filter(|v| v.is_nan()).count(), 1);
    }
}
