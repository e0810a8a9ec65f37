//! Volumes still to be made: where each voxel comes from, and what is done to its value.
//!
//! Moves compose: the route from an output voxel to the source is kept as maps, and only when
//! voxels are looked at is the source read, once. Every spatial step of the catalogue comes here,
//! so all keep one law of interpolation: linear for images, the nearest voxel or the heaviest
//! class for labels, by the column's role.

pub use super::change::{BLOCK, Change};
pub use super::interpolation::{ImageInterpolation, Interpolation, LabelInterpolation};

use super::change::Changes;
use super::dtype::{Dtype, Role, Scaling};
use super::error::VolumeError;
use super::grid::{Grid, GridError};
use super::voxels::{Deferred, Gather, Recipe, Stored, Volume, stored_bytes};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
            lowest: OnceLock::new(),
            foreground: OnceLock::new(),
            made: OnceLock::new(),
        }
    }

    /// The values of `source` as f32 with changes made.
    pub(super) fn change(source: Volume, changes: Vec<Change>) -> Self {
        Self {
            recipe: Recipe::Values(Mutex::new(Some(source))),
            pointwise: Some(changes),
            lowest: OnceLock::new(),
            foreground: OnceLock::new(),
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
            if !changes.is_empty() {
                self.lowest = OnceLock::new();
                self.foreground = OnceLock::new();
            }
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
            self.keep_lowest();
            Arc::new(match &self.recipe {
                Recipe::Values(source) => {
                    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
                    let source = source.take().expect("a recipe is followed once");
                    self.with_changes(source)
                }
                Recipe::Gather(gather) => {
                    let changes = self.pointwise.as_deref().unwrap_or_default();
                    // What changes make of a value that is filled in is not the smallest value.
                    let lowest = self.lowest.get().filter(|_| gather.around.is_none());
                    if let Some(lowest) = lowest {
                        return Arc::new(gather.read_changed(grid, changes, *lowest));
                    }
                    let mut changes = Changes::new(changes);
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

    /// Finds the smallest value of the source, so that the computed voxels remember it: a later move may ask for
    /// what is outside, when the source is gone and what held that value was cut away.
    fn keep_lowest(&self) {
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

/// A grid that broke a rule, outside any file.
pub(crate) fn bad_grid(source: GridError) -> VolumeError {
    VolumeError::Grid { path: None, source }
}
