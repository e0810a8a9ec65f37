//! Reads a manifest into Arrow and selects rows of it with SQL.

use super::super::SourceError;
use super::delimited::Asked;
use super::{Delimiter, ManifestColumns, delimited, lists};
use crate::query::Predicate;
use crate::spec::counted;
use crate::spec::suggest;
use crate::store;
use arrow::array::{Array as _, AsArray, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Column that remembers where a row stood before `where`.
const POSITION: &str = "voxstream_row";

/// Name of the column of positions in messages.
enum Positions {
    /// Lines of a file, and what separates its columns.
    Lines(Vec<usize>, Delimiter),
    /// Rows, from 1.
    Rows,
    /// Names of their own, such as `training[3]`.
    Entries(Vec<String>),
}

/// Rows of a manifest.
pub(super) struct Table {
    path: PathBuf,
    batch: RecordBatch,
    /// Names of the columns, those among them that nothing asks for.
    names: Vec<String>,
    positions: Positions,
    /// Lines without content, which were left out.
    empty_lines: Vec<usize>,
}

/// A column as text.
pub(super) struct Texts(StringArray);

impl Texts {
    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The cell of a row; `None` if it is empty.
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        let cell = self.0.is_valid(row).then(|| self.0.value(row));
        cell.filter(|text| !text.trim().is_empty())
    }
}

impl Table {
    /// Reads a CSV, TSV, Parquet or JSON file; a JSON list brings its own columns. What `asked` says
    /// concerns text, but for its `is_tsv`, which the file's name says.
    pub(super) fn read(
        path: &Path,
        asked: Asked<'_>,
        modalities: Option<&[String]>,
    ) -> Result<(Self, Option<ManifestColumns>), SourceError> {
        let problem = |problem: String| SourceError::Manifest {
            path: path.to_path_buf(),
            problem,
        };
        let kind = path
            .extension()
            .map(|e| e.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        let (mut columns, mut names) = (None, None);
        let mut empty_lines = Vec::new();
        let (batch, positions) = match kind.as_str() {
            "csv" | "tsv" | "txt" => {
                let bytes = store::read(path).map_err(|source| io(path, source))?;
                let is_tsv = kind == "tsv";
                let read = delimited::read(&bytes, &Asked { is_tsv, ..asked });
                let read = read.map_err(problem)?;
                (empty_lines, names) = (read.empty_lines, Some(read.names));
                (read.batch, Positions::Lines(read.lines, read.delimiter))
            }
            "parquet" => (read_parquet(path)?, Positions::Rows),
            "json" => {
                let text = store::read_to_string(path).map_err(|source| io(path, source))?;
                let value: serde_json::Value = serde_json::from_str(&text)
                    .map_err(|e| problem(format!("this is not JSON: {e}")))?;
                match value {
                    serde_json::Value::Array(rows) => {
                        (batch_from_json(path, &rows)?, Positions::Rows)
                    }
                    value => {
                        let list = lists::read(&value, modalities).map_err(problem)?;
                        columns = Some(list.columns);
                        (
                            batch_from_json(path, &list.rows)?,
                            Positions::Entries(list.positions),
                        )
                    }
                }
            }
            _ => {
                return Err(problem(
                    "unknown kind of table; expected .csv, .tsv, .txt, .parquet or .json"
                        .to_owned(),
                ));
            }
        };
        let of_batch = || {
            let schema = batch.schema();
            let fields = schema.fields().iter();
            fields.map(|field| field.name().clone()).collect()
        };
        let names = names.unwrap_or_else(of_batch);
        let batch = with_positions(&batch).map_err(|e| problem(e.to_string()))?;
        let table = Self {
            path: path.to_path_buf(),
            batch,
            names,
            positions,
            empty_lines,
        };
        Ok((table, columns))
    }

    /// Which lines were left out because they have no content, in words; `None` if there are none.
    pub(super) fn empty_lines(&self) -> Option<String> {
        let lines: Vec<String> = self.empty_lines.iter().map(usize::to_string).collect();
        (!lines.is_empty()).then(|| {
            format!(
                "{}: rows without content are left out (line {})",
                self.path.display(),
                lines.join(", ")
            )
        })
    }

    /// The manifest.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error about this manifest.
    pub(super) fn problem(&self, problem: String) -> SourceError {
        SourceError::Manifest {
            path: self.path.clone(),
            problem,
        }
    }

    /// Where a row stands in the manifest, for messages.
    pub(super) fn position(&self, row: usize) -> String {
        let before = self
            .batch
            .column_by_name(POSITION)
            .map_or(row, |c| c.as_primitive::<UInt64Type>().value(row) as usize);
        match &self.positions {
            Positions::Lines(lines, _) => match lines.get(before) {
                Some(line) => format!("line {line}"),
                None => format!("row {}", before + 1),
            },
            Positions::Rows => format!("row {}", before + 1),
            Positions::Entries(names) => names
                .get(before)
                .cloned()
                .unwrap_or_else(|| format!("entry {before}")),
        }
    }

    /// A column as text.
    ///
    /// **Errors** if there is no such column, or it holds no text and nothing that reads as one.
    pub(super) fn text(&self, column: &str) -> Result<Texts, SourceError> {
        let Some(array) = self.batch.column_by_name(column) else {
            let known: Vec<&str> = self.names.iter().map(String::as_str).collect();
            let assumed = match &self.positions {
                Positions::Lines(_, delimiter) => format!(
                    " (columns are separated by {}; if that is wrong, set `delimiter`)",
                    delimiter.name()
                ),
                _ => String::new(),
            };
            return Err(self.problem(format!(
                "there is no column `{column}`; {}{assumed}",
                suggest(column, &known)
            )));
        };
        let array = cast(array, &DataType::Utf8).map_err(|_| {
            self.problem(format!(
                "column `{column}` holds {}; expected text",
                array.data_type()
            ))
        })?;
        Ok(Texts(array.as_string::<i32>().clone()))
    }

    /// The columns of the file.
    fn columns(&self) -> SchemaRef {
        let fields = self.batch.schema_ref().fields().iter();
        let own = fields.filter(|field| field.name() != POSITION);
        same_metadata(own.cloned().collect(), self.batch.schema_ref())
    }

    /// The rows that satisfy an SQL condition.
    pub(super) fn select(self, condition: &str) -> Result<Self, SourceError> {
        let problem = |problem: String| SourceError::Where {
            clause: condition.to_owned(),
            problem,
        };
        let total = self.batch.num_rows();
        let batch = run_where(&self.batch, condition).map_err(|e| {
            // The engine names columns as its own tables do; the predicate knows the nearest name.
            let own = Predicate::compile(condition, self.columns());
            problem(own.err().unwrap_or_else(|| e.strip_backtrace()))
        })?;
        if batch.num_rows() == 0 {
            return Err(problem(format!(
                "none of its {} satisfies it; loosen it or check its values",
                counted(total, "row")
            )));
        }
        Ok(Self { batch, ..self })
    }
}

/// Runs the condition on a thread of its own: the caller may stand inside a runtime already.
fn run_where(
    batch: &RecordBatch,
    condition: &str,
) -> Result<RecordBatch, datafusion::error::DataFusionError> {
    let query = async {
        // Names as written: a column `Age` is found as Age.
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .set_bool("datafusion.sql_parser.enable_ident_normalization", false);
        let context = SessionContext::new_with_config(config);
        context.register_batch("cohort", batch.clone())?;
        // The line break ends a comment in the condition before the bracket.
        let sql = format!("SELECT * FROM cohort WHERE ({condition}\n)");
        let frame = context.sql(&sql).await?;
        let batches = frame.collect().await?;
        let schema = batches
            .first()
            .map_or_else(|| batch.schema(), RecordBatch::schema);
        Ok(concat_batches(&schema, &batches)?)
    };
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(query)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("source-where".to_owned())
            .spawn_scoped(scope, run)?;
        thread.join().unwrap_or_else(|_| {
            Err(datafusion::error::DataFusionError::Internal(
                "the query engine panicked".to_owned(),
            ))
        })
    })
}

fn io(path: &Path, source: std::io::Error) -> SourceError {
    SourceError::Io {
        path: path.to_path_buf(),
        source,
    }
}

fn manifest_error(path: &Path, error: &ArrowError) -> SourceError {
    SourceError::Manifest {
        path: path.to_path_buf(),
        problem: error.to_string(),
    }
}

fn read_parquet(path: &Path) -> Result<RecordBatch, SourceError> {
    if store::is_url(path) {
        let bytes = store::read(path).map_err(|source| io(path, source))?;
        return read_batches(path, bytes::Bytes::from(bytes));
    }
    let file = File::open(path).map_err(|source| io(path, source))?;
    read_batches(path, file)
}

fn read_batches(path: &Path, file: impl ChunkReader + 'static) -> Result<RecordBatch, SourceError> {
    let arrow = |e: ArrowError| manifest_error(path, &e);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| arrow(ArrowError::from(e)))?;
    let reader = builder.build().map_err(|e| arrow(ArrowError::from(e)))?;
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(arrow)?;
    concat_batches(&schema, &batches).map_err(arrow)
}

fn batch_from_json(path: &Path, rows: &[serde_json::Value]) -> Result<RecordBatch, SourceError> {
    let arrow = |e: ArrowError| manifest_error(path, &e);
    let inferred =
        arrow::json::reader::infer_json_schema_from_iterator(rows.iter().map(Ok)).map_err(arrow)?;
    let schema = Arc::new(inferred);
    let mut decoder = arrow::json::ReaderBuilder::new(schema.clone())
        .with_batch_size(rows.len().max(1))
        .build_decoder()
        .map_err(arrow)?;
    decoder.serialize(rows).map_err(arrow)?;
    let batch = decoder.flush().map_err(arrow)?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}

fn same_metadata(fields: Vec<FieldRef>, of: &Schema) -> SchemaRef {
    Arc::new(Schema::new_with_metadata(fields, of.metadata().clone()))
}

fn with_positions(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let old = batch.schema();
    let mut fields: Vec<FieldRef> = old.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(POSITION, DataType::UInt64, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from_iter_values(
        0..batch.num_rows() as u64,
    )));
    RecordBatch::try_new(same_metadata(fields, &old), columns)
}
