//! Lets the patient move while the image is taken.

use super::{PerModality, apply_on_grid, aside, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::fourier::{add_filtered, frequencies};
use crate::kernel::region::minimum;
use crate::kernel::sample::sample_linear;
use crate::stage::spatial::Axis;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::{Grid, Row};
use glam::{DAffine3, DMat3, DVec3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most poses of one image.
const MOST_MOVES: u32 = 20;

/// Makes k-space of pieces that show the patient in different poses.
///
/// **Law** lines of k-space along the drawn axis are taken in rising frequency while the patient
/// moves at drawn times: they fall into `moves + 1` pieces. The piece that holds frequency 0 shows
/// the image as it is, so that labels keep their place; each other piece shows it turned
/// by three angles about the image's centre (about the world's x, then y, then z) and shifted.
/// `v' = v + sum over poses of F^-1(m F(moved - v))` with `m` 1 on the pose's piece, of which the real
/// part is taken. Moved copies are interpolated linearly; what comes in from outside is the image's
/// smallest value, which voxels that are not finite count as, while they stay themselves. Angles and
/// shifts of 0 change nothing. With probability `p` the step runs on a row; then every modality
/// takes part with probability `p_modality` and draws its own axis, times and poses.
/// **Source** Shaw et al. 2019, as in TorchIO's `RandomMotion`, whose ranges the defaults are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Motion {
    /// Fewest and most poses beside the image's own, each number between them equally likely; 0 to 20.
    pub moves: [u32; 2],
    /// Angle about each of the world's axes in degrees: a number, a pair to draw uniformly between, or a `choice`; -180 to 180.
    pub degrees: Range,
    /// Shift along each of the world's axes in mm: a number, a pair to draw uniformly between, or a `choice`; -1000 to 1000.
    pub shift_mm: Range,
    /// Axes of the voxel array to draw from, each equally likely: the slowest of acquisition.
    pub axes: Vec<Axis>,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// What happened while one image was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moves {
    /// Axis along which k-space was filled.
    pub axis: Axis,
    /// When the patient moved, as shares of the time, rising; one for each pose.
    pub times: Vec<f32>,
    /// The poses of the pieces in their order, without the one that holds frequency 0.
    pub poses: Vec<Pose>,
}

/// Where the patient lay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Angles about the world's x, y, z in degrees.
    pub degrees: [f32; 3],
    /// Shifts along the world's x, y, z in mm.
    pub shift_mm: [f32; 3],
}

impl Default for Motion {
    fn default() -> Self {
        Self {
            moves: [2, 2],
            degrees: Range::Uniform([-10.0, 10.0]),
            shift_mm: Range::Uniform([-10.0, 10.0]),
            axes: Axis::ALL.to_vec(),
            p: 0.1,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Pose {
    fn is_still(&self) -> bool {
        self.degrees == [0.0; 3] && self.shift_mm == [0.0; 3]
    }

    /// Voxel of the still image that is seen at a voxel of the moved one.
    fn still_from_moved(&self, grid: &Grid) -> DAffine3 {
        let [x, y, z] = self.degrees.map(|d| f64::from(d).to_radians());
        let turn =
            DMat3::from_rotation_z(z) * DMat3::from_rotation_y(y) * DMat3::from_rotation_x(x);
        let middle = DVec3::from(grid.shape_xyz().map(|n| (n as f64 - 1.0) / 2.0));
        let centre = grid.world_from_voxel().transform_point3(middle);
        let shift = DVec3::from(self.shift_mm.map(f64::from));
        let moved_from_still = DAffine3::from_translation(centre + shift)
            * DAffine3::from_mat3(turn)
            * DAffine3::from_translation(-centre);
        grid.voxel_from_world() * moved_from_still.inverse() * grid.world_from_voxel()
    }
}

impl Moves {
    /// For each line of k-space the pose it shows; `None` for the image as it is.
    fn pose_of_lines(&self, count: usize) -> Vec<Option<usize>> {
        // A line's time: frequency -(count / 2) comes first.
        let piece_at = |f: i64| {
            let time = (f + (count / 2) as i64) as f64 / count as f64;
            self.times.iter().filter(|t| f64::from(**t) <= time).count()
        };
        let still = piece_at(0);
        let pose = |f: i64| match piece_at(f) {
            piece if piece < still => Some(piece),
            piece if piece > still => Some(piece - 1),
            _ => None,
        };
        frequencies(count).map(pose).collect()
    }

    fn shake(&self, grid: &Grid, voxels: &mut [f32]) {
        let (shape, axis) = (grid.shape_xyz(), self.axis.index());
        let lines = self.pose_of_lines(shape[axis]);
        let fill = minimum(voxels).unwrap_or(0.0);
        let still = voxels.to_vec();
        for (i, pose) in self.poses.iter().enumerate() {
            let piece = |shown: &Option<usize>| f32::from(u8::from(*shown == Some(i)));
            let response: Vec<f32> = lines.iter().map(piece).collect();
            if pose.is_still() || response.iter().all(|r| *r == 0.0) {
                continue;
            }
            let map = pose.still_from_moved(grid);
            let mut moved = sample_linear(&still, shape, &map, shape, fill);
            moved.iter_mut().zip(&still).for_each(|(m, v)| *m -= v);
            add_filtered(voxels, &moved, shape, axis, &response);
        }
    }
}

impl Augment for Motion {
    const NAME: &'static str = "motion";
    const EXAMPLE: &'static str =
        "{ moves: [1, 2], degrees: [-5, 5], shift_mm: [-5, 5], p: 0.1, modalities: [mr] }";
    type Draw = PerModality<Moves>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let [fewest, most] = self.moves;
        if fewest > most || most > MOST_MOVES {
            return Err(format!(
                "`moves` is [{fewest}, {most}]; expected two numbers from 0 to {MOST_MOVES}, the smaller first"
            ));
        }
        self.degrees.check("degrees", -180.0, 180.0)?;
        self.shift_mm.check("shift_mm", -1000.0, 1000.0)?;
        if self.axes.is_empty() {
            return Err("`axes` is empty; name at least one of x, y, z".to_owned());
        }
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
            let axis = self.axes[rng.below(self.axes.len())];
            let [fewest, most] = self.moves;
            let count = fewest + rng.below((most - fewest) as usize + 1) as u32;
            let mut times: Vec<f32> = (0..count).map(|_| rng.unit() as f32).collect();
            times.sort_by(f32::total_cmp);
            let poses = (0..count)
                .map(|_| Pose {
                    degrees: [(); 3].map(|()| self.degrees.draw(rng) as f32),
                    shift_mm: [(); 3].map(|()| self.shift_mm.draw(rng) as f32),
                })
                .collect();
            Moves { axis, times, poses }
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |moves, grid, voxels| {
            aside(voxels, |voxels| moves.shake(grid, voxels));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;
    use std::f64::consts::TAU;

    const STILL: Pose = Pose {
        degrees: [0.0; 3],
        shift_mm: [0.0; 3],
    };

    fn shaken(moves: &Moves, values: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let draw = PerModality::from([("ct".to_owned(), moves.clone())]);
        image_of(
            &Motion::default()
                .apply(&draw, row_on(values, shape))
                .unwrap(),
        )
    }

    #[test]
    fn pieces_of_k_space_show_their_poses() {
        let moves = Moves {
            axis: Axis::X,
            times: vec![0.15, 0.65, 0.95],
            poses: vec![STILL; 3],
        };
        // Times of frequencies -5 to 4 are 0, 0.1, ... 0.9; frequency 0 comes at 0.5.
        let found = moves.pose_of_lines(10);
        let rising: Vec<_> = found[5..].iter().chain(&found[..5]).copied().collect();
        let [a, b] = [Some(0), Some(1)];
        let none = None;
        assert_eq!(rising, [a, a, none, none, none, none, none, b, b, b]);
    }

    #[test]
    fn shifted_lines_are_mixed_in() {
        let n = 12;
        let mut values = vec![0f32; n];
        (values[4], values[5], values[6]) = (3.0, 5.0, 1.0);
        let moves = Moves {
            axis: Axis::X,
            times: vec![0.75],
            poses: vec![Pose {
                shift_mm: [2.0, 0.0, 0.0],
                ..STILL
            }],
        };
        let found = shaken(&moves, &values, [n, 1, 1]);
        let mut moved = vec![0f32; n];
        (moved[6], moved[7], moved[8]) = (3.0, 5.0, 1.0);
        // Frequencies 3, 4, 5 come after three quarters of the time.
        for (i, found) in found.iter().enumerate() {
            let mut expected = f64::from(values[i]);
            for k in 3..6 {
                for j in 0..n {
                    let difference = f64::from(moved[j] - values[j]);
                    let angle = TAU * k as f64 * (i as f64 - j as f64) / n as f64;
                    expected += difference * angle.cos() / n as f64;
                }
            }
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{i}: {found} {expected}"
            );
        }
    }

    #[test]
    fn poses_turn_about_the_centre() {
        let grid = Grid::with_spacing([5, 5, 1], [1.0; 3]).unwrap();
        let pose = Pose {
            degrees: [0.0, 0.0, 90.0],
            shift_mm: [1.0, 0.0, 0.0],
        };
        // The point right of the centre is turned to its front and shifted to the right.
        let from = pose
            .still_from_moved(&grid)
            .transform_point3(DVec3::new(3.0, 3.0, 0.0));
        assert!(from.distance(DVec3::new(3.0, 2.0, 0.0)) < 1e-9, "{from}");
    }

    #[test]
    fn stillness_changes_no_bit_and_odd_voxels_stay() {
        let mut values: Vec<f32> = (0..120).map(|i| (i as f32 * 0.3).sin()).collect();
        let mut moves = Moves {
            axis: Axis::Y,
            times: vec![0.1, 0.6],
            poses: vec![STILL; 2],
        };
        assert_eq!(shaken(&moves, &values, [6, 5, 4]), values);
        moves.poses[1].degrees = [3.0, -2.0, 8.0];
        values[50] = f32::NAN;
        let found = shaken(&moves, &values, [6, 5, 4]);
        assert!(found[50].is_nan());
        assert_eq!(found.iter().filter(|v| v.is_nan()).count(), 1);
        assert!(found.iter().zip(&values).any(|(a, b)| (a - b).abs() > 1e-3));
    }
}
