//! Moves of volumes: each makes a deferred volume, and a move of a deferred one goes on from its source.

use super::deferred::bad_grid;
use super::dtype::{Dtype, Role, Scaling};
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
    /// The volume on another grid, `steps` leading from the new grid's voxels to this one's. `fill` is the
    /// value outside the volume; `None` for the smallest value.
    fn pulled(
        &self,
        role: Role,
        grid: Grid,
        mut steps: Vec<Step>,
        reading: Interpolation,
        fill: Option<f32>,
    ) -> Self {
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
        let reaches_out = lattice.is_none_or(|map| map.reaches_out(old, grid.shape_xyz()));
        // The value outside `inside` where this move goes on from the source of the one before; the outer
        // `None` if it would need two.
        let around = |deferred: &Deferred, before: &Gather| match before.around {
            // Changes are made of what is read; what they make of a value that is filled in is not known.
            Some(_) if !deferred.keeps_values() => None,
            around if !reaches_out => Some(around),
            _ if !deferred.keeps_values() => fill.is_none().then_some(None),
            None if before.inside.is_none() => Some(fill),
            around => (around == fill).then_some(fill),
        };
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
                around(deferred, before).map(|around| (before, pointwise.clone(), around))
            }
            _ => None,
        };
        let (gather, pointwise) = match before {
            Some((before, pointwise, around)) => {
                steps.extend(before.route.iter().cloned());
                let gather = Gather {
                    source: before.source.clone(),
                    route: steps,
                    role,
                    reading: before.reading.joined(reading),
                    inside: seen(&before.inside.unwrap_or(all(old))),
                    around,
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
                    // Outside the source nothing is found anyway, unless another value is to be there.
                    inside: fill.and_then(|_| seen(&all(old))),
                    around: fill.filter(|_| reaches_out),
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
        Ok(self.pulled(role, grid, steps, Interpolation::default(), None))
    }

    /// The window that begins at `offset_xyz` (may be negative); stored type, scaling and world stay.
    ///
    /// Outside the volume images hold the smallest value they had when values were last changed or filled in,
    /// labels 0.
    ///
    /// **Errors** when the window is empty.
    pub fn windowed(
        &self,
        role: Role,
        offset_xyz: [i64; 3],
        shape_xyz: [usize; 3],
    ) -> Result<Self, VolumeError> {
        self.window(role, offset_xyz, shape_xyz, None)
    }

    /// The window of an image as [`Volume::windowed`], with the value `fill` outside the volume.
    ///
    /// What a later move finds outside is the smallest value again: `fill` counts for this window, and from
    /// here on as a value of the image.
    ///
    /// **Errors** when the window is empty.
    ///
    /// **Panics** if the image is not f32 without scaling, see [`Volume::into_f32`]: other types cannot hold
    /// every number.
    pub fn windowed_over(
        &self,
        fill: f32,
        offset_xyz: [i64; 3],
        shape_xyz: [usize; 3],
    ) -> Result<Self, VolumeError> {
        let found = (self.dtype(), self.scaling());
        assert_eq!(found, (Dtype::F32, Scaling::NONE), "type of a filled image");
        self.window(Role::Image, offset_xyz, shape_xyz, Some(fill))
    }

    fn window(
        &self,
        role: Role,
        offset_xyz: [i64; 3],
        shape_xyz: [usize; 3],
        fill: Option<f32>,
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
        Ok(self.pulled(role, grid, steps, Interpolation::default(), fill))
    }

    /// The volume read at the voxels of another grid.
    #[must_use]
    pub fn resampled(&self, role: Role, grid: Grid, reading: Interpolation) -> Self {
        let step = self.grid().voxel_from_world() * grid.world_from_voxel();
        self.pulled(role, grid, vec![Step::Affine(step)], reading, None)
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
        self.pulled(role, grid, steps, reading, None)
    }
}

#[cfg(test)]
mod tests;
