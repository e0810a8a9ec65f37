//! One volume of a table or of a stream, decoded.

use crate::arrow_c;
use crate::dlpack::Tensor;
use crate::errors::{Error, raised};
use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::Fields;
use pyo3::prelude::*;
use voxstream::error::Error as Cause;
use voxstream::sink::SinkError;
use voxstream::sink::read_stored_volume;
use voxstream::sink::stored::stored_volume_fields;
use voxstream::volume::columns::{volume_at, volume_fields};
use voxstream::volume::{Scaling, Volume};

/// Voxels `[z, y, x]` and the 4x4 affine row by row; `None` where the value is null.
type Decoded = Option<(Tensor, [f64; 16])>;

/// The first value of an array of volumes: values as stored where stored numbers are values, else as f32.
#[pyfunction]
pub(crate) fn volume(py: Python<'_>, array: &Bound<'_, PyAny>) -> PyResult<Decoded> {
    let array = arrow_c::array(array)?;
    py.detach(move || decode(&array))
        .map_err(|problem| match problem {
            Problem::Text(text) => Error::new_err(text),
            Problem::Sink(error) => raised(py, &Cause::Sink(error)),
        })
}

enum Problem {
    Text(String),
    Sink(SinkError),
}

fn decode(array: &ArrayRef) -> Result<Decoded, Problem> {
    let array = array.as_struct_opt().filter(|array| !array.is_empty());
    let array =
        array.ok_or_else(|| Problem::Text("expected a volume, found no struct".to_owned()))?;
    if array.is_null(0) {
        return Ok(None);
    }
    let stored = array.column_by_name("codec").is_some();
    let volume = match stored {
        true => read_stored_volume(&conformed(array, &stored_volume_fields())?, 0),
        false => {
            let plain = conformed(array, &volume_fields())?;
            volume_at(&plain, 0, "volume").map_err(SinkError::from)
        }
    };
    let volume = volume.map_err(Problem::Sink)?;
    Ok(volume.map(|volume| (tensor(&volume, !stored), affine(&volume))))
}

/// The columns of a volume with their own types: what went through another library may have others,
/// such as lists of 64-bit numbers.
fn conformed(array: &StructArray, fields: &Fields) -> Result<StructArray, Problem> {
    let columns = fields.iter().map(|field| {
        let column = array.column_by_name(field.name()).ok_or_else(|| {
            let names = array.column_names().join(", ");
            Problem::Text(format!(
                "no volume: there is no field `{}` among {names}",
                field.name()
            ))
        })?;
        let column = cast(&column.slice(0, 1), field.data_type());
        column.map_err(|e| Problem::Text(format!("no volume: field `{}`: {e}", field.name())))
    });
    let columns = columns.collect::<Result<Vec<_>, Problem>>()?;
    StructArray::try_new(fields.clone(), columns, None)
        .map_err(|e| Problem::Text(format!("no volume: {e}")))
}

/// The values of a volume; `shared` if its memory may be another library's.
fn tensor(volume: &Volume, shared: bool) -> Tensor {
    let (buffer, dtype, read_only) = match volume.scaling() == Scaling::NONE {
        true => (volume.buffer().clone(), volume.dtype(), shared),
        false => {
            let values = volume.to_f32().into_owned();
            (
                Buffer::from_vec(values),
                voxstream::volume::Dtype::F32,
                false,
            )
        }
    };
    Tensor {
        buffer,
        dtype,
        shape: volume.grid().shape_zyx().map(|n| n as i64).to_vec(),
        read_only,
    }
}

/// World x, y, z in mm (RAS+) from voxel x, y, z: 4x4, row by row.
pub(crate) fn affine(volume: &Volume) -> [f64; 16] {
    let rows = volume.grid().rows().concat();
    let mut all = [0.0; 16];
    all[..12].copy_from_slice(&rows);
    all[15] = 1.0;
    all
}
