//! The ways in which a convolution may be done, and which one this thread asks for.

use candle_core::Result;
use std::cell::Cell;

/// How a convolution may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// The best there is, in the order of the others.
    Best,
    /// A kernel of our own for one to four channels.
    Thin,
    /// cuDNN's graph interface.
    Graph,
    /// cuDNN's older interface.
    Legacy,
    /// A kernel of our own: slow, and right.
    Plain,
}

/// What was chosen for a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) way: Way,
    /// cuDNN's number of the engine or algorithm; 0 for a kernel of our own.
    pub(crate) engine: i64,
    /// Bytes beside the operands.
    pub(crate) workspace: usize,
    /// Engines that were measured, with their seconds; empty where the first was taken unmeasured.
    pub(crate) measured: String,
}

thread_local! {
    static WAY: Cell<Way> = const { Cell::new(Way::Best) };
}

/// The way that this thread asks for.
pub(super) fn wanted() -> Way {
    WAY.get()
}

/// What `go` computes on this thread with all convolutions done in this way.
///
/// **Errors** those of `go`; a way that has nothing for a shape is one.
pub(crate) fn by_way<T>(way: Way, go: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = WAY.replace(way);
    let made = go();
    WAY.set(before);
    made
}
