//! Whether this process was asked to stop.

use std::sync::atomic::AtomicBool;

/// Set by Ctrl-C and SIGTERM; every loop of a run looks at it.
pub static CANCELLED: AtomicBool = AtomicBool::new(false);
