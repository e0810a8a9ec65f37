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
use crate::kernel::lattice::{Inside, Lattice, copy_lattice, fill_outside};
use crate::kernel::warp::{
    Route, Step, gather_cubic, gather_label_linear, gather_linear, gather_nearest,
};
use crate::with_voxel_type;
use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;
use glam::DAffine3;
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

/// Between voxels, which value an image has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageInterpolation {
    /// Trilinear, over the eight voxels around: never beyond their values.
    #[default]
    Linear,
    /// Cubic convolution over 64 voxels (Keys 1981, a = -1/2): sharper edges, which may overshoot.
    Cubic,
}

/// How a move reads between voxels, by the role of a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interpolation {
    /// Of images.
    pub images: ImageInterpolation,
    /// Of label maps.
    pub labels: LabelInterpolation,
}

impl Interpolation {
    /// That of two moves made as one: the smoother one where they differ.
    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            images: match self.images {
                ImageInterpolation::Linear => other.images,
                cubic => cubic,
            },
            labels: match self.labels {
                LabelInterpolation::Nearest => other.labels,
                linear => linear,
            },
        }
    }
}

/// How a pending volume is made.
pub(super) struct Pending {
    pub(super) recipe: Recipe,
    pub(super) changes: Vec<Change>,
    made: OnceLock<Arc<Stored>>,
}

pub(super) enum Recipe {
    /// The values of a volume; it is let go of when they are made.
    Values(Mutex<Option<Volume>>),
    /// A volume read through a map.
    Gather(Gather),
}

pub(super) struct Gather {
    pub(super) source: Volume,
    /// From output voxel to source voxel, first step first.
    pub(super) route: Vec<Step>,
    pub(super) role: Role,
    pub(super) reading: Interpolation,
    /// The voxels that steps in between have left; all others lie outside. `None`: all are left.
    pub(super) inside: Option<Inside>,
    /// Whether a step has cut voxels away or added some: no later step reads between the voxels
    /// on both sides of such an edge.
    pub(super) cut: bool,
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
    pub(super) fn new(recipe: Recipe, changes: Vec<Change>) -> Self {
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
    pub(super) fn stored_as(&self) -> (Dtype, Scaling) {
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
                let voxels = match (self.reading.images, route.as_affine()) {
                    (ImageInterpolation::Cubic, _) => {
                        gather_cubic(&source.to_f32(), from, &route, shape, fill)
                    }
                    (ImageInterpolation::Linear, Some(map)) => source.sampled(&map, shape, fill),
                    (ImageInterpolation::Linear, None) => {
                        gather_linear(&source.to_f32(), from, &route, shape, fill)
                    }
                };
                self.bounded(voxels, shape, fill)
            }
            Role::Label => with_voxel_type!(source.dtype(), T => {
                let stored: &[T] = bytemuck::cast_slice(source.buffer().as_slice());
                let fill: T = bytemuck::Zeroable::zeroed();
                let voxels = match self.reading.labels {
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

/// A grid that broke a rule, outside any file.
pub(crate) fn bad_grid(source: GridError) -> VolumeError {
    VolumeError::Grid { path: None, source }
}
