//! Rule 1: steps that move voxels become one map, and voxels are interpolated once.
//!
//! **Equivalence** turns, flips, crops and pads keep every bit. Where one step interpolates, images
//! differ by rounding (1e-5 of their range) and labels not at all; where several do, one
//! interpolation takes the place of several, which is closer to the source: the difference is the
//! smoothing that is no longer done.

use crate::stage::Effect;

/// The rule's name.
pub const NAME: &str = "fuse_space";
pub(super) const WHAT: &str = "moves voxels with the step before it: one interpolation";

/// Returns `true` if `next` can be made with the moves before it.
pub(super) fn joins(last: Effect, next: Effect) -> bool {
    match next {
        Effect::Permutes => !matches!(
            last,
            Effect::Pointwise | Effect::Normalizes | Effect::Opaque
        ),
        // A warp does not see beyond the edge of a crop, where it would read between voxels.
        Effect::Resamples => matches!(last, Effect::Permutes | Effect::Resamples),
        Effect::Crops
        | Effect::DataDependentCrop
        | Effect::Pointwise
        | Effect::Normalizes
        | Effect::RowLevel
        | Effect::Opaque => false,
    }
}
