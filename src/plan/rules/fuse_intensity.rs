//! Rule 3: changes of each voxel by itself are made block by block, one after the other, while the
//! block is in the cache; the first ones even before the moved voxels leave it.
//!
//! **Equivalence** exact: every voxel sees the same operations in the same order.

use crate::stage::Effect;

/// The rule's name.
pub const NAME: &str = "fuse_intensity";
pub(super) const WHAT: &str = "changes values in the pass of the step before it";

/// Returns `true` if `next` changes voxels that are just being made.
pub(super) fn joins(last: Effect, next: Effect) -> bool {
    next == Effect::Pointwise && !matches!(last, Effect::Opaque)
}
