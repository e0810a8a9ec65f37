//! Answers that fit the terminal: long texts are cut, descriptions are wrapped.

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// Longest texts that are tried, until the table is narrow enough.
const LENGTHS: [usize; 6] = [80, 60, 40, 30, 22, 16];
/// Narrowest column of a wrapped text.
const NARROWEST: usize = 20;

/// Shows batches by `print` so that no line is longer than `width` if cutting texts can do it.
///
/// **Errors** those of `print`.
pub(super) fn fitted<E>(
    batches: &[RecordBatch],
    width: usize,
    print: impl Fn(&[RecordBatch]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let mut text = print(batches)?;
    for length in LENGTHS {
        if widest(&text) <= width {
            break;
        }
        let cut: Vec<RecordBatch> = batches.iter().map(|b| cut(b, length)).collect();
        text = print(&cut)?;
    }
    Ok(text)
}

/// Letters of the longest line.
pub(super) fn widest(text: &[u8]) -> usize {
    let text = String::from_utf8_lossy(text);
    text.lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
}

/// A batch whose texts have at most so many letters; the last one of a cut text is `…`.
fn cut(batch: &RecordBatch, length: usize) -> RecordBatch {
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if *column.data_type() != DataType::Utf8 {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
            continue;
        }
        let texts = column.as_string::<i32>().iter();
        let texts = texts.map(|text| text.map(|text| shortened(text, length)));
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(texts.collect::<StringArray>()));
    }
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
        .expect("columns keep their types and lengths")
}

fn shortened(text: &str, length: usize) -> String {
    match text.chars().count() > length {
        true => text.chars().take(length - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// Rows as lines: every column but the last as wide as it needs to be, the last one wrapped.
pub(super) fn wrapped(batch: &RecordBatch, width: usize) -> String {
    let columns: Vec<Vec<String>> = batch.columns().iter().map(texts).collect();
    let Some((last, heads)) = columns.split_last() else {
        return String::new();
    };
    let letters = |text: &String| text.chars().count();
    let widths: Vec<usize> = heads
        .iter()
        .map(|column| column.iter().map(letters).max().unwrap_or(0))
        .collect();
    let indent = widths.iter().map(|w| w + 2).sum::<usize>();
    let room = width.saturating_sub(indent).max(NARROWEST);
    let mut out = String::new();
    for (row, text) in last.iter().enumerate() {
        for (column, &width) in heads.iter().zip(&widths) {
            out.push_str(&format!("{:<width$}  ", column[row]));
        }
        for (i, line) in lines(text, room).iter().enumerate() {
            if i > 0 {
                out.push_str(&" ".repeat(indent));
            }
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Values as texts; nulls are empty.
fn texts(column: &ArrayRef) -> Vec<String> {
    let formatter = arrow::util::display::ArrayFormatter::try_new(column, &Default::default());
    let Ok(formatter) = formatter else {
        return vec![String::new(); column.len()];
    };
    let value = |i: usize| formatter.value(i).to_string();
    (0..column.len()).map(value).collect()
}

/// A text in lines of at most so many letters, broken at spaces; at least one line.
fn lines(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is a first line");
        let taken = last.chars().count();
        if taken > 0 && taken + 1 + word.chars().count() > room {
            lines.push(word.to_owned());
        } else {
            if taken > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    fn batch() -> RecordBatch {
        let text: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a long text that does not fit into thirty letters"),
            None,
        ]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        RecordBatch::try_from_iter_with_nullable([("n", number, true), ("text", text, true)])
            .unwrap()
    }

    fn printed(batches: &[RecordBatch]) -> Result<Vec<u8>, crate::query::QueryError> {
        let mut out = Vec::new();
        crate::query::print(batches, crate::query::Format::Table, &mut out)?;
        Ok(out)
    }

    #[test]
    fn texts_are_cut_until_the_table_fits() {
        let whole = fitted(&[batch()], 80, printed).unwrap();
        assert!(String::from_utf8_lossy(&whole).contains("thirty letters"));
        let narrow = fitted(&[batch()], 40, printed).unwrap();
        assert!(widest(&narrow) <= 40);
        assert!(String::from_utf8_lossy(&narrow).contains("a long text that does not fit…"));
        // What cannot fit is shown all the same.
        assert!(widest(&fitted(&[batch()], 5, printed).unwrap()) > 5);
    }

    #[test]
    fn the_last_column_is_wrapped() {
        assert_eq!(
            wrapped(&batch(), 30),
            "1  a long text that does not\n   fit into thirty letters\n2  \n"
        );
    }
}
