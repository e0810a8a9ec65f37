//! Answers as files: the ending of the name says the format.

use crate::error::Error;
use crate::query::{Format, print};
use crate::sink::parquet::write_whole;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;
use std::path::Path;

/// Endings of names, with their formats; `.png` is a picture alone.
const ENDINGS: [(&str, Format); 5] = [
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("md", Format::Markdown),
    ("parquet", Format::Parquet),
    ("txt", Format::Table),
];

/// Writes an answer into a file, whole or not at all.
///
/// **Errors** if the ending is unknown, the answer is no picture for `.png`, or the file cannot be
/// written.
pub(super) fn export(batches: &[RecordBatch], path: &Path) -> Result<(), Error> {
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    if ending == "png" {
        return Ok(write_whole(path, picture(batches)?)?);
    }
    let format = ENDINGS.iter().find(|(known, _)| *known == ending);
    let Some((_, format)) = format else {
        return Err(Error::run(format!(
            "{}: found the ending `{ending}`, expected csv, json, md, parquet, txt, or png for one picture",
            path.display()
        )));
    };
    let mut bytes = Vec::new();
    print(batches, *format, &mut bytes)?;
    Ok(write_whole(path, &bytes)?)
}

/// The one picture of an answer.
fn picture(batches: &[RecordBatch]) -> Result<&[u8], Error> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let batch = batches.iter().find(|b| b.num_rows() > 0);
    let column = batch
        .filter(|b| rows == 1 && b.num_columns() == 1)
        .map(|b| b.column(0));
    match column {
        Some(column) if *column.data_type() == DataType::Binary && column.is_valid(0) => {
            Ok(column.as_binary::<i32>().value(0))
        }
        _ => Err(Error::run(
            "the answer is not one picture; ask for one row and one column, such as `select slice_png(label, label, 'axial', 20) from predictions limit 1`",
        )),
    }
}
