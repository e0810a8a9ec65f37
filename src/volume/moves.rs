//! Moves of volumes: each makes a deferred volume, and a move of a deferred one goes on from its source.

use super::Role;
use super::deferred::bad_grid;
use super::error::VolumeError;
use super::grid::Grid;
use super::interpolation::Interpolation;
use super::voxels::{Deferred, Gather, Recipe, Volume};
use super::warp::Warp;
use crate::kernel::lattice::{Inside, Lattice};
use crate::kernel::reorient::AxisMap;
use crate::kernel::warp::Step;
use glam::{DAffine3, DVec3};

impl Volume {
    /// The volume on another grid, `steps` leading from the new grid's voxels to this one's.
    fn pulled(&self, role: Role, grid: Grid, mut steps: Vec<Step>, reading: Interpolation) -> Self {
        let lattice = match steps.as_slice() {
            [Step::Affine(affine)] => Lattice::from_affine(affine),
            _ => None,
        };
        let old = self.grid().shape_xyz();
        let all = |shape: [usize; 3]| shape.map(|n| [0, n as i64]);
        // What this step alone leaves of the voxels there were.
        let seen = |before: &Inside| {
            let inside = lattice.as_ref()?.seen(before);
            let shape = all(grid.shape_xyz());
            // A step that cuts one axis and pads another has both edges: what the box of this grid
            // does not hold is gone, too, for a later step that grows.
            let left = [0, 1, 2].map(|a| {
                let [from, to] = inside[a].map(|edge| edge.clamp(0, shape[a][1]));
                [from, to.max(from)]
            });
            (left != shape).then_some(left)
        };
        let cuts = lattice.is_some_and(|map| map.seen(&all(old)) != all(grid.shape_xyz()));
        let before = match self.recipe() {
            // The conversion of an image to f32 commutes with every move; a change of values does
            // not, but with moves of whole voxels where what is outside is known.
            Some(
                deferred @ Deferred {
                    recipe: Recipe::Gather(before),
                    pointwise,
                    ..
                },
            ) if (deferred.keeps_values() || lattice.is_some() && self.is_changed_later())
                && (pointwise.is_none() || role == Role::Image)
                && before.role == role
                && (lattice.is_some() || !before.cut) =>
            {
                Some((before, pointwise.clone()))
            }
            _ => None,
        };
        let (gather, pointwise) = match before {
            Some((before, pointwise)) => {
                steps.extend(before.route.iter().cloned());
                let gather = Gather {
                    source: before.source.clone(),
                    route: steps,
                    role,
                    reading: before.reading.joined(reading),
                    inside: seen(&before.inside.unwrap_or(all(old))),
                    cut: before.cut || cuts,
                };
                (gather, pointwise)
            }
            None => {
                let gather = Gather {
                    source: match role {
                        Role::Image => self.clone(),
                        Role::Label => self.clone().with_stored_zero(),
                    },
                    route: steps,
                    role,
                    reading,
                    // Outside the source nothing is found anyway.
                    inside: None,
                    cut: cuts,
                };
                (gather, None)
            }
        };
        let moved = Deferred::gather(gather, pointwise);
        if let (false, Some(lowest)) = (moved.keeps_values(), self.lowest_after_changes()) {
            let _ = moved.lowest.set(lowest);
        }
        Self::deferred(moved, grid)
    }

    /// The smallest value of a deferred image after its changes, where it is known.
    fn lowest_after_changes(&self) -> Option<f32> {
        self.recipe()?.lowest.get().copied()
    }

    /// Returns `true` if voxels are cheapest made where they go: an image that is gathered for
    /// nobody else, and the smallest value after its changes is known.
    fn is_changed_later(&self) -> bool {
        let is_made = |deferred: &Deferred| deferred.made.get().is_some();
        self.is_unshared()
            && self.lowest_after_changes().is_some()
            && self.recipe().is_some_and(|deferred| !is_made(deferred))
    }

    /// A label map in which the stored number 0 is class 0: all but those with an intercept are.
    fn with_stored_zero(self) -> Self {
        if self.scaling().intercept == 0.0 {
            self
        } else {
            self.into_f32().materialised()
        }
    }

    /// The volume with its axes permuted and reversed; stored type, scaling and world stay.
    ///
    /// **Errors** when the turned affine is no grid, which a grid's own turn always is.
    pub fn turned(&self, role: Role, map: &AxisMap) -> Result<Self, VolumeError> {
        if *map == AxisMap::IDENTITY {
            return Ok(self.clone());
        }
        let shape = self.grid().shape_xyz();
        let step = map.source_from_output(shape);
        let affine = self.grid().world_from_voxel() * step;
        let grid = Grid::try_new(map.output_shape(shape), affine).map_err(bad_grid)?;
        let steps = vec![Step::Affine(step)];
        Ok(self.pulled(role, grid, steps, Interpolation::default()))
    }

    /// The window that begins at `offset_xyz` (may be negative); stored type, scaling and world stay.
    ///
    /// Outside the volume images hold the smallest value they had when values were last changed,
    /// labels 0.
    ///
    /// **Errors** when the window is empty.
    pub fn windowed(
        &self,
        role: Role,
        offset_xyz: [i64; 3],
        shape_xyz: [usize; 3],
    ) -> Result<Self, VolumeError> {
        if offset_xyz == [0; 3] && shape_xyz == self.grid().shape_xyz() {
            return Ok(self.clone());
        }
        let grid = self
            .grid()
            .window(offset_xyz, shape_xyz)
            .map_err(bad_grid)?;
        let offset = DVec3::from(offset_xyz.map(|o| o as f64));
        let steps = vec![Step::Affine(DAffine3::from_translation(offset))];
        Ok(self.pulled(role, grid, steps, Interpolation::default()))
    }

    /// The volume read at the voxels of another grid.
    #[must_use]
    pub fn resampled(&self, role: Role, grid: Grid, reading: Interpolation) -> Self {
        let step = self.grid().voxel_from_world() * grid.world_from_voxel();
        self.pulled(role, grid, vec![Step::Affine(step)], reading)
    }

    /// The volume with the world's anatomy moved by a warp; the grid stays.
    #[must_use]
    pub fn warped(&self, role: Role, warp: &Warp, reading: Interpolation) -> Self {
        let grid = *self.grid();
        let (to_world, to_voxel) = (grid.world_from_voxel(), grid.voxel_from_world());
        let steps = match warp {
            Warp::Affine(affine) => vec![Step::Affine(to_voxel * *affine * to_world)],
            Warp::Elastic(bend) => vec![
                Step::Affine(to_world),
                Step::Bend(bend.clone()),
                Step::Affine(to_voxel),
            ],
        };
        self.pulled(role, grid, steps, reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One move of a volume, and whether its voxels are made behind it.
    fn moved(volume: &Volume, role: Role, step: &([i64; 3], [usize; 3], bool)) -> Volume {
        let (offset_xyz, shape_xyz, reversed) = *step;
        let windowed = volume.windowed(role, offset_xyz, shape_xyz).unwrap();
        let map = AxisMap {
            source_axis: [0, 1, 2],
            reversed: [reversed, false, reversed],
        };
        windowed.turned(role, &map).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn windows_of_windows_are_what_each_makes(
            steps in prop::collection::vec(
                (prop::array::uniform3(-5..6i64), prop::array::uniform3(1..12usize), any::<bool>()),
                1..6,
            ),
        ) {
            let grid = Grid::with_spacing([7, 6, 5], [1.0, 2.0, 3.0]).unwrap();
            // No 0: what is outside differs from every voxel, for labels and, by its minimum, images.
            let values: Vec<u16> = (0..210).map(|i| 1 + i * 7 % 211).collect();
            let source = Volume::from_vec(values, grid).unwrap();
            for role in [Role::Image, Role::Label] {
                let (mut composed, mut one_by_one) = (source.clone(), source.clone());
                for step in &steps {
                    composed = moved(&composed, role, step);
                    one_by_one = moved(&one_by_one, role, step).materialised();
                    one_by_one.know_lowest(source.lowest_bits());
                }
                prop_assert_eq!(composed.grid(), one_by_one.grid());
                prop_assert_eq!(composed.buffer(), one_by_one.buffer(), "{:?}", role);
            }
        }
    }
}
