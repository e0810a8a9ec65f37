//! Tables as text: CSV, TSV and their relatives.
//!
//! Cells are split by the package `csv`; Arrow infers the types of columns from what was split. In
//! between stands what an author needs to know by its line: ragged rows, columns named twice, quotes
//! that do not end, bytes that are no text.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::Arc;

/// What separates the columns of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Delimiter {
    /// A comma.
    #[serde(rename = ",")]
    Comma,
    /// A semicolon, as spreadsheets write where the comma is a decimal point.
    #[serde(rename = ";")]
    Semicolon,
    /// A tab; `"\t"` is read, too.
    #[serde(rename = "tab", alias = "\t")]
    Tab,
    /// A vertical bar.
    #[serde(rename = "|")]
    Bar,
}

impl Delimiter {
    const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Bar];

    fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Bar => b'|',
        }
    }

    /// The delimiter as an option says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Comma => "`,`",
            Self::Semicolon => "`;`",
            Self::Tab => "tab",
            Self::Bar => "`|`",
        }
    }
}

/// A table that was read from text.
pub(super) struct Delimited {
    pub(super) batch: RecordBatch,
    /// Line of each row in the file, from 1.
    pub(super) lines: Vec<usize>,
    pub(super) delimiter: Delimiter,
    /// Lines without content, which were left out.
    pub(super) empty_lines: Vec<usize>,
}

/// The cells of a table as text.
struct Cells {
    names: Vec<String>,
    rows: Vec<csv::StringRecord>,
    /// Line of each row, from 1.
    lines: Vec<usize>,
    delimiter: Delimiter,
    empty_lines: Vec<usize>,
}

/// Column names and rows of a table as text, the delimiter recognised; for looking at a table before
/// its columns are named.
///
/// **Errors** what was found, at which line, and what was expected.
pub(crate) fn texts(
    bytes: &[u8],
    is_tsv: bool,
) -> Result<(Vec<String>, Vec<csv::StringRecord>), String> {
    let cells = cells(bytes, &[], None, is_tsv)?;
    Ok((cells.names, cells.rows))
}

/// Reads a table; `text_columns` stay text whatever they look like, and so do columns with leading
/// zeros. Cells lose the spaces around them; `n/a` is an empty cell in a `.tsv` file, as BIDS says.
///
/// Without `given` the delimiter is the one with which the header names most of `text_columns`, then
/// the one that splits it into most columns. Rows without any content are left out; their lines are
/// in `empty_lines`.
///
/// **Errors** what was found, at which line, and what was expected.
pub(super) fn read(
    bytes: &[u8],
    text_columns: &[&str],
    given: Option<Delimiter>,
    is_tsv: bool,
) -> Result<Delimited, String> {
    let cells = cells(bytes, text_columns, given, is_tsv)?;
    let batch = typed(&cells.names, &cells.rows, text_columns, is_tsv);
    Ok(Delimited {
        batch: batch.map_err(|e| e.to_string())?,
        lines: cells.lines,
        delimiter: cells.delimiter,
        empty_lines: cells.empty_lines,
    })
}

fn cells(
    bytes: &[u8],
    text_columns: &[&str],
    given: Option<Delimiter>,
    is_tsv: bool,
) -> Result<Cells, String> {
    let text = text_of(bytes)?;
    let given = given.or(is_tsv.then_some(Delimiter::Tab));
    let delimiter = given.unwrap_or_else(|| recognised(text, text_columns));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter.byte())
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut records = Vec::new();
    let mut record = csv::StringRecord::new();
    let (mut line, mut counted) = (1, 0);
    // The bytes are text, so that only reading from memory is left to fail.
    while reader.read_record(&mut record).map_err(|e| e.to_string())? {
        let start = record.position().map_or(counted, |p| p.byte() as usize);
        // Blank lines before a row belong to its record.
        let blank = text[start..].len() - text[start..].trim_start_matches(['\r', '\n']).len();
        let start = start + blank;
        line += text[counted..start].bytes().filter(|b| *b == b'\n').count();
        counted = start;
        records.push((line, start, record.clone()));
    }
    let mut records = records.into_iter();
    let Some((line, _, header)) = records.next() else {
        let columns = match text_columns {
            [] => "subject,ct".to_owned(),
            columns => columns.join(","),
        };
        return Err(format!(
            "the file is empty; expected a line of column names such as `{columns}`, and a line for each subject"
        ));
    };
    let rows: Vec<_> = records.collect();
    ends_quotes(text, rows.last().map(|(line, start, _)| (*line, *start)))?;
    let names = column_names(line, &header)?;
    let (mut lines, mut cells, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for (line, _, row) in rows {
        if row.iter().all(str::is_empty) {
            empty.push(line);
        } else if row.len() != names.len() {
            return Err(format!(
                "line {line} has {} cells, but the header has {} columns (separated by {}); write one cell a column, and put text that holds the delimiter in quotes",
                row.len(),
                names.len(),
                delimiter.name()
            ));
        } else {
            lines.push(line);
            cells.push(row);
        }
    }
    if cells.is_empty() {
        return Err(format!(
            "the table ends behind its header (line {line}); list at least one subject"
        ));
    }
    Ok(Cells {
        names,
        rows: cells,
        lines,
        delimiter,
        empty_lines: empty,
    })
}

/// The text of a file, without a byte order mark.
fn text_of(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("the text is UTF-16; save the table as UTF-8".to_owned());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.trim_start_matches('\u{feff}')),
        Err(e) => {
            let at = e.valid_up_to();
            let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
            Err(format!(
                "line {line} holds the byte 0x{:02X}, which is not UTF-8; save the table as UTF-8",
                bytes[at]
            ))
        }
    }
}

/// The delimiter that a header line is written with; a comma for one column.
fn recognised(text: &str, wanted: &[&str]) -> Delimiter {
    let score = |delimiter: Delimiter| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter.byte())
            .has_headers(false)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let header = reader.records().next().and_then(Result::ok);
        let header = header.unwrap_or_default();
        let named = header.iter().filter(|name| wanted.contains(name)).count();
        (named, header.len())
    };
    // Of equals the first one: `max_by_key` takes the last.
    let reversed = Delimiter::ALL.into_iter().rev();
    reversed
        .max_by_key(|d| score(*d))
        .unwrap_or(Delimiter::Comma)
}

/// **Errors** if a quote opens in the last row and nothing closes it: it swallowed the rows below.
fn ends_quotes(text: &str, last: Option<(usize, usize)>) -> Result<(), String> {
    let Some((line, start)) = last else {
        return Ok(());
    };
    let row = text[start..].trim();
    let quotes = row.bytes().filter(|b| *b == b'"').count();
    match row.contains('\n') && quotes % 2 == 1 {
        true => Err(format!(
            "a quote opens at line {line} and does not end; close it, or write `\"\"` for a quote inside a quoted cell"
        )),
        false => Ok(()),
    }
}

/// Names of the columns; those without a name are called by their place.
fn column_names(line: usize, header: &csv::StringRecord) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for (i, name) in header.iter().enumerate() {
        let name = match name {
            "" => format!("column_{}", i + 1),
            name => name.to_owned(),
        };
        if let Some(first) = names.iter().position(|n| *n == name) {
            return Err(format!(
                "line {line} names the column `{name}` twice, as columns {} and {}; rename or remove one",
                first + 1,
                i + 1
            ));
        }
        names.push(name);
    }
    Ok(names)
}

/// Rows as Arrow columns, with the types that Arrow infers.
fn typed(
    names: &[String],
    rows: &[csv::StringRecord],
    text_columns: &[&str],
    is_tsv: bool,
) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(names)?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner()?;
    let format = arrow::csv::reader::Format::default().with_header(true);
    let format = match is_tsv {
        true => format.with_null_regex(Regex::new("^(n/a)?$")?),
        false => format,
    };
    let (inferred, _) = format.infer_schema(Cursor::new(&bytes), None)?;
    let zero = |cell: &str| cell.len() > 1 && cell.bytes().all(|b| b.is_ascii_digit());
    let fields: Vec<FieldRef> = (inferred.fields().iter().enumerate())
        .map(|(i, field)| {
            let name = field.name().as_str();
            let zeros = rows.iter().any(|r| r[i].starts_with('0') && zero(&r[i]));
            let is_text =
                zeros || text_columns.contains(&name) || *field.data_type() == DataType::Null;
            let kind = match is_text {
                true => DataType::Utf8,
                false => field.data_type().clone(),
            };
            Arc::new(Field::new(name, kind, true))
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let reader = arrow::csv::ReaderBuilder::new(Arc::clone(&schema))
        .with_format(format)
        .build(Cursor::new(&bytes))?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}
