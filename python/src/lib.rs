//! The compiled half of the Python package `voxstream`.
//!
//! Everything here is thin: it turns paths and options into calls of the library, waits for them without
//! the GIL, and hands results over as Arrow data, DLPack tensors and plain values. What a user calls is
//! written in Python, in `python/voxstream/`.

mod arrow_c;
mod batch;
mod dlpack;
mod errors;
mod events;
mod run;
mod stream;
mod volume;
mod wait;

use pyo3::prelude::*;
use serde_json::Value;

/// Volumes are large and alike: their memory is used again. Python, NumPy and PyTorch keep theirs.
#[global_allocator]
static MEMORY: voxstream::memory::Shelves = voxstream::memory::Shelves::new();

#[pymodule]
fn _voxstream(m: &Bound<'_, PyModule>) -> PyResult<()> {
    events::start();
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("Error", m.py().get_type::<errors::Error>())?;
    m.add("PipelineError", m.py().get_type::<errors::PipelineError>())?;
    m.add("InternalError", m.py().get_type::<errors::InternalError>())?;
    m.add_class::<arrow_c::Batches>()?;
    m.add_class::<batch::Batch>()?;
    m.add_class::<dlpack::Tensor>()?;
    m.add_class::<stream::Stream>()?;
    m.add_function(wrap_pyfunction!(run::check, m)?)?;
    m.add_function(wrap_pyfunction!(run::run, m)?)?;
    m.add_function(wrap_pyfunction!(run::query, m)?)?;
    m.add_function(wrap_pyfunction!(run::tables, m)?)?;
    m.add_function(wrap_pyfunction!(stream::stream, m)?)?;
    m.add_function(wrap_pyfunction!(volume::volume, m)?)?;
    Ok(())
}

/// Plain data as Python's own: dicts, lists, strings, numbers.
fn plain<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?
        .call_method1("loads", (value.to_string(),))
}
