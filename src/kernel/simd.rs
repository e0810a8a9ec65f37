//! Loops compiled for the vectors this machine has.

use pulp::{Arch, NullaryFnOnce};

struct Work<F>(F);

impl<R, F: FnMut() -> R> NullaryFnOnce for Work<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        // Called as `FnMut`: as `FnOnce` a shim is between, which is not inlined, and the
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

/// Bytes that memory hands over together.
pub const CACHE_LINE: usize = 64;

/// Prefetches the value at `index`, which is read soon; does nothing outside the slice.
#[inline(always)]
pub fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(value) = values.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "a hint to the processor takes an address")]
        // SAFETY: the address is a reference's.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}
