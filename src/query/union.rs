//! One table over the files of many runs, with columns that say of which run a row is.

use super::QueryError;
use super::error::damaged;
use super::located::located;
use super::runs::Run;
use crate::sink::TableDef;
use crate::sink::parquet::schema_of;
use crate::sink::table::{DOC_KEY, VERSION_KEY};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// Columns in front of those of the files, with type and meaning.
const OF_RUN: [(&str, DataType, bool, &str); 4] = [
    (
        "run",
        DataType::Utf8,
        false,
        "The run: its path below the folder that was asked about.",
    ),
    (
        "pipeline",
        DataType::Utf8,
        true,
        "Name of the run's pipeline; null if the run noted none.",
    ),
    (
        "fold",
        DataType::Int64,
        true,
        "Fold of a cross-validation, from 0; null where there is none.",
    ),
    (
        "seed",
        DataType::UInt64,
        true,
        "Seed of the run's pipeline; null if the run noted none.",
    ),
];

/// The fields that say of which run a row is.
pub(super) fn run_fields() -> Vec<FieldRef> {
    let field = |(name, dtype, nullable, doc): &(&str, DataType, bool, &str)| {
        let metadata = HashMap::from([(DOC_KEY.to_owned(), (*doc).to_owned())]);
        Arc::new(Field::new(*name, dtype.clone(), *nullable).with_metadata(metadata))
    };
    OF_RUN.iter().map(field).collect()
}

/// The values of those fields for a run.
fn values_of(run: &Run) -> Vec<ScalarValue> {
    vec![
        ScalarValue::Utf8(Some(run.name.clone())),
        ScalarValue::Utf8(run.pipeline.clone()),
        ScalarValue::Int64(run.fold),
        ScalarValue::UInt64(run.seed),
    ]
}

/// The files of one table in every run.
#[derive(Debug)]
pub(super) struct UnionTable {
    /// Schema of the files.
    files: SchemaRef,
    /// Schema of the table.
    whole: SchemaRef,
    /// Returns `true` if the columns of the run are in front.
    tells_run: bool,
    runs: Vec<(Run, Vec<PathBuf>)>,
}

impl UnionTable {
    /// Opens a table: reads the schema of its first file in each run.
    ///
    /// Runs of different versions may differ: columns are those of the newest version, then those
    /// that only others have; a run without a column has nulls in it.
    ///
    /// **Errors** name the file that is no table.
    pub(super) fn open(runs: &[&Run], table: &str, tells_run: bool) -> Result<Self, QueryError> {
        Self::with_columns(runs, table, tells_run, None)
    }

    /// Opens a table for views: it has the columns of its definition too, null where a run of an
    /// older version did not write them, and the columns of the run.
    ///
    /// **Errors** as [`UnionTable::open`].
    pub(super) fn complete(runs: &[&Run], table: &TableDef) -> Result<Self, QueryError> {
        Self::with_columns(runs, table.name, true, Some(table.arrow_schema()))
    }

    fn with_columns(
        runs: &[&Run],
        table: &str,
        tells_run: bool,
        wanted: Option<SchemaRef>,
    ) -> Result<Self, QueryError> {
        let mut schemas = Vec::new();
        let mut all = Vec::new();
        for run in runs {
            let files = run.files(table);
            let Some(first) = files.first() else { continue };
            let schema = schema_of(first);
            schemas.push(schema.map_err(|e| damaged(&run.path, first.clone(), &e))?);
            all.push(((*run).clone(), files.to_vec()));
        }
        schemas.extend(wanted);
        Ok(Self::over(merged(&schemas), all, tells_run))
    }

    fn over(files: SchemaRef, runs: Vec<(Run, Vec<PathBuf>)>, tells_run: bool) -> Self {
        let mut fields: Vec<FieldRef> = if tells_run { run_fields() } else { Vec::new() };
        fields.extend(files.fields().iter().cloned());
        let whole = Schema::new_with_metadata(fields, files.metadata().clone());
        Self {
            files,
            whole: Arc::new(whole),
            tells_run,
            runs,
        }
    }

    /// Which runs may have rows that the filters keep, by what they say of the run.
    fn pruned(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<bool>> {
        let mut kept = vec![true; self.runs.len()];
        if !self.tells_run {
            return Ok(kept);
        }
        let schema = Arc::new(Schema::new(run_fields()));
        let own = DFSchema::try_from(Arc::clone(&schema))?;
        let is_of_run = |e: &&Expr| {
            let columns = e.column_refs();
            let known = |name: &str| schema.field_with_name(name).is_ok();
            !columns.is_empty() && columns.iter().all(|c| known(&c.name)) && !e.is_volatile()
        };
        let filters: Vec<&Expr> = filters.iter().filter(is_of_run).collect();
        if filters.is_empty() {
            return Ok(kept);
        }
        let runs = || self.runs.iter().map(|(run, _)| run);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(runs().map(|r| &r.name))),
            Arc::new(runs().map(|r| r.pipeline.clone()).collect::<StringArray>()),
            Arc::new(runs().map(|r| r.fold).collect::<Int64Array>()),
            Arc::new(runs().map(|r| r.seed).collect::<UInt64Array>()),
        ];
        let batch = RecordBatch::try_new(schema, columns)?;
        for filter in filters {
            let condition = state.create_physical_expr(bare(filter)?, &own)?;
            let holds = condition.evaluate(&batch)?.into_array(batch.num_rows())?;
            if let Some(holds) = holds.as_any().downcast_ref::<BooleanArray>() {
                for (i, kept) in kept.iter_mut().enumerate() {
                    *kept &= holds.is_valid(i) && holds.value(i);
                }
            }
        }
        Ok(kept)
    }
}

/// An expression whose columns are named without their table.
fn bare(expression: &Expr) -> Result<Expr> {
    let bare = expression.clone().transform(|part| {
        Ok(match part {
            Expr::Column(mut column) => {
                column.relation = None;
                Transformed::yes(Expr::Column(column))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(bare.data)
}

#[async_trait]
impl TableProvider for UnionTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.whole)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let kept = self.pruned(state, filters)?;
        // A scan reads one store.
        let mut stores: BTreeMap<String, (ObjectStoreUrl, Vec<PartitionedFile>)> = BTreeMap::new();
        for ((run, paths), _) in self.runs.iter().zip(kept).filter(|(_, kept)| *kept) {
            for path in paths {
                let (url, meta) = located(path, state)?;
                let mut file = PartitionedFile::new_from_meta(meta);
                if self.tells_run {
                    file.partition_values = values_of(run);
                }
                let of_store = stores.entry(url.to_string());
                of_store.or_insert_with(|| (url, Vec::new())).1.push(file);
            }
        }
        let mut scans = Vec::with_capacity(stores.len());
        for (url, files) in stores.into_values() {
            scans.push(self.scan_of(state, projection, limit, url, files).await?);
        }
        match scans.len() {
            0 => {
                let schema = project_schema(&self.whole, projection)?;
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }
}

impl UnionTable {
    /// The scan of files in one store.
    async fn scan_of(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        url: ObjectStoreUrl,
        files: Vec<PartitionedFile>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let of_run = if self.tells_run {
            run_fields()
        } else {
            Vec::new()
        };
        let (own, fields) = (of_run.len(), self.files.fields().len());
        // The scan has the columns of the run last.
        let place = |i: usize| if i < own { fields + i } else { i - own };
        let all = 0..self.whole.fields().len();
        let indices: Vec<usize> = match projection {
            Some(indices) => indices.iter().copied().map(place).collect(),
            None => all.map(place).collect(),
        };
        let table_schema = TableSchema::builder(Arc::clone(&self.files))
            .with_table_partition_cols(of_run)
            .build();
        let source = ParquetSource::new(table_schema);
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_group(FileGroup::new(files))
            .with_projection_indices(Some(indices))?
            .with_limit(limit)
            .build();
        // Units and meaning are in the metadata.
        let format = ParquetFormat::default().with_skip_metadata(false);
        format.create_physical_plan(state, config).await
    }
}

/// One schema for all files.
fn merged(schemas: &[SchemaRef]) -> SchemaRef {
    let version = |schema: &SchemaRef| -> u32 {
        let text = schema.metadata().get(VERSION_KEY);
        text.and_then(|v| v.parse().ok()).unwrap_or(0)
    };
    // The first of the newest ones, so that the order of runs decides nothing else.
    let newest = schemas.iter().rev().max_by_key(|s| version(s));
    let Some(newest) = newest else {
        return Arc::new(Schema::empty());
    };
    let mut fields: Vec<FieldRef> = newest.fields().iter().cloned().collect();
    for schema in schemas {
        for field in schema.fields() {
            if !fields.iter().any(|f| f.name() == field.name()) {
                fields.push(Arc::clone(field));
            }
        }
    }
    let everywhere = |field: &FieldRef| {
        let own = |s: &SchemaRef| {
            s.field_with_name(field.name())
                .is_ok_and(|f| !f.is_nullable())
        };
        schemas.iter().all(own)
    };
    let fields: Vec<FieldRef> = fields
        .into_iter()
        .map(|field| match field.is_nullable() || everywhere(&field) {
            true => field,
            false => Arc::new(field.as_ref().clone().with_nullable(true)),
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, newest.metadata().clone()))
}
