//! Device time of the operators: an event before and one after each, when it is asked for.

use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaStream, sys::CUevent_flags};
use candle_core::cuda_backend::{CudaDevice, WrapErr as _};
use candle_core::{Device, Result};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Device time of one family of operators.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share {
    pub(crate) launches: usize,
    pub(crate) milliseconds: f64,
}

type Span = (&'static str, CudaEvent, CudaEvent);

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static OPEN: Cell<bool> = const { Cell::new(false) };
    static SPANS: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
}

/// Ends a span when it is dropped.
pub(super) struct Timed(Option<(&'static str, CudaEvent, Arc<CudaStream>)>);

impl Drop for Timed {
    fn drop(&mut self) {
        let Some((family, start, stream)) = self.0.take() else {
            return;
        };
        OPEN.set(false);
        // A span whose end cannot be recorded is not counted.
        if let Ok(end) = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)) {
            SPANS.with_borrow_mut(|spans| spans.push((family, start, end)));
        }
    }
}

/// Counts what is launched while it lives to `family`, unless a span around it counts already.
pub(super) fn timed(device: &CudaDevice, family: &'static str) -> Timed {
    if !ON.get() || OPEN.get() {
        return Timed(None);
    }
    let stream = device.cuda_stream();
    match stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)) {
        Ok(start) => {
            OPEN.set(true);
            Timed(Some((family, start, stream)))
        }
        Err(_) => Timed(None),
    }
}

/// What `go` computes, and the device time of each family of operators it called on this thread;
/// under `all` the time from its begin to its end.
///
/// **Errors** those of `go`, or where the device refuses events.
pub(crate) fn profiled<T, E: From<candle_core::Error>>(
    device: &Device,
    go: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<(T, BTreeMap<&'static str, Share>), E> {
    let stream = device.as_cuda_device()?.cuda_stream();
    let event = || -> Result<CudaEvent> {
        stream
            .record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))
            .w()
    };
    SPANS.with_borrow_mut(Vec::clear);
    let start = event()?;
    ON.set(true);
    let made = go();
    ON.set(false);
    let made = made?;
    let end = event()?;
    let mut spans = SPANS.take();
    spans.push(("all", start, end));
    let mut shares: BTreeMap<&'static str, Share> = BTreeMap::new();
    for (family, start, end) in &spans {
        let share = shares.entry(family).or_default();
        share.launches += 1;
        share.milliseconds += f64::from(start.elapsed_ms(end).w()?);
    }
    Ok((made, shares))
}
