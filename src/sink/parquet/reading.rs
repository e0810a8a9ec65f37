//! Reads Parquet files batch by batch.

use super::table_file::TableFile;
use super::{has_volumes, parquet_error};
use crate::sink::{SinkError, io_error};
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::path::Path;

/// Reads every record batch of a Parquet file; volumes come in batches of few rows.
///
/// **Errors** when the file is absent or damaged.
pub fn read_batches(path: &Path) -> Result<Vec<RecordBatch>, SinkError> {
    let mut batches = Vec::new();
    for_each_batch(path, |batch| {
        batches.push(batch);
        Ok(())
    })?;
    Ok(batches)
}

/// Reads a Parquet file batch by batch; a file without rows has one batch, which is empty.
///
/// **Errors** as [`read_batches`], and those of `each`.
pub(in crate::sink) fn for_each_batch(
    path: &Path,
    mut each: impl FnMut(RecordBatch) -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    let builder = open(path)?;
    let schema = builder.schema().clone();
    let rows_a_batch = if has_volumes(&schema) { 1 } else { 8192 };
    let reader = builder
        .with_batch_size(rows_a_batch)
        .build()
        .map_err(parquet_error(path, "reading"))?;
    let mut is_empty = true;
    for batch in reader {
        // The reader drops the schema's own metadata: name and version.
        let batch = batch.and_then(|b| b.with_schema(schema.clone()));
        each(batch.map_err(|e| parquet_error(path, "reading")(e.into()))?)?;
        is_empty = false;
    }
    match is_empty {
        true => each(RecordBatch::new_empty(schema)),
        false => Ok(()),
    }
}

/// Reads the schema of a Parquet file, and nothing else of it.
///
/// **Errors** when the file is absent or its footer damaged.
pub fn schema_of(path: &Path) -> Result<SchemaRef, SinkError> {
    Ok(open(path)?.schema().clone())
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<TableFile>, SinkError> {
    let file = TableFile::open(path).map_err(io_error(path, "opening"))?;
    ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(parquet_error(path, "reading the footer"))
}
