//! Cells of a table as Arrow columns.

use arrow::array::{
    Array as _, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use regex::Regex;
use std::io::Cursor;
use std::sync::Arc;

/// How BIDS writes a cell without a value.
const NO_VALUE: &str = "n/a";

/// A column that is used.
struct Column {
    name: String,
    /// Where it stands in a row.
    at: usize,
    is_text: bool,
    /// Cells without a value are null in a column of text, and as written in one whose type is inferred.
    cells: StringBuilder,
}

/// The columns of a table that are used, while its rows are read.
pub(super) struct Columns {
    columns: Vec<Column>,
    rows: usize,
    is_tsv: bool,
}

impl Columns {
    /// Of a table with columns of these names those in `used`, as text, or all of them, where those in `texts`
    /// are text whatever they look like.
    pub(super) fn new(
        names: &[String],
        texts: &[&str],
        used: Option<&[&str]>,
        is_tsv: bool,
    ) -> Self {
        let column = |(at, name): (usize, &String)| Column {
            name: name.clone(),
            at,
            is_text: used.is_some() || texts.contains(&name.as_str()),
            cells: StringBuilder::new(),
        };
        let is_used =
            |(_, name): &(usize, &String)| used.is_none_or(|used| used.contains(&name.as_str()));
        Self {
            columns: (names.iter().enumerate())
                .filter(is_used)
                .map(column)
                .collect(),
            rows: 0,
            is_tsv,
        }
    }

    /// Adds a row that has a cell for every column of the table.
    pub(super) fn add(&mut self, row: &csv::StringRecord) {
        self.rows += 1;
        for column in &mut self.columns {
            let cell = row.get(column.at).unwrap_or_default();
            let is_null = cell.is_empty() || (self.is_tsv && cell == NO_VALUE);
            match is_null && column.is_text {
                true => column.cells.append_null(),
                false => column.cells.append_value(cell),
            }
        }
    }

    /// The columns, in their order in the table, with the types that Arrow infers where they are not text.
    ///
    /// **Errors** if Arrow reads a cell with another type than it inferred.
    pub(super) fn finish(self) -> Result<RecordBatch, Box<dyn std::error::Error>> {
        let (mut fields, mut arrays): (Vec<FieldRef>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        let mut others = Vec::new();
        for Column {
            name,
            is_text,
            mut cells,
            ..
        } in self.columns
        {
            let cells = cells.finish();
            if !is_text {
                others.push((fields.len(), name.clone(), cells.clone()));
            }
            fields.push(Arc::new(Field::new(name, DataType::Utf8, true)));
            arrays.push(Arc::new(cells));
        }
        if let [_, ..] = &others[..] {
            let typed = typed(&others, self.is_tsv)?;
            let schema = typed.schema();
            let places = others.iter().map(|(place, ..)| *place);
            for ((place, field), array) in places.zip(schema.fields()).zip(typed.columns()) {
                fields[place] = Arc::clone(field);
                arrays[place] = Arc::clone(array);
            }
        }
        // The table may have none of the columns; which one is missing is said by whoever needs it.
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let schema = Arc::new(Schema::new(fields));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }
}

/// Columns with the types that Arrow infers.
fn typed(
    columns: &[(usize, String, StringArray)],
    is_tsv: bool,
) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let rows = columns.first().map_or(0, |(_, _, cells)| cells.len());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|(_, name, _)| name))?;
    for row in 0..rows {
        writer.write_record(columns.iter().map(|(_, _, cells)| cells.value(row)))?;
    }
    let bytes = writer.into_inner()?;
    let format = arrow::csv::reader::Format::default().with_header(true);
    let format = match is_tsv {
        true => format.with_null_regex(Regex::new(&format!("^({NO_VALUE})?$"))?),
        false => format,
    };
    let (inferred, _) = format.infer_schema(Cursor::new(&bytes), None)?;
    // An id `007` is not the number 7.
    let zero = |cell: &str| {
        cell.starts_with('0') && cell.len() > 1 && cell.bytes().all(|b| b.is_ascii_digit())
    };
    let fields: Vec<FieldRef> = (inferred.fields().iter().zip(columns))
        .map(|(field, (_, name, cells))| {
            let zeros = cells.iter().flatten().any(zero);
            let kind = match zeros || *field.data_type() == DataType::Null {
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
