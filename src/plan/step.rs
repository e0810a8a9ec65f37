//! A step of a chain.

use crate::spec::At;
use crate::stage::AnyStage;

/// A step of a chain: its path in the file, its place, and the step itself.
pub struct Step {
    /// Path that keys draws and names failures, such as `views.strong[1].gamma`.
    pub path: String,
    /// Place of the step's name in the file.
    pub at: At,
    /// The step.
    pub stage: Box<dyn AnyStage>,
}
