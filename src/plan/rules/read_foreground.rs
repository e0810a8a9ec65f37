//! Rule 4: a step that needs figures of an image, or the box of its foreground, reads them from rows
//! that are gathered and forgotten; the voxels are made once, where later crops and pads put them.
//!
//! It saves a pass where the background is one value (see [`Volume::foreground_rows`]); elsewhere the step
//! makes the voxels itself.
//!
//! **Equivalence** figures and boxes are those of the same voxels, bit for bit: sums keep their order, and
//! what is outside keeps the smallest value that the whole image has. Moves behind the step are composed
//! with those before it, as `fuse_space` says.

#[cfg(doc)]
use crate::volume::Volume;

use crate::stage::Effect;

/// The rule's name.
pub const NAME: &str = "read_foreground";
pub(super) const WHAT: &str = "reads the foreground of voxels that are made later, once";

/// Returns `true` if `next` can read what the steps before it have not made yet.
pub(super) fn joins(last: Effect, next: Effect) -> bool {
    use Effect::{DataDependentCrop, Normalizes, Permutes, Pointwise, Resamples};
    matches!(next, Normalizes | DataDependentCrop)
        && matches!(last, Permutes | Resamples | Pointwise | Normalizes)
}
