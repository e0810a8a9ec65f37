//! Tables as text: CSV, TSV and their relatives.
//!
//! Cells are split by the package `csv` and go row by row into one buffer a column, so that a table of a
//! million rows takes little more than its text. Before them stands what an author needs to know by its
//! line: ragged rows, columns named twice, quotes that do not end, bytes that are no text.

use super::cells::Columns;
use crate::spec::counted;
use arrow::array::RecordBatch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// What is asked of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked<'a> {
    /// Columns that stay text whatever they look like.
    pub(super) texts: Vec<&'a str>,
    /// The columns that are used at all, each of them as text; `None`: every one, with its type.
    pub(super) used: Option<Vec<&'a str>>,
    /// What separates the columns; `None`: it is recognised.
    pub(super) delimiter: Option<Delimiter>,
    /// Whether the file is a `.tsv`.
    pub(super) is_tsv: bool,
}

/// A table that was read from text.
pub(super) struct Delimited {
    pub(super) batch: RecordBatch,
    /// Every column of the file, those that are not used among them.
    pub(super) names: Vec<String>,
    /// Line of each row in the file, from 1.
    pub(super) lines: Vec<usize>,
    pub(super) delimiter: Delimiter,
    /// Lines without content, which were left out.
    pub(super) empty_lines: Vec<usize>,
}

/// What is known of a table beside its cells.
struct Found {
    names: Vec<String>,
    /// Line of each row, from 1.
    lines: Vec<usize>,
    delimiter: Delimiter,
    empty_lines: Vec<usize>,
}

/// A table as texts.
pub(crate) struct TableTexts {
    /// Names of the columns.
    pub(crate) names: Vec<String>,
    /// Rows that have content.
    pub(crate) rows: Vec<csv::StringRecord>,
    /// The line of each, from 1.
    pub(crate) lines: Vec<usize>,
}

/// Column names and rows of a table as text, the delimiter recognised; for looking at a table before
/// its columns are named.
///
/// **Errors** what was found, at which line, and what was expected.
pub(crate) fn texts(bytes: &[u8], is_tsv: bool) -> Result<TableTexts, String> {
    let asked = Asked {
        is_tsv,
        ..Asked::default()
    };
    let mut rows = Vec::new();
    let found = each_row(bytes, &asked, |_, row| rows.push(row.clone()))?;
    Ok(TableTexts {
        names: found.names,
        rows,
        lines: found.lines,
    })
}

/// Reads a table. Columns with leading zeros stay text as those that are asked for as text. Cells lose
/// the spaces around them; `n/a` is an empty cell in a `.tsv` file, as BIDS says.
///
/// Without a delimiter the one is taken with which the header names most of `asked.texts`, then the one that
/// splits it into most columns. Rows without any content are left out; their lines are in `empty_lines`.
///
/// **Errors** what was found, at which line, and what was expected.
pub(super) fn read(bytes: &[u8], asked: &Asked<'_>) -> Result<Delimited, String> {
    let new =
        |names: &[String]| Columns::new(names, &asked.texts, asked.used.as_deref(), asked.is_tsv);
    let mut columns = None;
    let found = each_row(bytes, asked, |names, row| {
        columns.get_or_insert_with(|| new(names)).add(row);
    })?;
    let columns = columns.unwrap_or_else(|| new(&found.names));
    Ok(Delimited {
        batch: columns.finish().map_err(|e| e.to_string())?,
        names: found.names,
        lines: found.lines,
        delimiter: found.delimiter,
        empty_lines: found.empty_lines,
    })
}

/// Calls `each` with the names of the columns and every row that has content. What it was called with is
/// of no use if the table has a fault.
fn each_row(
    bytes: &[u8],
    asked: &Asked<'_>,
    mut each: impl FnMut(&[String], &csv::StringRecord),
) -> Result<Found, String> {
    let text = text_of(bytes)?;
    let given = asked.delimiter.or(asked.is_tsv.then_some(Delimiter::Tab));
    let delimiter = given.unwrap_or_else(|| recognised(text, &asked.texts));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter.byte())
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    let (mut line, mut scanned) = (1, 0);
    let (mut header, mut last, mut ragged) = (None, None, None);
    let (mut lines, mut empty) = (Vec::new(), Vec::new());
    // The bytes are text, so that only reading from memory is left to fail.
    while reader.read_record(&mut record).map_err(|e| e.to_string())? {
        let start = record.position().map_or(scanned, |p| p.byte() as usize);
        // Blank lines before a row belong to its record.
        let blank = text[start..].len() - text[start..].trim_start_matches(['\r', '\n']).len();
        let start = start + blank;
        line += text[scanned..start].bytes().filter(|b| *b == b'\n').count();
        scanned = start;
        let Some((_, names)) = &header else {
            header = Some((line, column_names(line, &record)));
            continue;
        };
        last = Some((line, start));
        // A quote without an end, which is found behind the last row, is the cause of other faults.
        let Ok(names) = names else { continue };
        if record.iter().all(str::is_empty) {
            empty.push(line);
        } else if record.len() != names.len() {
            ragged.get_or_insert((line, record.len()));
        } else if ragged.is_none() {
            lines.push(line);
            each(names, &record);
        }
    }
    let Some((line, names)) = header else {
        let columns = match &asked.texts[..] {
            [] => "subject,ct".to_owned(),
            columns => columns.join(","),
        };
        return Err(format!(
            "the file is empty; expected a line of column names such as `{columns}`, and a line for each subject"
        ));
    };
    ends_quotes(text, last)?;
    let names: Vec<String> = names?;
    if let Some((line, cells)) = ragged {
        return Err(format!(
            "line {line} has {}, but the header has {} (separated by {}); write one cell a column, and put text that holds the delimiter in quotes",
            counted(cells, "cell"),
            counted(names.len(), "column"),
            delimiter.name()
        ));
    }
    if lines.is_empty() {
        return Err(format!(
            "the table ends behind its header (line {line}); list at least one subject"
        ));
    }
    Ok(Found {
        names,
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
