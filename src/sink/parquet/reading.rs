//! Reads Parquet files batch by batch.

use super::table_file::TableFile;
use super::{has_volumes, parquet_error};
use crate::sink::{SinkError, io_error};
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::errors::ParquetError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// Reads a Parquet file to its end, and keeps nothing of it.
///
/// **Errors** as [`read_batches`].
pub fn check_table(path: &Path) -> Result<(), SinkError> {
    for_each_batch(path, |_| Ok(()))
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
    let reader = unpanicked(|| builder.with_batch_size(rows_a_batch).build());
    let mut reader = reader.map_err(parquet_error(path, "reading"))?;
    let mut is_empty = true;
    // The reader drops the schema's own metadata: name and version.
    let mut next = || {
        let batch = reader.next()?;
        Some(batch.and_then(|batch| batch.with_schema(schema.clone())))
    };
    while let Some(batch) =
        unpanicked(|| Ok(next().transpose()?)).map_err(parquet_error(path, "reading"))?
    {
        each(batch)?;
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
    unpanicked(|| ParquetRecordBatchReaderBuilder::try_new(file))
        .map_err(parquet_error(path, "reading the footer"))
}

/// Calls a reader of the packages `parquet` and `arrow`, which panic at some damaged files.
///
/// **Errors** those of the reader; a panic of it is one.
fn unpanicked<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    // What the reader leaves behind is dropped with it.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("the file is damaged".to_owned())))
}
