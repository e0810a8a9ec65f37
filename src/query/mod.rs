//! SQL over a run folder: the door to DataFusion for everything that was written.
//!
//! Every table of the folder is a table in SQL under its own name; sub-runs (`labelled_only/`,
//! `semi_supervised/`) are schemas, so that `labelled_only.scores` can be joined with
//! `semi_supervised.scores`.

mod predicate;
mod print;
mod tables;

pub use predicate::Predicate;
pub use print::{Format, print};

use crate::sink::parquet::has_volumes;
use arrow::array::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Rows of a batch where no volume is read.
const PLAIN_BATCH_ROWS: usize = 8192;
/// Rows of a batch where volumes are read: batches are counted in rows, volumes weigh megabytes.
const VOLUME_BATCH_ROWS: usize = 2;

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The folder cannot be read.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The folder or stream.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A folder without tables.
    #[error(
        "{} holds no Parquet table; give the folder of a run, such as runs/<name>/<stamp>", path.display()
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A table that cannot be opened.
    #[error("{}: the table cannot be opened: {problem}", path.display())]
    Table {
        /// The file or folder.
        path: PathBuf,
        /// DataFusion's reason.
        problem: String,
    },
    /// DataFusion refused the statement or failed in it.
    #[error("{problem}; tables here: {}", tables.join(", "))]
    Sql {
        /// DataFusion's reason.
        problem: String,
        /// Tables of the folder.
        tables: Vec<String>,
    },
    /// A result that cannot be written in the format asked for.
    #[error("the result cannot be printed: {problem}")]
    Print {
        /// The reason.
        problem: String,
    },
}

/// An open run folder.
pub struct Session {
    runtime: Runtime,
    context: SessionContext,
    tables: Vec<String>,
}

impl Session {
    /// Opens a run folder, or the URL of one in a store: tables that the run did not write are absent.
    ///
    /// Not to be called from within an asynchronous runtime; the session has its own, of one thread.
    /// **Errors** when the folder cannot be read, holds no table or a damaged one.
    pub fn open(run_dir: &Path) -> Result<Self, QueryError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| QueryError::Io {
                path: run_dir.to_owned(),
                action: "starting the runtime",
                source,
            })?;
        // One partition: a sum of doubles depends on its order, and answers must not depend on cores.
        let mut config = SessionConfig::new()
            .with_batch_size(PLAIN_BATCH_ROWS)
            .with_target_partitions(1)
            .with_information_schema(true);
        let options = config.options_mut();
        options.execution.listing_table_ignore_subdirectory = false;
        options.execution.parquet.schema_force_view_types = false;
        let context = SessionContext::new_with_config(config);
        let tables = runtime.block_on(tables::register(&context, run_dir))?;
        Ok(Self {
            runtime,
            context,
            tables,
        })
    }

    /// Names of the tables, those of sub-runs with their folder in front.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// Runs one SQL statement that reads; an empty answer is one batch without rows.
    ///
    /// **Errors** carry DataFusion's message and the tables there are.
    pub fn sql(&self, text: &str) -> Result<Vec<RecordBatch>, QueryError> {
        self.runtime
            .block_on(self.collect(text))
            .map_err(|error| self.sql_error(&error))
    }

    async fn collect(&self, text: &str) -> Result<Vec<RecordBatch>, DataFusionError> {
        let reading = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let frame = self.context.sql_with_options(text, reading).await?;
        let (mut state, plan) = frame.into_parts();
        let plan = state.optimize(&plan)?;
        if reads_volumes(&plan)? {
            let small = state.config().clone().with_batch_size(VOLUME_BATCH_ROWS);
            *state.config_mut() = small;
        }
        let frame = DataFrame::new(state, plan);
        let schema = frame.schema().inner().clone();
        let mut batches = frame.collect().await?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    }

    fn sql_error(&self, error: &DataFusionError) -> QueryError {
        QueryError::Sql {
            problem: error.strip_backtrace(),
            tables: self.tables.clone(),
        }
    }
}

/// Whether a scan of the plan yields voxels, after unused columns were cut.
fn reads_volumes(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut found = false;
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && has_volumes(scan.projected_schema.as_arrow())
        {
            found = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests;
