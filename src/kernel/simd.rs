//! Loops compiled for the vectors this machine has.

use pulp::{Arch, NullaryFnOnce};

struct Work<F>(F);

impl<R, F: FnMut() -> R> NullaryFnOnce for Work<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        // Called as `FnMut`: as `FnOnce` a shim stands between, which is not inlined, and the
        // loop would stay compiled for the oldest machine.
        (self.0)()
    }
}

/// Runs loops compiled for the widest vectors of this machine; the numbers stay the same, because
/// no operation is fused or reordered.
///
/// The closure and every function with a hot loop in it must be `#[inline(always)]`.
#[inline(always)]
pub fn vectorised<R>(work: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Work(work))
}
