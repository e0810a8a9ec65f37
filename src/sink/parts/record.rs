//! Commit records and the index of merged parts, each row of which carries a checksum of itself.
//!
//! Parquet notices damage to what it must decode, and not a digit that became another one: a record with another
//! subject or number of rows would be believed.

use crate::sink::parquet::{create_table, read_table, write_table};
use crate::sink::{PartRow, SinkError};
use ::parquet::errors::ParquetError;
use std::path::Path;

impl PartRow {
    /// The row with the checksum of what it says.
    pub(super) fn sealed(self) -> Self {
        Self {
            checksum: self.sum(),
            ..self
        }
    }

    /// BLAKE3 over the other columns, in hex.
    fn sum(&self) -> String {
        let bare = Self {
            checksum: String::new(),
            ..self.clone()
        };
        let text = serde_json::to_vec(&bare).expect("a row is plain data");
        blake3::hash(&text).to_hex().to_string()
    }
}

/// Reads a commit record, or the index.
///
/// **Errors** as [`read_table`], and of damage where a row is not what was written.
pub(super) fn read(path: &Path) -> Result<Vec<PartRow>, SinkError> {
    let damage = |problem: String| SinkError::Parquet {
        path: path.to_owned(),
        action: "reading",
        source: ParquetError::General(problem),
    };
    let rows = match read_table::<PartRow>(path) {
        // A table of this name and version has the columns.
        Err(SinkError::Volume(e)) => return Err(damage(e.to_string())),
        rows => rows?,
    };
    match rows.iter().find(|row| row.checksum != row.sum()) {
        None => Ok(rows),
        Some(row) => Err(damage(format!(
            "what it says of `{}` has not the checksum that it was written with",
            row.part
        ))),
    }
}

/// Writes rows with their checksums, in the place of those of a record or index.
///
/// **Errors** as [`write_table`].
pub(super) fn write(path: &Path, rows: Vec<PartRow>) -> Result<(), SinkError> {
    let rows: Vec<PartRow> = rows.into_iter().map(PartRow::sealed).collect();
    write_table(path, &rows).map(drop)
}

/// Writes the record of a part, which has its checksum already; in a store only where there is none.
///
/// **Errors** as [`create_table`].
pub(super) fn create(path: &Path, row: &PartRow) -> Result<(), SinkError> {
    create_table(path, std::slice::from_ref(row))
}
