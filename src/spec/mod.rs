//! What was written: YAML nodes with their positions, and diagnostics that point at them.
//!
//! Nothing here touches data, and nothing here knows a stage by name.

pub mod diagnostic;
pub mod error;
pub mod node;
mod space;
mod syntax;
pub mod words;

pub use diagnostic::{Diagnostic, SourceFile};
pub use error::{At, SpecError, suggest};
pub use node::Node;
pub use words::{agreeing, counted};
