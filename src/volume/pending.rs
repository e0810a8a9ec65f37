//! Volumes still to be made: where each voxel comes from, and what is done to its value.
//!
//! Moves compose: the route from an output voxel to the source is kept as maps, and only when
//! voxels are looked at is the source read, once. Every spatial step of the catalogue comes here,
//! so all keep one law of interpolation: linear for images, the nearest voxel or the heaviest
//! class for labels, by the column's role.

use super::dtype::{Dtype, Role, Scaling, Voxel};
use super::error::VolumeError;
use super::grid::{Grid, GridError};
use super::voxels::{Stored, Volume};
use super::warp::Warp;
use crate::kernel::lattice::{Inside, Lattice, copy_lattice, fill_outside};
use crate::kernel::reorient::AxisMap;
use crate::kernel::warp::{Route, Step, gather_label_linear, gather_linear, gather_nearest};
use crate::with_voxel_type;
use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;
use glam::{DAffine3, DVec3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A change of values, each voxel by itself: a stretch of values, and the index of its first.
///
/// Stretches begin at multiples of [`BLOCK`] voxels.
pub type Change = Arc<dyn Fn(&mut [f32], usize) + Send + Sync>;

/// Voxels changed together, in one pass through the second-level cache.
pub const BLOCK: usize = 16_384;

/// Between voxels, which class a label map has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelInterpolation {
    /// That of the nearest voxel.
    #[default]
    Nearest,
    /// The class with the largest trilinear weight among the eight voxels around: smoother edges.
    Linear,
}

/// How a pending volume is made.
pub(super) struct Pending {
    recipe: Recipe,
    changes: Vec<Change>,
    made: OnceLock<Arc<Stored>>,
}

enum Recipe {
    /// The values of a volume; it is let go of when they are made.
    Values(Mutex<Option<Volume>>),
    /// A volume read through a map.
    Gather(Gather),
}

struct Gather {
    source: Volume,
    /// From output voxel to source voxel, first step first.
    route: Vec<Step>,
    role: Role,
    labels: LabelInterpolation,
    /// The voxels that steps in between have left; all others lie outside. `None`: all are left.
    inside: Option<Inside>,
    /// Whether a step has cut voxels away or added some: no later step reads between the voxels
    /// on both sides of such an edge.
    cut: bool,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let made = self.made.get().is_some();
        write!(
            f,
            "Pending {{ changes: {}, made: {made} }}",
            self.changes.len()
        )
    }
}

impl Pending {
    fn new(recipe: Recipe, changes: Vec<Change>) -> Self {
        Self {
            recipe,
            changes,
            made: OnceLock::new(),
        }
    }

    pub(super) fn change(source: Volume, changes: Vec<Change>) -> Self {
        Self::new(Recipe::Values(Mutex::new(Some(source))), changes)
    }

    /// Adds changes where the voxels are not made yet.
    pub(super) fn add_changes(&mut self, changes: &[Change]) -> bool {
        let open = self.made.get().is_none();
        if open {
            self.changes.extend_from_slice(changes);
        }
        open
    }

    /// The voxels of `volume`, whose recipe this is.
    pub(super) fn stored(&self, volume: &Volume) -> &Arc<Stored> {
        self.made.get_or_init(|| {
            Arc::new(match &self.recipe {
                Recipe::Values(source) => {
                    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
                    let source = source.take().expect("a recipe is followed once");
                    Stored::new(Buffer::from_vec(changed(source, &self.changes)))
                }
                Recipe::Gather(gather) if self.changes.is_empty() => {
                    let buffer = gather.read(volume.grid().shape_xyz());
                    // What lies outside stays what it was: windows of windows agree.
                    match gather.lowest() {
                        Some(lowest) => Stored::with_lowest(buffer, lowest),
                        None => Stored::new(buffer),
                    }
                }
                Recipe::Gather(gather) => {
                    let moved = gather.volume(*volume.grid());
                    Stored::new(Buffer::from_vec(changed(moved, &self.changes)))
                }
            })
        })
    }

    /// Finds the smallest value of the source, so that the voxels made remember it.
    pub(super) fn keep_lowest(&self) {
        if let Recipe::Gather(gather) = &self.recipe
            && gather.role == Role::Image
            && self.changes.is_empty()
        {
            gather.source.lowest_stored();
        }
    }
}

fn changed(source: Volume, changes: &[Change]) -> Vec<f32> {
    if source.dtype() != Dtype::F32 || source.scaling() != Scaling::NONE {
        return source.with_changes_made(changes);
    }
    let mut values = source.into_values();
    for (i, block) in values.chunks_mut(BLOCK).enumerate() {
        changes.iter().for_each(|change| change(block, i * BLOCK));
    }
    values
}

/// Stored numbers as values with every change made, block by block.
pub(super) fn apply_changes<T: Copy>(
    stored: &[T],
    value: impl Fn(T) -> f32,
    changes: &[Change],
) -> Vec<f32> {
    let mut values = Vec::with_capacity(stored.len());
    for (i, block) in stored.chunks(BLOCK).enumerate() {
        let first = i * BLOCK;
        values.extend(block.iter().map(|&v| value(v)));
        let fresh = &mut values[first..];
        changes.iter().for_each(|change| change(fresh, first));
    }
    values
}

impl Gather {
    fn affine(&self) -> Option<DAffine3> {
        let affine = |step: &Step| match step {
            Step::Affine(affine) => Some(*affine),
            Step::Bend(_) => None,
        };
        // Applied from the first step on, so the first stands rightmost.
        self.route
            .iter()
            .try_fold(DAffine3::IDENTITY, |map, step| Some(affine(step)? * map))
    }

    /// The smallest stored number of the source, as the result stores it, where it was found.
    fn lowest(&self) -> Option<[u8; 8]> {
        let found = self.source.peek_lowest()?;
        if self.role == Role::Label || !self.interpolates() {
            return Some(found);
        }
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.source.lowest_value().to_ne_bytes());
        Some(bytes)
    }

    /// Whether the result's voxels lie between voxels of the source for some step.
    fn interpolates(&self) -> bool {
        !self.route.iter().all(is_lattice)
    }

    /// Type and scaling of the result.
    fn stored_as(&self) -> (Dtype, Scaling) {
        match self.role {
            Role::Image if self.interpolates() => (Dtype::F32, Scaling::NONE),
            _ => (self.source.dtype(), self.source.scaling()),
        }
    }

    fn volume(&self, grid: Grid) -> Volume {
        let (dtype, scaling) = self.stored_as();
        let stored = Stored::new(self.read(grid.shape_xyz()));
        Volume::stored(stored, dtype, scaling, grid)
    }

    fn read(&self, shape: [usize; 3]) -> Buffer {
        let (source, from) = (&self.source, self.source.grid().shape_xyz());
        if !self.interpolates()
            && let Some(map) = self.affine().as_ref().and_then(Lattice::from_affine)
        {
            let fill = match self.role {
                Role::Image if self.inside.is_some() || map.reaches_out(from, shape) => {
                    source.lowest_stored()
                }
                _ => [0; 8],
            };
            return with_voxel_type!(source.dtype(), T => {
                let stored: &[T] = bytemuck::cast_slice(source.buffer().as_slice());
                let fill: T = bytemuck::pod_read_unaligned(&fill[..size_of::<T>()]);
                self.bounded(copy_lattice(stored, from, &map, shape, fill), shape, fill)
            });
        }
        let route = Route::new(self.route.clone());
        match self.role {
            Role::Image => {
                let fill = source.lowest_value();
                let voxels = match route.as_affine() {
                    Some(map) => source.sampled(&map, shape, fill),
                    None => gather_linear(&source.to_f32(), from, &route, shape, fill),
                };
                self.bounded(voxels, shape, fill)
            }
            Role::Label => with_voxel_type!(source.dtype(), T => {
                let stored: &[T] = bytemuck::cast_slice(source.buffer().as_slice());
                let fill: T = bytemuck::Zeroable::zeroed();
                let voxels = match self.labels {
                    LabelInterpolation::Nearest => gather_nearest(stored, from, &route, shape, fill),
                    LabelInterpolation::Linear => gather_label_linear(stored, from, &route, shape, fill),
                };
                self.bounded(voxels, shape, fill)
            }),
        }
    }

    /// Voxels that a step in between has cut away are not seen again.
    fn bounded<T: Voxel + ArrowNativeType>(
        &self,
        mut voxels: Vec<T>,
        shape: [usize; 3],
        fill: T,
    ) -> Buffer {
        if let Some(inside) = &self.inside {
            fill_outside(&mut voxels, shape, inside, fill);
        }
        Buffer::from_vec(voxels)
    }
}

/// Whether voxels keep to the lattice they are on.
fn is_lattice(step: &Step) -> bool {
    matches!(step, Step::Affine(affine) if Lattice::from_affine(affine).is_some())
}

impl Volume {
    /// The volume on another grid, `steps` leading from the new grid's voxels to this one's.
    fn pulled(
        &self,
        role: Role,
        grid: Grid,
        mut steps: Vec<Step>,
        labels: LabelInterpolation,
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
            let whole = (0..3).all(|a| inside[a][0] <= shape[a][0] && shape[a][1] <= inside[a][1]);
            (!whole).then_some(inside)
        };
        let cuts = lattice.is_some_and(|map| map.seen(&all(old)) != all(grid.shape_xyz()));
        let before = match self.recipe() {
            Some(Pending {
                recipe: Recipe::Gather(before),
                changes,
                ..
            }) if changes.is_empty()
                && before.role == role
                && (lattice.is_some() || !before.cut) =>
            {
                Some(before)
            }
            _ => None,
        };
        let gather = match before {
            Some(before) => {
                steps.extend(before.route.iter().cloned());
                let smooth = [before.labels, labels].contains(&LabelInterpolation::Linear);
                Gather {
                    source: before.source.clone(),
                    route: steps,
                    role,
                    labels: match smooth {
                        true => LabelInterpolation::Linear,
                        false => LabelInterpolation::Nearest,
                    },
                    inside: seen(&before.inside.unwrap_or(all(old))),
                    cut: before.cut || cuts,
                }
            }
            None => Gather {
                source: match role {
                    Role::Image => self.clone(),
                    Role::Label => self.clone().with_stored_zero(),
                },
                route: steps,
                role,
                labels,
                // Outside the source nothing is found anyway.
                inside: None,
                cut: cuts,
            },
        };
        let (dtype, scaling) = gather.stored_as();
        let pending = Pending::new(Recipe::Gather(gather), Vec::new());
        Self::pending(pending, dtype, scaling, grid)
    }

    /// A label map in which the stored number 0 is class 0: all but those with an intercept are.
    fn with_stored_zero(self) -> Self {
        if self.scaling().intercept == 0.0 {
            self
        } else {
            self.into_f32().settled()
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
        Ok(self.pulled(role, grid, steps, LabelInterpolation::Nearest))
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
        Ok(self.pulled(role, grid, steps, LabelInterpolation::Nearest))
    }

    /// The volume read at the voxels of another grid.
    #[must_use]
    pub fn resampled(&self, role: Role, grid: Grid, labels: LabelInterpolation) -> Self {
        let step = self.grid().voxel_from_world() * grid.world_from_voxel();
        self.pulled(role, grid, vec![Step::Affine(step)], labels)
    }

    /// The volume with the world's anatomy moved by a warp; the grid stays.
    #[must_use]
    pub fn warped(&self, role: Role, warp: &Warp, labels: LabelInterpolation) -> Self {
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
        self.pulled(role, grid, steps, labels)
    }
}

/// A grid that broke a rule, outside any file.
pub(crate) fn bad_grid(source: GridError) -> VolumeError {
    VolumeError::Grid { path: None, source }
}
