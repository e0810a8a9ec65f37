//! The list of every step a pipeline may name; the only file that names them all.

use crate::plan::entry::StageEntry;
use crate::stage::shuffle::Shuffle;

/// Every built-in step, in the order of the documentation.
pub const STAGES: &[StageEntry] = &[StageEntry::order::<Shuffle>()];
