//! What rules say of themselves.

use serde::Serialize;

/// What a rule did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fired {
    /// The rule's name.
    pub rule: &'static str,
    /// Path of the step or section it touched.
    pub path: String,
    /// What it means for this plan, one sentence.
    pub what: String,
}
