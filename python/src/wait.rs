//! Waiting without the GIL, and stopping at a signal.

use crate::errors::{InternalError, raised};
use crate::events;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use voxstream::error::Error;
use voxstream::run::guard::caught;

/// How often signals are looked for.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Runs `work` on a thread of its own and waits for it.
///
/// The first signal calls `stop`: if it returns `true` the work will end soon and is waited for, otherwise,
/// and at a second signal, the call returns and the thread is left to itself.
///
/// **Errors** the exception of the signal, or that of the work.
pub(crate) fn waited<T: Send + 'static>(
    py: Python<'_>,
    name: &str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    stop: impl Fn() -> bool,
) -> PyResult<T> {
    let (sender, mut receiver) = sync_channel(1);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let result = caught(work).unwrap_or_else(|panic| Err(panic.into()));
            // Nobody waits any more after a second signal.
            sender.send(result).ok();
        })
        .map_err(|e| PyRuntimeError::new_err(format!("no thread can be started: {e}")))?;
    let mut interrupt: Option<PyErr> = None;
    loop {
        let (received, back) = py.detach(move || (receiver.recv_timeout(LOOK), receiver));
        receiver = back;
        events::log(py)?;
        match received {
            Ok(result) => {
                return match interrupt {
                    Some(signal) => Err(signal),
                    None => result.map_err(|error| raised(py, &error)),
                };
            }
            Err(RecvTimeoutError::Timeout) => {
                let Err(signal) = py.check_signals() else {
                    continue;
                };
                if interrupt.is_some() || !stop() {
                    return Err(signal);
                }
                interrupt = Some(signal);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(InternalError::new_err(
                    "a worker thread ended without a result",
                ));
            }
        }
    }
}
