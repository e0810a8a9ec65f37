//! Rows in Arrow: one row a record batch, voxels as opaque blobs that are read without a copy.
//!
//! A volume column is a struct of `voxels` (LargeBinary, little endian, x fastest), `dtype`,
//! `shape` (z, y, x), `affine` (3x4, row by row: world in mm from voxel x, y, z), `slope` and
//! `intercept`. Geometry is with each volume because modalities may arrive on different grids.

use super::grid::Grid;
use super::row::{Channel, DrawRecord, Measure, Row, Split, column_name};
use super::{Dtype, Role, Scaling, Volume, VolumeError, Warning};
use arrow::array::{
    Array, ArrayRef, FixedSizeListArray, Float64Array, Int32Array, LargeBinaryArray, RecordBatch,
    StringArray, StructArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;

/// Version of the row layout, kept in the schema's metadata.
pub const ROW_SCHEMA_VERSION: &str = "3";

fn vector_of(name: &str, item: DataType, length: i32) -> Field {
    Field::new(
        name,
        DataType::FixedSizeList(Arc::new(Field::new("item", item, false)), length),
        false,
    )
}

/// Fields of a volume column.
pub fn volume_fields() -> Fields {
    Fields::from(vec![
        Field::new("voxels", DataType::LargeBinary, false),
        Field::new("dtype", DataType::Utf8, false),
        vector_of("shape", DataType::Int32, 3),
        vector_of("affine", DataType::Float64, 12),
        Field::new("slope", DataType::Float64, false),
        Field::new("intercept", DataType::Float64, false),
    ])
}

/// Schema of rows with the given image and label channels.
pub fn row_schema<'a>(
    images: impl IntoIterator<Item = &'a str>,
    labels: impl IntoIterator<Item = &'a str>,
) -> SchemaRef {
    let mut fields = vec![
        Field::new("subject_id", DataType::Utf8, false),
        Field::new("cohort", DataType::Utf8, false),
        Field::new("split", DataType::Utf8, false),
        Field::new("epoch", DataType::UInt64, false),
        Field::new("sample", DataType::UInt32, false),
        Field::new("view", DataType::Utf8, false),
        Field::new("draws", DataType::Utf8, false),
        Field::new("history", DataType::Utf8, false),
        Field::new("quality", DataType::Utf8, false),
        Field::new("warnings", DataType::Utf8, false),
    ];
    let volume = |role, name| {
        Field::new(
            column_name(role, name),
            DataType::Struct(volume_fields()),
            true,
        )
    };
    fields.extend(images.into_iter().map(|n| volume(Role::Image, n)));
    fields.extend(labels.into_iter().map(|n| volume(Role::Label, n)));
    let metadata = HashMap::from([
        ("voxstream.schema".to_owned(), "row".to_owned()),
        (
            "voxstream.schema_version".to_owned(),
            ROW_SCHEMA_VERSION.to_owned(),
        ),
    ]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// A one-row array of a volume column; voxels are shared, not copied.
pub fn volume_array(volume: Option<&Volume>) -> StructArray {
    let bytes = volume.map_or_else(
        || arrow::buffer::Buffer::from(&[][..]),
        |v| v.buffer().clone(),
    );
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0i64, bytes.len() as i64]));
    let voxels = LargeBinaryArray::new(offsets, bytes, None);
    let dtype = volume.map_or("", |v| v.dtype().name());
    let shape = volume.map_or([0; 3], |v| v.grid().shape_zyx().map(|n| n as i32));
    let affine: Vec<f64> = volume.map_or_else(|| vec![0.0; 12], |v| v.grid().rows().concat());
    let scaling = volume.map_or(Scaling::NONE, Volume::scaling);
    let list = |values: ArrayRef, length: i32| -> ArrayRef {
        let item = Arc::new(Field::new("item", values.data_type().clone(), false));
        Arc::new(FixedSizeListArray::new(item, length, values, None))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(voxels),
        Arc::new(StringArray::from(vec![dtype])),
        list(Arc::new(Int32Array::from(shape.to_vec())), 3),
        list(Arc::new(Float64Array::from(affine)), 12),
        Arc::new(Float64Array::from(vec![scaling.slope])),
        Arc::new(Float64Array::from(vec![scaling.intercept])),
    ];
    StructArray::new(
        volume_fields(),
        columns,
        Some(NullBuffer::from(vec![volume.is_some()])),
    )
}

impl Row {
    /// The row as a record batch of one row; voxels are shared, not copied.
    pub fn to_batch(&self) -> RecordBatch {
        let schema = row_schema(
            self.images.iter().map(|c| c.name.as_str()),
            self.labels.iter().map(|c| c.name.as_str()),
        );
        let text = |s: &str| -> ArrayRef { Arc::new(StringArray::from(vec![s])) };
        let json = |value: serde_json::Result<String>| {
            value.expect("draws, history, figures and warnings are plain JSON values")
        };
        let mut columns: Vec<ArrayRef> = vec![
            text(&self.subject),
            text(&self.cohort),
            text(self.split.name()),
            Arc::new(UInt64Array::from(vec![self.epoch])),
            Arc::new(UInt32Array::from(vec![self.sample])),
            text(&self.view),
            text(&json(serde_json::to_string(&self.draws))),
            text(&json(serde_json::to_string(&self.history))),
            text(&json(serde_json::to_string(&self.quality))),
            text(&json(serde_json::to_string(&self.warnings))),
        ];
        for channel in self.images.iter().chain(&self.labels) {
            columns.push(Arc::new(volume_array(channel.volume.as_ref())));
        }
        RecordBatch::try_new(schema, columns).expect("the columns are built from the schema")
    }

    /// Reads row `index` of a batch; voxels are shared, not copied.
    ///
    /// **Errors** name the column that is absent or of another type.
    pub fn from_batch(batch: &RecordBatch, index: usize) -> Result<Self, VolumeError> {
        let text = |name: &str| -> Result<String, VolumeError> {
            Ok(column::<StringArray>(batch, name)?.value(index).to_owned())
        };
        let split = text("split")?;
        let split = [Split::Train, Split::Validation, Split::Test]
            .into_iter()
            .find(|s| s.name() == split)
            .ok_or_else(|| VolumeError::Column {
                column: "split".to_owned(),
                problem: format!("unknown split `{split}`"),
            })?;
        let draws: Vec<DrawRecord> = json_at(batch, "draws", index)?;
        let history = json_at(batch, "history", index)?;
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for field in batch.schema().fields() {
            let name = field.name();
            let (channels, short) = match name.split_once('.') {
                Some(("image", short)) => (&mut images, short),
                Some(("label", short)) => (&mut labels, short),
                None if name == "label" => (&mut labels, ""),
                _ => continue,
            };
            let volume = volume_at(column::<StructArray>(batch, name)?, index, name)?;
            channels.push(Channel {
                name: short.to_owned(),
                volume,
            });
        }
        Ok(Self {
            subject: text("subject_id")?,
            cohort: text("cohort")?,
            split,
            epoch: column::<UInt64Array>(batch, "epoch")?.value(index),
            sample: sample_at(batch, index)?,
            view: text("view")?,
            images,
            labels,
            draws,
            history,
            quality: quality_at(batch, index)?,
            warnings: warnings_at(batch, index)?,
            ..Self::default()
        })
    }
}

/// Subject of row `index` of a batch; no volume is read.
///
/// **Errors** if the column is absent or of another type.
pub fn subject_at(batch: &RecordBatch, index: usize) -> Result<String, VolumeError> {
    let column = column::<StringArray>(batch, "subject_id")?;
    Ok(column.value(index).to_owned())
}

/// Sample number of row `index` of a batch; no volume is read.
///
/// **Errors** if the column is absent or of another type.
pub fn sample_at(batch: &RecordBatch, index: usize) -> Result<u32, VolumeError> {
    Ok(column::<UInt32Array>(batch, "sample")?.value(index))
}

/// Figures measured of row `index` of a batch; no volume is read.
///
/// **Errors** if the column is absent, of another type or not a list of figures.
pub fn quality_at(batch: &RecordBatch, index: usize) -> Result<Vec<Measure>, VolumeError> {
    json_at(batch, "quality", index)
}

/// Warnings of row `index` of a batch; no volume is read.
///
/// **Errors** if the column is absent, of another type or not a list of warnings.
pub fn warnings_at(batch: &RecordBatch, index: usize) -> Result<Vec<Warning>, VolumeError> {
    json_at(batch, "warnings", index)
}

fn json_at<T: DeserializeOwned>(
    batch: &RecordBatch,
    name: &str,
    index: usize,
) -> Result<T, VolumeError> {
    let text = column::<StringArray>(batch, name)?.value(index);
    serde_json::from_str(text).map_err(|e| VolumeError::Column {
        column: name.to_owned(),
        problem: e.to_string(),
    })
}

/// Reads one volume of a volume column; voxels are shared, not copied.
///
/// **Errors** when the struct is not a volume or its numbers contradict each other.
pub fn volume_at(
    array: &StructArray,
    index: usize,
    name: &str,
) -> Result<Option<Volume>, VolumeError> {
    if array.is_null(index) {
        return Ok(None);
    }
    let problem = |problem: String| VolumeError::Column {
        column: name.to_owned(),
        problem,
    };
    fn part<'a, A: 'static>(
        array: &'a StructArray,
        field: &str,
        name: &str,
    ) -> Result<&'a A, VolumeError> {
        array.column_by_name(field).and_then(|a| a.as_any().downcast_ref::<A>()).ok_or_else(|| VolumeError::Column {
            column: name.to_owned(),
            problem: format!("field `{field}` is absent or of another type; expected a voxstream volume struct"),
        })
    }
    let voxels = part::<LargeBinaryArray>(array, "voxels", name)?;
    let dtype = part::<StringArray>(array, "dtype", name)?.value(index);
    let dtype =
        Dtype::from_name(dtype).ok_or_else(|| problem(format!("unknown dtype `{dtype}`")))?;
    let shape = part::<FixedSizeListArray>(array, "shape", name)?.value(index);
    let shape = shape
        .as_any()
        .downcast_ref::<Int32Array>()
        .ok_or_else(|| problem("`shape` does not hold int32".to_owned()))?;
    let affine = part::<FixedSizeListArray>(array, "affine", name)?.value(index);
    let affine = affine
        .as_any()
        .downcast_ref::<Float64Array>()
        .ok_or_else(|| problem("`affine` does not hold float64".to_owned()))?;
    let rows = [0, 1, 2].map(|i| [0, 1, 2, 3].map(|j| affine.value(4 * i + j)));
    let shape_xyz = [2, 1, 0].map(|i| usize::try_from(shape.value(i)).unwrap_or(0));
    let grid = Grid::from_rows(shape_xyz, rows)
        .map_err(|source| VolumeError::Grid { path: None, source })?;
    let scaling = Scaling {
        slope: part::<Float64Array>(array, "slope", name)?.value(index),
        intercept: part::<Float64Array>(array, "intercept", name)?.value(index),
    };
    let (start, end) = (
        voxels.value_offsets()[index] as usize,
        voxels.value_offsets()[index + 1] as usize,
    );
    let bytes = voxels.values().slice_with_length(start, end - start);
    Volume::try_new(bytes, dtype, scaling, grid).map(Some)
}

fn column<'a, A: Array + 'static>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a A, VolumeError> {
    batch
        .column_by_name(name)
        .and_then(|a| a.as_any().downcast_ref::<A>())
        .ok_or_else(|| VolumeError::Column {
            column: name.to_owned(),
            problem: "absent or of another type; expected a batch of voxstream rows".to_owned(),
        })
}

#[cfg(test)]
mod tests;
