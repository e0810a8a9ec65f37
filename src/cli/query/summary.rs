//! What a statement took.

use crate::query::Answer;
use crate::spec::counted;

/// Rows, time and bytes of an answer as a line.
pub(super) fn took(answer: &Answer) -> String {
    let stats = &answer.stats;
    let rows = counted(stats.rows, "row");
    let read = match stats.bytes_read {
        0 => String::new(),
        bytes => format!(", {} read", bytesize::ByteSize(bytes)),
    };
    format!("{rows}, {:.3} s{read}", stats.time.as_secs_f64())
}
