//! `check`, `run` and `query`.

use crate::arrow_c::Batches;
use crate::errors::Error;
use crate::plain;
use crate::wait::waited;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use voxstream::cli::{self, check::Remark};
use voxstream::query::Session;
use voxstream::run::chain::Failure;
use voxstream::run::context::{CANCELLED, cancel};
use voxstream::run::driver::{self, RunOptions};
use voxstream::sink::TABLES;
use voxstream::train::device::DeviceChoice;

/// Nothing stops these but their end: they are short.
const NO_STOP: fn() -> bool = || false;

/// What there is to say about a pipeline file, as a list of dicts.
#[pyfunction]
pub(crate) fn check(
    py: Python<'_>,
    path: PathBuf,
    set: Vec<String>,
    data: bool,
) -> PyResult<Bound<'_, PyAny>> {
    let remarks = waited(
        py,
        "check",
        move || Ok(cli::check::remarks(&path, &set, data)),
        NO_STOP,
    )?;
    plain(py, &remarks.iter().map(Remark::json).collect::<Value>())
}

/// Runs a pipeline; returns its folder and the subjects that failed.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "the wrapper in Python names them"
)]
pub(crate) fn run(
    py: Python<'_>,
    path: PathBuf,
    set: Vec<String>,
    out: Option<PathBuf>,
    device: &str,
    workers: Option<usize>,
    memory: Option<&str>,
    limit: Option<usize>,
    resume: bool,
    progress: bool,
) -> PyResult<(PathBuf, Py<PyAny>)> {
    let options = RunOptions {
        out,
        device: device_of(device)?,
        workers,
        memory: memory.map(bytes_of).transpose()?,
        limit,
        resume,
        progress,
        ..RunOptions::default()
    };
    let alone = Alone::start()?;
    let work = move || {
        let _alone = alone;
        let (plan, cohort) = cli::open(&cli::read(&path, &set)?)?;
        driver::run(plan, cohort, &options)
    };
    let stop = || {
        cancel();
        true
    };
    let outcome = waited(py, "run", work, stop)?;
    let failures = failures(py, &outcome.failures)?;
    Ok((outcome.folder, failures.unbind()))
}

/// One run of this process at a time: what stops one would stop all.
struct Alone;

static RUNNING: AtomicBool = AtomicBool::new(false);

impl Alone {
    fn start() -> PyResult<Self> {
        if RUNNING.swap(true, Ordering::Acquire) {
            return Err(Error::new_err(
                "another run of this process is still under way; wait for it, or start processes",
            ));
        }
        CANCELLED.store(false, Ordering::Relaxed);
        Ok(Self)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        CANCELLED.store(false, Ordering::Relaxed);
        RUNNING.store(false, Ordering::Release);
    }
}

/// Runs SQL over a run folder.
#[pyfunction]
pub(crate) fn query(py: Python<'_>, run: PathBuf, sql: String) -> PyResult<Batches> {
    let work = move || {
        let batches = Session::open(&run)?.sql(&sql)?;
        let schema = batches[0].schema();
        Ok(Batches { schema, batches })
    };
    waited(py, "query", work, NO_STOP)
}

/// Names of the tables of a run folder, and of those that a run may write.
#[pyfunction]
pub(crate) fn tables(py: Python<'_>, run: PathBuf) -> PyResult<(Vec<String>, Vec<&'static str>)> {
    let found = waited(
        py,
        "tables",
        move || Ok(Session::open(&run)?.tables().to_vec()),
        NO_STOP,
    )?;
    Ok((found, TABLES.iter().map(|table| table.name).collect()))
}

/// Failures as a list of dicts: subject, stage, cause.
pub(crate) fn failures<'py>(py: Python<'py>, failures: &[Failure]) -> PyResult<Bound<'py, PyAny>> {
    let failures = failures
        .iter()
        .map(|f| json!({ "subject": f.subject, "stage": f.stage, "cause": f.cause }));
    plain(py, &failures.collect::<Value>())
}

fn device_of(name: &str) -> PyResult<DeviceChoice> {
    match name {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda),
        other => Err(PyValueError::new_err(format!(
            "device={other:?}: expected \"auto\", \"cpu\" or \"cuda\""
        ))),
    }
}

/// Bytes of a size such as `8GiB`.
pub(crate) fn bytes_of(size: &str) -> PyResult<u64> {
    match size.parse::<bytesize::ByteSize>() {
        Ok(size) => Ok(size.as_u64()),
        Err(_) => Err(PyValueError::new_err(format!(
            "memory={size:?} is no size; write bytes as a number, or a text with a unit: \"8GiB\""
        ))),
    }
}
