//! What a statement took.

use crate::query::Answer;

/// Rows, time and bytes of an answer as a line.
pub(super) fn took(answer: &Answer) -> String {
    let stats = &answer.stats;
    let rows = match stats.rows {
        1 => "1 row".to_owned(),
        n => format!("{n} rows"),
    };
    let read = match stats.bytes_read {
        0 => String::new(),
        bytes => format!(", {} read", bytesize::ByteSize(bytes)),
    };
    format!("{rows}, {:.3} s{read}", stats.time.as_secs_f64())
}
