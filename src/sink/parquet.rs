//! Parquet files: the only door to the `parquet` package for output tables.
//!
//! A file is written under a hidden name beside its final one and renamed when it is whole, so a
//! reader, or a run that resumes, never meets half a table. What is read may be an object in a store.

mod publish;
mod reading;
mod table_file;

use super::rows::TableRow;
use super::stored::is_stored_volume;
use super::table::{NAME_KEY, VERSION_KEY};
use super::{SinkError, io_error};
use crate::store;
use crate::volume::nifti;
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::schema::types::ColumnPath;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
pub(super) use publish::sync_folder;
use publish::{DRAFT, folder_of, hidden_file, publish};
pub(super) use reading::for_each_batch;
pub use reading::{check_table, read_batches, schema_of};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Most rows of a row group that carries volumes and is written in one piece, such as the answer of
/// a query: a reader holds a row group's column chunk at once.
const VOLUME_ROWS_A_GROUP: usize = 8;
/// Bytes at which a table with volumes begins another row group: a large subject has one of its
/// own, and ten thousand tiny ones do not have ten thousand.
const VOLUME_BYTES_A_GROUP: usize = 1 << 20;

/// Rows up to which a table is not compressed: a page of few numbers grows by it, and beginning a stream of zstd
/// costs more than all else that is done for such a column.
const FEW_ROWS: usize = 32;

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The file.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of what was uploaded, in hex; `None` of a local file.
    pub digest: Option<String>,
}

/// Writes one Parquet file that appears under its name when [`TableWriter::close`] succeeds.
///
/// Dropped without `close`, it leaves nothing behind.
#[derive(Debug)]
pub struct TableWriter {
    path: PathBuf,
    schema: SchemaRef,
    rows: u64,
    /// `None` after a failed write: Parquet would close such a file without an error and without
    /// the row.
    writer: Option<ArrowWriter<NamedTempFile>>,
}

impl TableWriter {
    /// Opens a hidden file beside `path`; missing folders are made. What goes to a store is written to
    /// the folder of temporary files first, and uploaded by `close`.
    ///
    /// **Errors** when the folder cannot be written.
    pub fn create(path: &Path, schema: SchemaRef) -> Result<Self, SinkError> {
        let properties = properties(&schema, None, compression(None));
        Self::open(path, schema, properties)
    }

    fn open(
        path: &Path,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, SinkError> {
        let file = hidden_file(&folder_of(path)?).map_err(io_error(path, "creating"))?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(parquet_error(path, "creating"))?;
        Ok(Self {
            path: path.to_owned(),
            schema,
            rows: 0,
            writer: Some(writer),
        })
    }

    /// Appends rows.
    ///
    /// **Errors** when the file cannot be written; the table is lost then, and every later call
    /// says so.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let writer = self.writer.as_mut().ok_or_else(|| SinkError::Broken {
            path: self.path.clone(),
        })?;
        let written = if batch.schema().fields() == self.schema.fields() {
            let written = writer.write(batch).and_then(|()| {
                let is_full = writer.in_progress_size() >= VOLUME_BYTES_A_GROUP;
                match is_full && has_volumes(&self.schema) {
                    true => writer.flush(),
                    false => Ok(()),
                }
            });
            written.map_err(parquet_error(&self.path, "writing"))
        } else {
            Err(SinkError::Schema {
                path: self.path.clone(),
                found: format!("columns {}", column_names(&batch.schema())),
                expected: format!("{} as declared", column_names(&self.schema)),
            })
        };
        match written {
            Ok(()) => self.rows += batch.num_rows() as u64,
            Err(_) => self.writer = None,
        }
        written
    }

    /// Whether a batch has the columns of the table.
    ///
    /// **Errors** say which it has, and which the table has; the table stays as it is.
    pub fn check_columns(&self, batch: &RecordBatch) -> Result<(), String> {
        if batch.schema().fields() == self.schema.fields() {
            return Ok(());
        }
        let (found, expected) = (column_names(&batch.schema()), column_names(&self.schema));
        Err(match found == expected {
            true => format!("columns {found} with other types or descriptions"),
            false => format!("columns {found}, expected {expected}"),
        })
    }

    /// Finishes the file and gives it its name, replacing an older one.
    ///
    /// **Errors** when the file cannot be finished or a write failed before; nothing appears then.
    pub fn close(self) -> Result<Receipt, SinkError> {
        let Self {
            path, rows, writer, ..
        } = self;
        let writer = writer.ok_or_else(|| SinkError::Broken { path: path.clone() })?;
        let file = writer
            .into_inner()
            .map_err(parquet_error(&path, "finishing"))?;
        let (bytes, digest) = publish(file, &path)?;
        Ok(Receipt {
            path,
            rows,
            bytes,
            digest,
        })
    }
}

/// Writes a file through a hidden one, whole or not at all; missing folders are made. An object is put
/// in its store; a pipe or device is written into, and the file that a link leads to is replaced.
///
/// **Errors** when the folder or file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), SinkError> {
    if store::is_url(path) {
        return store::write(path, bytes).map_err(io_error(path, "writing"));
    }
    let mut file = hidden_file(&folder_of(path)?).map_err(io_error(path, "creating"))?;
    file.write_all(bytes).map_err(io_error(path, "writing"))?;
    publish(file, path).map(|_| ())
}

/// Writes a whole table, replacing an older one.
///
/// **Errors** as [`TableWriter`].
pub fn write_table<R: TableRow>(path: &Path, rows: &[R]) -> Result<Receipt, SinkError> {
    let schema = R::TABLE.arrow_schema();
    let properties = properties(&schema, None, compression(Some(rows.len())));
    let mut writer = TableWriter::open(path, schema, properties)?;
    writer.write(&R::batch(rows)?)?;
    writer.close()
}

/// Writes a table that nobody may have written yet; an object is put only where there is none.
///
/// **Errors** as [`write_table`]; [`SinkError::Io`] of kind `AlreadyExists` if the object is there.
pub fn create_table<R: TableRow>(path: &Path, rows: &[R]) -> Result<(), SinkError> {
    if !store::is_url(path) {
        return write_table(path, rows).map(drop);
    }
    let (mut bytes, schema) = (Vec::new(), R::TABLE.arrow_schema());
    let properties = properties(&schema, None, compression(Some(rows.len())));
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties))
        .map_err(parquet_error(path, "creating"))?;
    writer
        .write(&R::batch(rows)?)
        .and_then(|()| writer.close())
        .map_err(parquet_error(path, "writing"))?;
    store::create(path, &bytes)
        .map(drop)
        .map_err(io_error(path, "committing"))
}

/// Reads a table.
///
/// **Errors** when the file is damaged, is another table or was written by a newer version.
pub fn read_table<R: TableRow>(path: &Path) -> Result<Vec<R>, SinkError> {
    let mut rows = Vec::new();
    for batch in read_batches(path)? {
        check_schema::<R>(path, &batch.schema())?;
        rows.extend(R::read(&batch)?);
    }
    Ok(rows)
}

/// Writes batches of one schema as Parquet into a stream that cannot be renamed, such as stdout.
///
/// **Errors** are Parquet's and the stream's.
pub fn write_stream(
    out: impl Write + Send,
    schema: SchemaRef,
    batches: &[RecordBatch],
) -> Result<(), ParquetError> {
    let properties = properties(&schema, Some(VOLUME_ROWS_A_GROUP), compression(None));
    let mut writer = ArrowWriter::try_new(out, schema, Some(properties))?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.close().map(|_| ())
}

/// Returns `true` if any column holds stored volumes.
pub fn has_volumes(schema: &Schema) -> bool {
    schema
        .fields()
        .iter()
        .any(|f| is_stored_volume(f.data_type()))
}

/// How a table is compressed, but for voxels, which are by themselves; `rows` where it is known how many it has.
fn compression(rows: Option<usize>) -> Compression {
    match rows {
        Some(..=FEW_ROWS) => Compression::UNCOMPRESSED,
        _ => Compression::ZSTD(ZstdLevel::default()),
    }
}

/// How a table is written; `volume_rows` bounds the row groups of one with volumes.
fn properties(
    schema: &Schema,
    volume_rows: Option<usize>,
    compression: Compression,
) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("voxstream ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression);
    if has_volumes(schema) {
        // The default buffers 1024 values before it looks at their size.
        properties = properties.set_write_batch_size(1);
        if volume_rows.is_some() {
            properties = properties.set_max_row_group_row_count(volume_rows);
        }
    }
    for field in schema.fields() {
        if is_stored_volume(field.data_type()) {
            let voxels = ColumnPath::new(vec![field.name().clone(), "voxels".to_owned()]);
            properties = properties
                .set_column_compression(voxels.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(voxels.clone(), false)
                .set_column_statistics_enabled(voxels, EnabledStatistics::None);
        }
    }
    properties.build()
}

fn check_schema<R: TableRow>(path: &Path, schema: &Schema) -> Result<(), SinkError> {
    let table = R::TABLE;
    let key = |key: &str| schema.metadata().get(key).map_or("none", String::as_str);
    let (name, version) = (key(NAME_KEY), key(VERSION_KEY));
    if name == table.name && version == table.version.to_string() {
        return Ok(());
    }
    Err(SinkError::Schema {
        path: path.to_owned(),
        found: format!("table `{name}` version {version}"),
        expected: format!(
            "`{}` version {}; read it with the version that wrote it",
            table.name, table.version
        ),
    })
}

fn column_names(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names.join(", ")
}

/// Returns `true` if a path is that of a file in the making, a table or a NIfTI file, which a killed
/// run leaves behind.
pub(crate) fn is_draft(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    name.starts_with(DRAFT[0]) && (name.ends_with(DRAFT[1]) || name.ends_with(nifti::DRAFT))
}

fn parquet_error<'a>(
    path: &'a Path,
    action: &'static str,
) -> impl Fn(ParquetError) -> SinkError + 'a {
    move |source| SinkError::Parquet {
        path: path.to_owned(),
        action,
        source,
    }
}

#[cfg(test)]
mod tests;
