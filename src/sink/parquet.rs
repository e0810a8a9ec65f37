//! Parquet files: the only door to the `parquet` package for output tables.
//!
//! A file is written under a hidden name beside its final one and renamed when it is whole, so a
//! reader, or a run that resumes, never meets half a table.

use super::rows::TableRow;
use super::stored::is_stored_volume;
use super::table::{NAME_KEY, VERSION_KEY};
use super::{SinkError, io_error};
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::arrow::{ArrowWriter, ProjectionMask};
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::schema::types::ColumnPath;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;

/// Rows of a row group that carries volumes: a reader holds a row group's column chunk at once.
const VOLUME_ROWS_A_GROUP: usize = 8;

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The file.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
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
    /// Opens a hidden file beside `path`; missing folders are made.
    ///
    /// **Errors** when the folder cannot be written.
    pub fn create(path: &Path, schema: SchemaRef) -> Result<Self, SinkError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(io_error(folder, "creating the folder"))?;
        let file = hidden_file(folder).map_err(io_error(path, "creating"))?;
        let properties = properties(&schema);
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
            let written = writer.write(batch);
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
        let bytes = publish(file, &path)?;
        Ok(Receipt { path, rows, bytes })
    }
}

/// Writes a file through a hidden one, whole or not at all; missing folders are made.
///
/// **Errors** when the folder or file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), SinkError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io_error(folder, "creating the folder"))?;
    let mut file = hidden_file(folder).map_err(io_error(path, "creating"))?;
    file.write_all(bytes).map_err(io_error(path, "writing"))?;
    publish(file, path).map(|_| ())
}

/// Writes a whole table, replacing an older one.
///
/// **Errors** as [`TableWriter`].
pub fn write_table<R: TableRow>(path: &Path, rows: &[R]) -> Result<Receipt, SinkError> {
    let mut writer = TableWriter::create(path, R::TABLE.arrow_schema())?;
    writer.write(&R::batch(rows)?)?;
    writer.close()
}

/// Adds rows to a table by writing it anew; a missing table is made.
///
/// **Errors** as [`read_table`] and [`TableWriter`]; the older table stays then.
pub fn append_table<R: TableRow>(path: &Path, rows: &[R]) -> Result<Receipt, SinkError> {
    let old = if path.exists() {
        read_batches(path)?
    } else {
        Vec::new()
    };
    let mut writer = TableWriter::create(path, R::TABLE.arrow_schema())?;
    for batch in &old {
        check_schema::<R>(path, &batch.schema())?;
        writer.write(&R::batch(&R::read(batch)?)?)?;
    }
    writer.write(&R::batch(rows)?)?;
    writer.close()
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

/// Reads every record batch of a Parquet file; volumes come in batches of few rows.
///
/// **Errors** when the file is absent or damaged.
pub fn read_batches(path: &Path) -> Result<Vec<RecordBatch>, SinkError> {
    read(path, None)
}

/// Reads some columns of a Parquet file; the bytes of the others are not read.
///
/// **Errors** as [`read_batches`]; a column that the file lacks is left out.
pub fn read_columns(path: &Path, names: &[&str]) -> Result<Vec<RecordBatch>, SinkError> {
    read(path, Some(names))
}

fn read(path: &Path, names: Option<&[&str]>) -> Result<Vec<RecordBatch>, SinkError> {
    let file = File::open(path).map_err(io_error(path, "opening"))?;
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(parquet_error(path, "reading the footer"))?;
    let mut schema = builder.schema().clone();
    if let Some(names) = names {
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        builder = builder.with_projection(mask);
        let fields = schema.fields().iter();
        let kept = fields.filter(|f| names.contains(&f.name().as_str()));
        let fields: Vec<_> = kept.cloned().collect();
        schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    }
    let rows_a_batch = if has_volumes(&schema) { 1 } else { 8192 };
    let reader = builder
        .with_batch_size(rows_a_batch)
        .build()
        .map_err(parquet_error(path, "reading"))?;
    let mut batches = Vec::new();
    for batch in reader {
        // The reader drops the schema's own metadata: name and version.
        let batch = batch.and_then(|b| b.with_schema(schema.clone()));
        batches.push(batch.map_err(|e| parquet_error(path, "reading")(e.into()))?);
    }
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// Writes batches of one schema as Parquet into a stream that cannot be renamed, such as stdout.
///
/// **Errors** are Parquet's and the stream's.
pub fn write_stream(
    out: impl Write + Send,
    schema: SchemaRef,
    batches: &[RecordBatch],
) -> Result<(), ParquetError> {
    let properties = properties(&schema);
    let mut writer = ArrowWriter::try_new(out, schema, Some(properties))?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.close().map(|_| ())
}

/// Whether any column holds stored volumes.
pub fn has_volumes(schema: &Schema) -> bool {
    schema
        .fields()
        .iter()
        .any(|f| is_stored_volume(f.data_type()))
}

fn properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("voxstream ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()));
    if has_volumes(schema) {
        // The default buffers 1024 values before it looks at their size.
        properties = properties
            .set_max_row_group_row_count(Some(VOLUME_ROWS_A_GROUP))
            .set_write_batch_size(1);
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

fn hidden_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".part");
    #[cfg(unix)]
    {
        // Temporary files are private by default; tables are for everyone the umask lets in.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

fn publish(file: NamedTempFile, path: &Path) -> Result<u64, SinkError> {
    // Without it, a crash of the machine could leave the name without the bytes.
    file.as_file()
        .sync_all()
        .map_err(io_error(path, "flushing"))?;
    let bytes = file
        .as_file()
        .metadata()
        .map_err(io_error(path, "measuring"))?
        .len();
    file.persist(path)
        .map_err(|e| io_error(path, "renaming into place")(e.error))?;
    Ok(bytes)
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
