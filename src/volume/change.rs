//! Changes of values, made block by block while the voxels are in the cache.

use std::sync::Arc;

/// A change of values, each voxel by itself: a stretch of values, and the index of its first.
///
/// Stretches begin at multiples of [`BLOCK`] voxels.
pub type Change = Arc<dyn Fn(&mut [f32], usize) + Send + Sync>;

/// Voxels changed together, in one pass through the second-level cache.
pub const BLOCK: usize = 16_384;

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
    pub(super) fn begun(&self) -> bool {
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
