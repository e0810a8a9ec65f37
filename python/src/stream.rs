//! `stream`: an iterator of batches that are made ahead by threads of the library.

use crate::batch::{Batch, Views};
use crate::errors::{InternalError, raised};
use crate::events;
use crate::run::{bytes_of, failures};
use crate::wait::{LOOK, waited};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use voxstream::cli;
use voxstream::error::Error as Cause;
use voxstream::run::chain::Failure;
use voxstream::run::driver::RunOptions;
use voxstream::run::guard::caught;
use voxstream::run::samples::{SampleOptions, Samples};
use voxstream::run::stream::Position;
use voxstream::volume::Split;

/// Batches that lie ready beside the one the feeding thread holds.
const READY: usize = 1;

/// A batch and the position behind it; `None` at the end.
type Taken = Option<(Result<Vec<Views>, Cause>, Position)>;

/// An iterator over batches; threads of the library make them ahead.
#[pyclass(frozen, module = "voxstream")]
pub(crate) struct Stream {
    /// `None` once it is closed or has ended.
    receiver: Mutex<Option<Receiver<Taken>>>,
    failures: Arc<Mutex<Vec<Failure>>>,
}

/// Opens a stream.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "the wrapper in Python names them"
)]
pub(crate) fn stream(
    py: Python<'_>,
    path: PathBuf,
    set: Vec<String>,
    split: &str,
    labelled: Option<bool>,
    epochs: Option<u64>,
    batch: usize,
    drop_last: bool,
    workers: Option<usize>,
    memory: Option<&str>,
    limit: Option<usize>,
    start: (u64, usize),
) -> PyResult<Stream> {
    let splits = [Split::Train, Split::Validation, Split::Test];
    let of_name = splits.into_iter().find(|s| s.name() == split);
    let of_name = of_name.ok_or_else(|| {
        PyValueError::new_err(format!(
            "split={split:?}: expected \"train\", \"validation\" or \"test\""
        ))
    })?;
    if batch == 0 {
        return Err(PyValueError::new_err(
            "batch=0: a batch has at least one row",
        ));
    }
    let options = SampleOptions {
        split: of_name,
        labelled,
        epochs,
        from: Position {
            job: start.0,
            row: start.1,
        },
        run: RunOptions {
            workers,
            memory: memory.map(bytes_of).transpose()?,
            limit,
            ..RunOptions::default()
        },
    };
    let (sender, receiver) = sync_channel(READY);
    let failures: Arc<Mutex<Vec<Failure>>> = Arc::default();
    let noted = Arc::clone(&failures);
    let open = move || {
        let (plan, cohort) = cli::open(&cli::read(&path, &set)?)?;
        let samples = Samples::start(plan, cohort, &options)?;
        std::thread::Builder::new()
            .name("batches".to_owned())
            .spawn(move || feed(samples, batch, drop_last, &sender, &noted))
            .map_err(|source| Cause::Io {
                path: "batches".into(),
                action: "starting a thread",
                source,
            })?;
        Ok(())
    };
    waited(py, "stream", open, || false)?;
    Ok(Stream {
        receiver: Mutex::new(Some(receiver)),
        failures,
    })
}

/// Collects samples into batches until the stream ends or nobody takes them any more.
fn feed(
    mut samples: Samples,
    rows: usize,
    drop_last: bool,
    sender: &SyncSender<Taken>,
    noted: &Mutex<Vec<Failure>>,
) {
    loop {
        let batch = caught(|| {
            samples
                .by_ref()
                .take(rows)
                .collect::<Result<Vec<Views>, Cause>>()
        });
        let batch = batch.unwrap_or_else(|panic| Err(panic.into()));
        *locked(noted) = samples.failures();
        let (ends, is_short) = match &batch {
            Ok(batch) => (batch.len() < rows, batch.len() < rows && drop_last),
            Err(_) => (true, false),
        };
        let is_empty = matches!(&batch, Ok(batch) if batch.is_empty());
        if !is_empty
            && !is_short
            && sender
                .send(Some((batch, samples.current_position())))
                .is_err()
        {
            return;
        }
        if ends {
            sender.send(None).ok();
            return;
        }
    }
}

#[pymethods]
impl Stream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        loop {
            let taken = py.detach(|| {
                let receiver = locked(&self.receiver);
                receiver
                    .as_ref()
                    .map(|receiver| receiver.recv_timeout(LOOK))
            });
            events::log(py)?;
            match taken {
                Some(Ok(Some((Ok(samples), Position { job, row })))) => {
                    return Ok(Some(Batch {
                        samples,
                        position: (job, row),
                    }));
                }
                Some(Ok(Some((Err(error), _)))) => {
                    self.close();
                    return Err(raised(py, &error));
                }
                Some(Err(RecvTimeoutError::Timeout)) => py.check_signals()?,
                Some(Err(RecvTimeoutError::Disconnected)) => {
                    self.close();
                    return Err(InternalError::new_err(
                        "the thread that feeds this stream is gone",
                    ));
                }
                None | Some(Ok(None)) => {
                    self.close();
                    return Ok(None);
                }
            }
        }
    }

    /// Ends the stream; its threads end behind the subjects they are at.
    fn close(&self) {
        *locked(&self.receiver) = None;
    }

    /// Subjects that failed so far.
    #[getter]
    fn failures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        failures(py, &locked(&self.failures))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
