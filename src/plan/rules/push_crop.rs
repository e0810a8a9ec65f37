//! Rule 2: a crop is known before the steps in front of it are carried out; what it cuts away is
//! never computed.
//!
//! **Equivalence** as for `fuse_space`: a crop chooses voxels and changes none. What is outside a
//! volume is filled with the smallest value the volume had when values were last changed, with and
//! without the rule.

use crate::stage::Effect;

/// The rule's name.
pub const NAME: &str = "push_crop";
pub(super) const WHAT: &str = "is cut before the steps in front of it: nothing outside is computed";

/// Returns `true` if `next` cuts what the moves before it have not made yet.
pub(super) fn joins(last: Effect, next: Effect) -> bool {
    next == Effect::Crops && !matches!(last, Effect::Pointwise | Effect::Opaque)
}
