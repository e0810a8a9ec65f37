//! Volumes still to be made: where each voxel comes from, and what is done to its value.
//!
//! Moves compose: the route from an output voxel to the source is kept as maps, and only when
//! voxels are looked at is the source read, once. Every spatial step of the catalogue comes here,
//! so all keep one law of interpolation: linear for images, the nearest voxel or the heaviest
//! class for labels, by the column's role.

use super::dtype::{Dtype, Role, Scaling, Voxel};
use super::error::VolumeError;
use super::gather::Gather;
use super::grid::{Grid, GridError};
use super::voxels::{Stored, Volume};
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

/// How a deferred volume is computed.
///
/// Type and scaling of the result follow from the recipe ([`Deferred::stored_as`]); nothing else
/// records them, so voxels and type cannot disagree.
pub(super) struct Deferred {
    pub(super) recipe: Recipe,
    /// `None`: stored numbers as the recipe reads them. `Some`: values as f32 with these changes made
    /// one after the other; an empty list converts and nothing else.
    pub(super) pointwise: Option<Vec<Change>>,
    made: OnceLock<Arc<Stored>>,
}

pub(super) enum Recipe {
    /// The values of a volume, which is released once they are computed.
    Values(Mutex<Option<Volume>>),
    /// A volume read through a coordinate map.
    Gather(Gather),
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let made = self.made.get().is_some();
        let changes = self.pointwise.as_ref().map(Vec::len);
        write!(f, "Deferred {{ pointwise: {changes:?}, made: {made} }}")
    }
}

impl Deferred {
    /// A volume read through a coordinate map, with `pointwise` as the field says.
    pub(super) fn gather(gather: Gather, pointwise: Option<Vec<Change>>) -> Self {
        Self {
            recipe: Recipe::Gather(gather),
            pointwise,
            made: OnceLock::new(),
        }
    }

    /// The values of `source` as f32 with changes made.
    pub(super) fn change(source: Volume, changes: Vec<Change>) -> Self {
        Self {
            recipe: Recipe::Values(Mutex::new(Some(source))),
            pointwise: Some(changes),
            made: OnceLock::new(),
        }
    }

    /// Type and scaling of the voxels.
    pub(super) fn stored_as(&self) -> (Dtype, Scaling) {
        match (&self.recipe, &self.pointwise) {
            (Recipe::Gather(gather), None) => gather.stored_as(),
            _ => (Dtype::F32, Scaling::NONE),
        }
    }

    /// Converts to f32 and appends changes if the voxels are not computed yet; returns whether it did.
    pub(super) fn add_changes(&mut self, changes: &[Change]) -> bool {
        let open = self.made.get().is_none();
        if open {
            let pointwise = self.pointwise.get_or_insert_default();
            pointwise.extend_from_slice(changes);
        }
        open
    }

    /// Returns `true` if the values are those of the source: read elsewhere or converted, not changed.
    pub(super) fn keeps_values(&self) -> bool {
        self.pointwise.as_ref().is_none_or(Vec::is_empty)
    }

    /// The voxels on `grid`, the grid of the volume whose recipe this is.
    pub(super) fn stored(&self, grid: &Grid) -> &Arc<Stored> {
        self.made.get_or_init(|| {
            Arc::new(match &self.recipe {
                Recipe::Values(source) => {
                    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
                    let source = source.take().expect("a recipe is followed once");
                    self.with_changes(source)
                }
                Recipe::Gather(gather) => {
                    let mut changes = Changes::new(self.pointwise.as_deref().unwrap_or_default());
                    let read = gather.read(grid, &mut changes);
                    match changes.begun() {
                        true => read,
                        false => self.finished(gather, read, grid),
                    }
                }
            })
        })
    }

    /// The voxels of this volume from those its gather has read.
    fn finished(&self, gather: &Gather, read: Stored, grid: &Grid) -> Stored {
        // What is outside keeps its value through every move: windows of windows agree.
        let read = match gather.lowest() {
            Some(lowest) => read.with_lowest(lowest),
            None => read,
        };
        match self.pointwise {
            None => read,
            Some(_) => self.with_changes(Volume::stored(read, *grid)),
        }
    }

    /// The values of `source` as f32 with the changes made.
    fn with_changes(&self, source: Volume) -> Stored {
        let changes = self.pointwise.as_deref().unwrap_or_default();
        // A conversion keeps what is outside; a change of values does not.
        let lowest = match changes {
            [] => source.peek_lowest().map(|_| source.lowest_value()),
            _ => None,
        };
        let values = Stored::of(changed(source, changes), Scaling::NONE);
        match lowest {
            Some(lowest) => values.with_lowest(stored_bytes(lowest)),
            None => values,
        }
    }

    /// The voxels if they are computed already.
    pub(super) fn computed(&self) -> Option<&Arc<Stored>> {
        self.made.get()
    }

    /// Finds the smallest value of the source, so that the computed voxels remember it.
    pub(super) fn keep_lowest(&self) {
        if !self.keeps_values() {
            return;
        }
        match &self.recipe {
            Recipe::Gather(gather) if gather.role == Role::Image => {
                gather.source.lowest_stored();
            }
            Recipe::Gather(_) => {}
            Recipe::Values(source) => {
                let source = source.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(source) = source.as_ref() {
                    source.lowest_stored();
                }
            }
        }
    }
}

/// The bytes of one stored number, as [`Stored`] remembers its smallest.
pub(super) fn stored_bytes<T: Voxel>(number: T) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&number));
    bytes
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
        let read = Gather::walk(&gathers, first.grid());
        for ((volume, deferred, gather), read) in group.into_iter().zip(read) {
            // Where another row that shares the volume was faster, its voxels are the same.
            let stored = Arc::new(deferred.finished(gather, read, volume.grid()));
            let _ = deferred.made.set(stored);
        }
    }
}

fn changed(source: Volume, changes: &[Change]) -> Vec<f32> {
    if source.dtype() != Dtype::F32 || source.scaling() != Scaling::NONE {
        return source.with_changes_made(changes);
    }
    let mut values = source.into_values();
    Changes::new(changes).finish(&mut values);
    values
}

/// Changes made one after the other, block by block, as far as there are values.
pub(super) struct Changes<'a> {
    changes: &'a [Change],
    /// Values that are changed already.
    changed: usize,
}

impl<'a> Changes<'a> {
    pub(super) fn new(changes: &'a [Change]) -> Self {
        Self {
            changes,
            changed: 0,
        }
    }

    /// Returns `true` if there are no changes.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns `true` if values were changed.
    fn begun(&self) -> bool {
        self.changed > 0
    }

    /// Changes the blocks that are complete; `values` are all values so far.
    pub(super) fn advance(&mut self, values: &mut [f32]) {
        while values.len() - self.changed >= BLOCK {
            self.change(&mut values[self.changed..][..BLOCK]);
        }
    }

    /// Changes the rest of all values.
    pub(super) fn finish(&mut self, values: &mut [f32]) {
        self.advance(values);
        self.change(&mut values[self.changed..]);
    }

    fn change(&mut self, block: &mut [f32]) {
        let first = self.changed;
        self.changes.iter().for_each(|change| change(block, first));
        self.changed += block.len();
    }
}

/// A grid that broke a rule, outside any file.
pub(crate) fn bad_grid(source: GridError) -> VolumeError {
    VolumeError::Grid { path: None, source }
}
