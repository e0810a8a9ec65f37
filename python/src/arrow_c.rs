//! Arrow data across the C interface, as PyCapsules; no buffer is copied in either direction.

#![expect(
    unsafe_code,
    reason = "the Arrow C interface passes structs by address"
)]

use crate::errors::Error;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchIterator, make_array};
use arrow::datatypes::SchemaRef;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow::ffi_stream::FFI_ArrowArrayStream;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// Record batches of one schema; anything that reads the Arrow C stream interface takes them.
#[pyclass(frozen, module = "voxstream")]
pub(crate) struct Batches {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

#[pymethods]
impl Batches {
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer return its own schema.
        drop(requested_schema);
        stream(py, self.schema.clone(), self.batches.clone())
    }
}

/// Batches as an `arrow_array_stream`.
pub(crate) fn stream<'py>(
    py: Python<'py>,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> PyResult<Bound<'py, PyCapsule>> {
    let reader = RecordBatchIterator::new(batches.into_iter().map(Ok), schema);
    let stream = FFI_ArrowArrayStream::new(Box::new(reader));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// The array behind an object's `__arrow_c_array__`.
///
/// **Errors** if the object has none, or what it returns is no array.
pub(crate) fn array(object: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    let pair = object.call_method0("__arrow_c_array__")?;
    let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) = pair.extract()?;
    let schema = schema.pointer_checked(Some(c"arrow_schema"))?;
    let array = array.pointer_checked(Some(c"arrow_array"))?;
    // SAFETY: a capsule of this name holds such a struct; the producer's destructor sees that it was
    // moved out of by its release callback.
    let array = unsafe { FFI_ArrowArray::from_raw(array.as_ptr().cast()) };
    // SAFETY: a capsule of this name holds such a struct, and lives until the end of this call.
    let schema = unsafe { &*schema.as_ptr().cast::<FFI_ArrowSchema>() };
    // SAFETY: producers promise that array and schema belong to each other.
    let data = unsafe { from_ffi(array, schema) };
    let data = data.map_err(|e| Error::new_err(format!("no Arrow array: {e}")))?;
    Ok(make_array(data))
}
