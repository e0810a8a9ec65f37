//! What a step knows of an image whose voxels are made later.

use super::{Change, Volume};
use crate::kernel::peaks::Peaks;

/// What is known of an image's foreground before its voxels are made.
pub struct KnownForeground {
    /// The peaks of the voxels that are foreground, after changes.
    pub peaks: Peaks,
    /// The largest value of all other voxels, after changes.
    pub background: f32,
}

impl Volume {
    /// Changes the image as [`Volume::changed`], where `lowest` is known to be the smallest value after it.
    #[must_use]
    pub fn changed_to(self, change: Change, lowest: f32) -> Self {
        let changed = self.changed(change);
        if let Some(deferred) = changed.recipe() {
            let _ = deferred.lowest.set(lowest);
        }
        changed
    }

    /// Notes what is known of the foreground of a changed image, for steps that look for its box before
    /// its voxels are made.
    #[must_use]
    pub fn with_foreground(self, foreground: KnownForeground) -> Self {
        if let Some(deferred) = self.recipe() {
            let _ = deferred.foreground.set(foreground);
        }
        self
    }
}
