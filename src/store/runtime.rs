//! The bridge from blocking code to the requests of stores.

use object_store::Error as Cause;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, sync_channel};
use tokio::runtime::{Handle, Runtime};

/// Threads that drive requests: they wait, and copy bodies.
const THREADS: usize = 2;

static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();

/// The runtime on which all requests to stores run; it is started with the first one.
///
/// **Errors** if the system starts no thread.
pub fn handle() -> Result<&'static Handle, Cause> {
    let started = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("store")
            .enable_all()
            .build()
            .map_err(|e| e.to_string())
    });
    started
        .as_ref()
        .map(Runtime::handle)
        .map_err(|problem| Cause::NotSupported {
            source: format!("the threads for requests cannot be started: {problem}").into(),
        })
}

/// The answer to a request that was begun.
pub(super) struct Pending<T>(Receiver<Result<T, Cause>>);

impl<T> Pending<T> {
    /// Waits for the answer.
    ///
    /// **Errors** those of the request.
    pub(super) fn wait(&self) -> Result<T, Cause> {
        self.0.recv().unwrap_or_else(|_| {
            Err(Cause::NotSupported {
                source: "the request ended without an answer; this is a fault of voxstream".into(),
            })
        })
    }
}

/// Begins a request; it runs whether anybody waits for it or not.
pub(super) fn begin<T: Send + 'static>(
    request: impl Future<Output = Result<T, Cause>> + Send + 'static,
) -> Pending<T> {
    let (sender, receiver) = sync_channel(1);
    match handle() {
        Ok(handle) => {
            handle.spawn(async move {
                // Nobody may want the answer any more.
                sender.send(request.await).ok();
            });
        }
        Err(cause) => {
            sender.send(Err(cause)).ok();
        }
    }
    Pending(receiver)
}

/// Does a request and waits for its answer. May be called from any thread, those of other
/// runtimes included; these are blocked meanwhile.
///
/// **Errors** those of the request.
pub(super) fn wait<T: Send + 'static>(
    request: impl Future<Output = Result<T, Cause>> + Send + 'static,
) -> Result<T, Cause> {
    begin(request).wait()
}
