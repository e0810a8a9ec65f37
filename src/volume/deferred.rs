//! Volumes still to be made: where each voxel comes from, and what is done to its value.
//!
//! Moves compose: the route from an output voxel to the source is kept as maps, and only when
//! voxels are looked at is the source read, once. Every spatial step of the catalogue comes here,
//! so all keep one law of interpolation: linear for images, the nearest voxel or the heaviest
//! class for labels, by the column's role.

use super::dtype::{Dtype, Role, Scaling};
use super::error::VolumeError;
use super::gather::Gather;
use super::grid::GridError;
use super::voxels::{Stored, Volume};
use arrow::buffer::Buffer;
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

/// How a deferred volume is made.
pub(super) struct Deferred {
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

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let made = self.made.get().is_some();
        write!(
            f,
            "Deferred {{ changes: {}, made: {made} }}",
            self.changes.len()
        )
    }
}

impl Deferred {
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
                Recipe::Gather(gather) => {
                    self.finished(gather, gather.read(volume.grid().shape_xyz()), volume)
                }
            })
        })
    }

    /// What is kept of the voxels that were read.
    fn finished(&self, gather: &Gather, read: Buffer, volume: &Volume) -> Stored {
        if !self.changes.is_empty() {
            let (dtype, scaling) = gather.stored_as();
            let moved = Volume::stored(Stored::new(read), dtype, scaling, *volume.grid());
            return Stored::new(Buffer::from_vec(changed(moved, &self.changes)));
        }
        // What lies outside stays what it was: windows of windows agree.
        match gather.lowest() {
            Some(lowest) => Stored::with_lowest(read, lowest),
            None => Stored::new(read),
        }
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

/// Makes the volumes among these that are read along one path together: its positions are computed
/// once for all.
pub(super) fn materialise_together<'a>(volumes: impl Iterator<Item = &'a Volume>) {
    let mut waiting: Vec<(&Volume, &Deferred, &Gather)> = volumes
        .filter_map(|volume| match volume.recipe() {
            Some(deferred) if deferred.made.get().is_none() => match &deferred.recipe {
                Recipe::Gather(gather) if gather.walks() => Some((volume, deferred, gather)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    while let Some(&(first, _, path)) = waiting.first() {
        let shape = first.grid().shape_xyz();
        let along = |(volume, _, gather): &(&Volume, &Deferred, &Gather)| {
            volume.grid().shape_xyz() == shape && gather.goes_with(path)
        };
        let (group, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(along);
        waiting = others;
        group
            .iter()
            .for_each(|(_, deferred, _)| deferred.keep_lowest());
        let gathers: Vec<&Gather> = group.iter().map(|(_, _, gather)| *gather).collect();
        let read = Gather::walk(&gathers, shape);
        for ((volume, deferred, gather), read) in group.into_iter().zip(read) {
            // Where another row that shares the volume was faster, its voxels are the same.
            let stored = Arc::new(deferred.finished(gather, read, volume));
            let _ = deferred.made.set(stored);
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

/// A grid that broke a rule, outside any file.
pub(crate) fn bad_grid(source: GridError) -> VolumeError {
    VolumeError::Grid { path: None, source }
}
