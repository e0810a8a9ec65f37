//! Results as text or Parquet.

use super::QueryError;
use crate::sink::parquet::write_stream;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use std::io::Write;
use std::sync::Arc;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A table for eyes.
    #[default]
    Table,
    /// Comma-separated values with a header; nested values as text.
    Csv,
    /// One JSON object a line, nulls written out.
    Json,
    /// A table in Markdown.
    Markdown,
    /// A Parquet file, voxels included.
    Parquet,
}

/// Writes batches of one schema; in text formats a binary value is shown by its size.
///
/// **Errors** when the stream cannot be written or the format cannot hold the result.
pub fn print(
    batches: &[RecordBatch],
    format: Format,
    mut out: impl Write,
) -> Result<(), QueryError> {
    let Some(first) = batches.first() else {
        return Ok(());
    };
    if format == Format::Parquet {
        // Parquet's writer may move between threads; a locked stdout may not.
        let mut bytes = Vec::new();
        write_stream(&mut bytes, first.schema(), batches).map_err(|e| failure(&e))?;
        return out
            .write_all(&bytes)
            .and_then(|()| out.flush())
            .map_err(|e| failure(&e));
    }
    let texts: Vec<RecordBatch> = batches
        .iter()
        .map(|batch| readable(batch, matches!(format, Format::Csv | Format::Markdown)))
        .collect::<Result<_, _>>()
        .map_err(|e| failure(&e))?;
    write_text(&texts, format, &mut out).map_err(|e| failure(&e))?;
    out.flush().map_err(|e| failure(&e))
}

fn write_text(
    texts: &[RecordBatch],
    format: Format,
    out: &mut impl Write,
) -> Result<(), ArrowError> {
    match format {
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new()
                .with_header(true)
                .build(out);
            texts.iter().try_for_each(|batch| writer.write(batch))
        }
        Format::Json => {
            let mut writer = arrow::json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, arrow::json::writer::LineDelimited>(&mut *out);
            texts.iter().try_for_each(|batch| writer.write(batch))?;
            writer.finish()
        }
        Format::Markdown => markdown(texts, out),
        Format::Table | Format::Parquet => {
            let table = pretty_format_batches_with_options(texts, &options())?;
            Ok(writeln!(out, "{table}")?)
        }
    }
}

/// A table in Markdown: numbers to the right, `|` escaped, line breaks as `<br>`.
fn markdown(texts: &[RecordBatch], out: &mut impl Write) -> Result<(), ArrowError> {
    let Some(first) = texts.first() else {
        return Ok(());
    };
    let escaped = |text: &str| text.replace('|', "\\|").replace('\n', "<br>");
    let schema = first.schema();
    let fields = schema.fields().iter();
    let names: Vec<String> = fields.clone().map(|f| escaped(f.name())).collect();
    let rules: Vec<&str> = fields
        .map(|f| {
            if f.data_type().is_numeric() {
                "--:"
            } else {
                "---"
            }
        })
        .collect();
    writeln!(out, "| {} |\n| {} |", names.join(" | "), rules.join(" | "))?;
    let options = FormatOptions::new();
    for batch in texts {
        let columns = batch.columns().iter();
        let columns = columns.map(|c| ArrayFormatter::try_new(c, &options));
        let columns: Vec<ArrayFormatter<'_>> = columns.collect::<Result<_, _>>()?;
        for i in 0..batch.num_rows() {
            let cells: Vec<String> = (columns.iter())
                .map(|c| escaped(&c.value(i).to_string()))
                .collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
    }
    Ok(())
}

fn options() -> FormatOptions<'static> {
    FormatOptions::new().with_null("null")
}

fn failure(error: &dyn std::error::Error) -> QueryError {
    QueryError::Print {
        problem: error.to_string(),
    }
}

/// Binary values become their size; nested ones become text where `flat` is asked for.
fn readable(batch: &RecordBatch, flat: bool) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let mut column = without_bytes(column)?;
        if flat && column.data_type().is_nested() {
            column = as_text(&column)?;
        }
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new_with_options(
        schema,
        columns,
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
    )
}

fn as_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = options();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let texts =
        (0..column.len()).map(|i| column.is_valid(i).then(|| formatter.value(i).to_string()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

fn without_bytes(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match column.data_type() {
        DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            without_bytes(&cast(column, &DataType::LargeBinary)?)?
        }
        DataType::LargeBinary => {
            let blobs = column.as_binary::<i64>().iter();
            let sizes = blobs.map(|blob| blob.map(|b| format!("<{} bytes>", b.len())));
            Arc::new(sizes.collect::<StringArray>())
        }
        DataType::Struct(fields) => {
            let parts = column.as_struct();
            let columns = parts
                .columns()
                .iter()
                .map(without_bytes)
                .collect::<Result<Vec<_>, _>>()?;
            let fields = fields
                .iter()
                .zip(&columns)
                .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true));
            let fields = fields.collect();
            Arc::new(StructArray::try_new_with_length(
                fields,
                columns,
                parts.nulls().cloned(),
                parts.len(),
            )?)
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let values = without_bytes(list.values())?;
            let item = Arc::new(Field::new("item", values.data_type().clone(), true));
            let nulls = list.nulls().cloned();
            Arc::new(ListArray::try_new(
                item,
                list.offsets().clone(),
                values,
                nulls,
            )?)
        }
        _ => column.clone(),
    })
}
