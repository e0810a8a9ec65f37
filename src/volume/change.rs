//! Changes of values, made block by block while the voxels are in the cache.

use std::sync::Arc;

/// Voxels changed together, in one pass through the second-level cache.
pub const BLOCK: usize = 16_384;

/// A change of values, each voxel by itself.
#[derive(Clone)]
pub struct Change {
    function: Arc<Function>,
    /// Whether a voxel's place does not matter.
    by_value: bool,
    floor: Option<f32>,
}

/// Changes a stretch of values; the index of its first is a multiple of [`BLOCK`].
type Function = dyn Fn(&mut [f32], usize) + Send + Sync;

impl Change {
    /// A change that may depend on the place: `function` is given a stretch of values, and the index
    /// of its first voxel, which is a multiple of [`BLOCK`].
    pub fn by_place(function: impl Fn(&mut [f32], usize) + Send + Sync + 'static) -> Self {
        Self {
            function: Arc::new(function),
            by_value: false,
            floor: None,
        }
    }

    /// A change of each value by itself: equal values become equal, wherever they are.
    pub fn by_value(function: impl Fn(&mut [f32]) + Send + Sync + 'static) -> Self {
        Self {
            function: Arc::new(move |values, _| function(values)),
            by_value: true,
            floor: None,
        }
    }

    /// The same change, of which is known that every value up to `floor` becomes one and the same
    /// number, and that no other value becomes a smaller one.
    #[must_use]
    pub fn with_floor(self, floor: f32) -> Self {
        Self {
            floor: Some(floor),
            ..self
        }
    }

    /// [`Change::with_floor`], where it is known.
    pub(super) fn floor(&self) -> Option<f32> {
        self.floor
    }

    /// Returns `true` if a voxel's place does not matter.
    pub(super) fn is_by_value(&self) -> bool {
        self.by_value
    }

    /// Changes values of which the first has the index `first`.
    pub(crate) fn make(&self, values: &mut [f32], first: usize) {
        (self.function)(values, first);
    }
}

/// Makes changes that do not depend on the place, one after the other.
pub(super) fn make_all(changes: &[Change], values: &mut [f32]) {
    changes.iter().for_each(|change| change.make(values, 0));
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
        let changes = self.changes.iter();
        changes.for_each(|change| change.make(block, first));
        self.changed += block.len();
    }
}
