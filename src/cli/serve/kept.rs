//! The subject that was looked at last.

use crate::cli::view::predicted::HeadCase;
use std::sync::Arc;

/// A subject whose volumes are in memory.
pub(super) struct Kept {
    pub(super) run: String,
    pub(super) subject: String,
    pub(super) cases: Arc<Vec<HeadCase>>,
}
