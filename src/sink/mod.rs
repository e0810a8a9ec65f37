//! Everything that lasts: output tables, prepared rows, volumes in Parquet.
//!
//! Whatever is written appears under its final name whole or not at all; what belongs together is
//! committed together, see [`parts`]. Each table is defined
//! once, in [`rows`]: the Rust row, the Arrow schema with units and documentation, the committed
//! JSON description and the reader used by a resumed run all come from that definition.

mod cell;
pub mod codec;
mod error;
mod keys;
pub mod parquet;
pub mod parts;
pub mod prepared;
pub mod rows;
pub mod stored;
pub mod table;
pub mod tables;

pub(crate) use error::io_error;
pub use error::{SinkError, causes};
pub use parquet::{Receipt, TableWriter, read_table, write_table};
pub use parts::{Ledger, PartWriter, read_run_table};
pub use prepared::{encode_prepared, file_stem, read_prepared, read_prepared_where, write_nifti};
pub use rows::{
    EdgeRow, FailureRow, FingerprintClassRow, FingerprintRow, MetricRow, PartRow,
    PostprocessingRow, PredictionRow, PseudoLabelRow, QualityRow, ScoreRow, SubjectRow, TableRow,
    ViewRow, WarningRow,
};
pub use stored::{read_stored_volume, stored_volume_array};
pub use table::{ColumnDef, ColumnType, TableDef};
pub use tables::TABLES;
