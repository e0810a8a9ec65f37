//! A batch of samples: as Arrow data, and as tensors side by side.

use crate::arrow_c;
use crate::dlpack::Tensor;
use crate::errors::{Error, raised};
use crate::plain;
use crate::volume::affine;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use serde_json::{Value, json};
use voxstream::error::Error as Cause;
use voxstream::volume::row::column_name;
use voxstream::volume::{Dtype, Role, Row, Scaling, Volume};
use voxstream::with_voxel_type;

/// The views of one sample, one record batch of one row each, the weak view first.
pub(crate) type Views = Vec<RecordBatch>;

/// Samples of a stream.
#[pyclass(frozen, module = "voxstream")]
pub(crate) struct Batch {
    pub(crate) samples: Vec<Views>,
    /// Subject and row after the last sample.
    pub(crate) position: (u64, usize),
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.samples.len()
    }

    #[getter]
    fn position(&self) -> (u64, usize) {
        self.position
    }

    /// Names of the views.
    #[getter]
    fn views(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let views = self.samples.iter().take(1).flatten();
        views.map(|view| Ok(row(py, view)?.view)).collect()
    }

    /// What is known of each row of a view, as a list of dicts.
    fn rows<'py>(&self, py: Python<'py>, view: &str) -> PyResult<Bound<'py, PyAny>> {
        let rows = self.of_view(py, view)?;
        let known = rows.iter().map(|row| {
            let channels = row.images.iter().map(|c| (Role::Image, c));
            let channels = channels.chain(row.labels.iter().map(|c| (Role::Label, c)));
            let affines: serde_json::Map<String, Value> = channels
                .filter_map(|(role, channel)| {
                    let volume = channel.volume.as_ref()?;
                    Some((column_name(role, &channel.name), json!(affine(volume))))
                })
                .collect();
            json!({
                "subject": row.subject, "split": row.split.name(), "epoch": row.epoch, "sample": row.sample,
                "draws": row.draws, "affines": affines,
            })
        });
        plain(py, &known.collect::<Value>())
    }

    /// Names of the image channels, and of the label channels.
    fn channels(&self, py: Python<'_>) -> PyResult<(Vec<String>, Vec<String>)> {
        let first = self.samples.first().and_then(|views| views.first());
        let Some(first) = first else {
            return Ok((Vec::new(), Vec::new()));
        };
        let row = row(py, first)?;
        let names = |channels: &[voxstream::volume::Channel]| {
            channels.iter().map(|c| c.name.clone()).collect()
        };
        Ok((names(&row.images), names(&row.labels)))
    }

    /// Images `[n, c, z, y, x]` as f32, which of them are there, and labels `[n, l, z, y, x]`.
    fn tensors(
        &self,
        py: Python<'_>,
        view: &str,
        missing: Option<f32>,
        ignore: Option<i64>,
    ) -> PyResult<(Tensor, Vec<Vec<bool>>, Option<Tensor>)> {
        let rows = self.of_view(py, view)?;
        let made = py.detach(|| {
            let shape = shape_of(&rows)?;
            let present = rows.iter().map(|row| {
                let channels = row.images.iter();
                channels.map(|c| c.volume.is_some()).collect()
            });
            Ok((
                images(&rows, shape, missing)?,
                present.collect(),
                labels(&rows, shape, ignore)?,
            ))
        });
        made.map_err(|problem: String| PyValueError::new_err(problem))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer return its own schema.
        drop(requested_schema);
        let views: Vec<RecordBatch> = self.samples.iter().flatten().cloned().collect();
        let schema = views.first().map(RecordBatch::schema);
        let schema = schema.ok_or_else(|| Error::new_err("a batch without samples"))?;
        arrow_c::stream(py, schema, views)
    }
}

impl Batch {
    fn of_view(&self, py: Python<'_>, view: &str) -> PyResult<Vec<Row>> {
        let mut found = Vec::with_capacity(self.samples.len());
        for views in &self.samples {
            let rows: Vec<Row> = views.iter().map(|v| row(py, v)).collect::<PyResult<_>>()?;
            let names: Vec<String> = rows.iter().map(|row| row.view.clone()).collect();
            let of_view = rows.into_iter().find(|row| row.view == view);
            found.push(of_view.ok_or_else(|| {
                PyKeyError::new_err(format!("no view {view:?}; the views are {names:?}"))
            })?);
        }
        Ok(found)
    }
}

fn row(py: Python<'_>, view: &RecordBatch) -> PyResult<Row> {
    Row::from_batch(view, 0).map_err(|e| raised(py, &Cause::Sink(e.into())))
}

/// The shape z, y, x of every volume.
///
/// **Errors** if they differ.
fn shape_of(rows: &[Row]) -> Result<[usize; 3], String> {
    let mut shape = None;
    for row in rows {
        for (_, volume) in row.volumes() {
            let found = volume.grid().shape_zyx();
            match shape {
                None => shape = Some(found),
                Some(expected) if expected == found => {}
                Some(expected) => {
                    return Err(format!(
                        "{}: a volume of {found:?} voxels (z, y, x) beside one of {expected:?}; end `views.shared` with `patch`, or stream with batch=1",
                        row.subject
                    ));
                }
            }
        }
    }
    shape.ok_or_else(|| "no volume in this batch".to_owned())
}

fn of_shape(rows: usize, channels: usize, shape: [usize; 3]) -> Vec<i64> {
    [rows, channels]
        .into_iter()
        .chain(shape)
        .map(|n| n as i64)
        .collect()
}

/// Images as f32; one alone that is stored so is not copied.
fn images(rows: &[Row], shape: [usize; 3], missing: Option<f32>) -> Result<Tensor, String> {
    let channels = rows[0].images.len();
    let all: Vec<(&Row, &str, Option<&Volume>)> = rows
        .iter()
        .flat_map(|row| {
            let images = row.images.iter();
            images.map(move |c| (row, &*c.name, c.volume.as_ref()))
        })
        .collect();
    let buffer = match &all[..] {
        [(_, _, Some(volume))] if is_plain(volume, Dtype::F32) => volume.buffer().clone(),
        _ => {
            let voxels: usize = shape.iter().product();
            let mut values: Vec<f32> = Vec::with_capacity(all.len() * voxels);
            for (row, name, volume) in all {
                match (volume, missing) {
                    (Some(volume), _) => volume.append_f32(&mut values),
                    (None, Some(fill)) => values.resize(values.len() + voxels, fill),
                    (None, None) => {
                        return Err(format!(
                            "image.{name} of {} is missing; pass missing=0.0 to have it filled, and look at `present`",
                            row.subject
                        ));
                    }
                }
            }
            Buffer::from_vec(values)
        }
    };
    Ok(Tensor {
        buffer,
        dtype: Dtype::F32,
        shape: of_shape(rows.len(), channels, shape),
        read_only: false,
    })
}

/// Label maps: u8 where all are stored so, else i64; one alone as u8 is not copied. `None` if there is none.
fn labels(rows: &[Row], shape: [usize; 3], ignore: Option<i64>) -> Result<Option<Tensor>, String> {
    let channels = rows[0].labels.len();
    let all: Vec<(&Row, &str, Option<&Volume>)> = rows
        .iter()
        .flat_map(|row| {
            let labels = row.labels.iter();
            labels.map(move |c| (row, &*c.name, c.volume.as_ref()))
        })
        .collect();
    let present = || all.iter().filter_map(|(_, _, volume)| *volume);
    if present().next().is_none() {
        return Ok(None);
    }
    if let (Some((row, name, _)), None) = (all.iter().find(|(_, _, v)| v.is_none()), ignore) {
        return Err(format!(
            "{} of {} is missing and other label maps of the batch are there; pass ignore=255 to have it filled, or stream with labelled=True",
            column_name(Role::Label, name),
            row.subject
        ));
    }
    let small = ignore.is_none_or(|value| u8::try_from(value).is_ok());
    let (buffer, dtype) = if small && present().all(|v| is_plain(v, Dtype::U8)) {
        let buffer = match &all[..] {
            [(_, _, Some(volume))] => volume.buffer().clone(),
            _ => Buffer::from_vec(appended(&all, shape, ignore, |volume, to: &mut Vec<u8>| {
                to.extend_from_slice(volume.buffer());
            })),
        };
        (buffer, Dtype::U8)
    } else {
        let numbers = appended(&all, shape, ignore, |volume, to: &mut Vec<i64>| {
            let Scaling { slope, intercept } = volume.scaling();
            with_voxel_type!(volume.dtype(), T => {
                let stored = volume.as_slice::<T>().unwrap_or_default();
                to.extend(stored.iter().map(|&v| {
                    let value = slope * voxstream::volume::Voxel::to_f64(v) + intercept;
                    value.round() as i64
                }));
            });
        });
        (Buffer::from_vec(numbers), Dtype::I64)
    };
    Ok(Some(Tensor {
        buffer,
        dtype,
        shape: of_shape(rows.len(), channels, shape),
        read_only: false,
    }))
}

/// Label maps one behind the other; one that is missing is full of `ignore`.
fn appended<T: Copy + TryFrom<i64>>(
    all: &[(&Row, &str, Option<&Volume>)],
    shape: [usize; 3],
    ignore: Option<i64>,
    append: impl Fn(&Volume, &mut Vec<T>),
) -> Vec<T> {
    let voxels: usize = shape.iter().product();
    let mut numbers = Vec::with_capacity(all.len() * voxels);
    for (_, _, volume) in all {
        match (volume, ignore.and_then(|value| T::try_from(value).ok())) {
            (Some(volume), _) => append(volume, &mut numbers),
            (None, Some(fill)) => numbers.resize(numbers.len() + voxels, fill),
            // Whoever calls has made sure that a missing one has its number.
            (None, None) => {}
        }
    }
    numbers
}

/// Returns `true` if the stored numbers are the values, of this type.
fn is_plain(volume: &Volume, dtype: Dtype) -> bool {
    volume.dtype() == dtype && volume.scaling() == Scaling::NONE
}
