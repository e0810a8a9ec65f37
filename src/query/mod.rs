//! SQL over runs: the door to DataFusion for everything that was written.
//!
//! Every table of a run folder is a table in SQL under its own name. Of several runs, or a folder of
//! them, each table is the union over the runs, with columns `run`, `pipeline`, `fold` and `seed` in
//! front. Ready-made views (`leaderboard`, `worst_subjects`, …) have these columns always; a statement that
//! selects, filters or limits their rows keeps their order. Sub-runs
//! (`labelled_only/`, `semi_supervised/`) are schemas too, so that `labelled_only.scores` can be
//! joined with `semi_supervised.scores`.
//!
//! ```text
//! folders ─► runs ─► catalog (names) ─► statement ─► plan ─► Answer
//!                     │  union: files of a table in every run
//!                     │  views, compare: ready-made questions
//!                     └► volumes: functions that decode voxels when asked
//! ```
//!
//! A table is opened when a statement names it. Queries only read, within a budget of bytes.

mod answer;
mod catalog;
mod compare;
mod describe;
mod error;
mod located;
mod names;
mod predicate;
mod print;
mod runs;
mod statement;
mod tables;
mod types;
mod union;
mod views;
mod volumes;

pub use answer::{Answer, Limits, Stats};
use answer::{batch_bytes, bytes_read};
pub use catalog::Entry;
pub use compare::compare;
pub use error::QueryError;
pub use names::Names;
pub use predicate::Predicate;
pub use print::{Format, print};
pub(crate) use runs::own_name;
pub use runs::{Run, Runs};
pub use volumes::HELP;

use crate::sink::parquet::{check_table, has_volumes};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::Catalog;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use futures::StreamExt as _;
use statement::Asked;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;
use tokio::runtime::Runtime;

/// Rows of a batch where no volume is read.
const PLAIN_BATCH_ROWS: usize = 8192;
/// Rows of a batch where volumes are read: batches are counted in rows, volumes weigh megabytes.
const VOLUME_BATCH_ROWS: usize = 2;

/// Open runs.
pub struct Session {
    runtime: Runtime,
    context: RefCell<SessionContext>,
    catalog: RefCell<Catalog>,
    targets: Vec<PathBuf>,
    limits: Limits,
}

impl Session {
    /// Opens a run folder, or a folder of runs, here or in a store: tables that no run wrote are absent.
    ///
    /// Not to be called from within an asynchronous runtime; the session has its own, of one thread.
    /// **Errors** as [`Runs::find`].
    pub fn open(folder: &Path) -> Result<Self, QueryError> {
        Self::open_all(&[folder.to_owned()], Limits::default())
    }

    /// Opens run folders and folders of runs.
    ///
    /// **Errors** as [`Runs::find`].
    pub fn open_all(targets: &[PathBuf], limits: Limits) -> Result<Self, QueryError> {
        let runs = Runs::find(targets)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| QueryError::Io {
                path: targets.first().cloned().unwrap_or_default(),
                action: "starting the runtime",
                source,
            })?;
        let (context, catalog) = opened(runs, &limits)?;
        Ok(Self {
            runtime,
            context: RefCell::new(context),
            catalog: RefCell::new(catalog),
            targets: targets.to_vec(),
            limits,
        })
    }

    /// Reads again what the folders contain: runs may be under way.
    ///
    /// **Errors** as [`Runs::find`].
    pub fn refresh(&mut self) -> Result<(), QueryError> {
        self.reopen()
    }

    fn reopen(&self) -> Result<(), QueryError> {
        let (context, catalog) = opened(Runs::find(&self.targets)?, &self.limits)?;
        self.context.replace(context);
        self.catalog.replace(catalog);
        Ok(())
    }

    /// The session of the engine; clones share it.
    fn context(&self) -> SessionContext {
        self.context.borrow().clone()
    }

    /// Names of the tables, those of sub-runs with their folder in front.
    pub fn tables(&self) -> Vec<String> {
        self.catalog.borrow().tables()
    }

    /// Tables, views and table functions with their meaning.
    pub fn entries(&self) -> Vec<Entry> {
        self.catalog.borrow().entries()
    }

    /// Names of tables, views and functions.
    pub fn names(&self) -> Names {
        let catalog = self.catalog.borrow();
        catalog.names(&self.context(), self.limits.memory)
    }

    /// The runs.
    pub fn runs(&self) -> Runs {
        self.catalog.borrow().runs.clone()
    }

    /// Columns of a table, view or table function: name, type, unit, whether it may be null, meaning.
    ///
    /// **Errors** if there is no such table.
    pub fn describe(&self, table: &str) -> Result<RecordBatch, QueryError> {
        let name = table.trim().trim_matches('"');
        let schema = match name == compare::NAME {
            true => compare::schema(),
            false => self.schema(name)?,
        };
        Ok(describe::described(name, &schema))
    }

    fn schema(&self, table: &str) -> Result<SchemaRef, QueryError> {
        let reference = datafusion::common::TableReference::parse_str(table);
        self.open_tables(std::slice::from_ref(&reference))?;
        let context = self.context();
        let provider = self.runtime.block_on(context.table_provider(reference));
        let provider = provider.map_err(|e| error::reworded(&e, table, &self.names()))?;
        Ok(provider.schema())
    }

    /// Runs one SQL statement that reads; an empty answer is one batch without rows.
    ///
    /// **Errors** name what was found, the nearest table, column or function, and what to do.
    pub fn sql(&self, text: &str) -> Result<Vec<RecordBatch>, QueryError> {
        self.answer(text).map(|answer| answer.batches)
    }

    /// Runs one SQL statement that reads, and says what it took.
    ///
    /// **Errors** as [`Session::sql`], or a limit that was reached.
    pub fn answer(&self, text: &str) -> Result<Answer, QueryError> {
        let start = Instant::now();
        let names = self.names();
        let (batches, bytes_read) = match statement::read(text, &names)? {
            Asked::Columns(table) => (vec![self.describe(&table)?], 0),
            Asked::Tables => (vec![self.catalog.borrow().listed()], 0),
            Asked::Rows(statement) => match self.rows(text, &names, &statement) {
                // A run under way wrote a table again, or merged the files of parts, since they were listed.
                Err(e) if error::may_be_outdated(&e) => {
                    self.reopen()?;
                    let again = self.rows(text, &names, &statement);
                    again.map_err(|e| self.damage(&statement).unwrap_or(e))?
                }
                rows => rows?,
            },
        };
        let stats = Stats {
            rows: batches.iter().map(RecordBatch::num_rows).sum(),
            bytes_read,
            time: start.elapsed(),
        };
        Ok(Answer { batches, stats })
    }

    /// The rows of a statement, and the bytes that were read for them.
    fn rows(
        &self,
        text: &str,
        names: &Names,
        statement: &Statement,
    ) -> Result<(Vec<RecordBatch>, u64), QueryError> {
        let references = self.context().state().resolve_table_references(statement);
        let references = references.map_err(|e| error::reworded(&e, text, names))?;
        self.open_tables(&references)?;
        self.limits.stop.store(false, Ordering::Relaxed);
        let collected = self.runtime.block_on(self.collect(statement.clone()));
        collected.map_err(|failed| match failed {
            Failed::Engine(e) => error::reworded(&e, text, names),
            Failed::Stopped(problem) => QueryError::Stopped { problem },
        })
    }

    /// The first table file that a statement reads and that cannot be read, which the engine does not name.
    fn damage(&self, statement: &Statement) -> Option<QueryError> {
        let references = self.context().state().resolve_table_references(statement);
        let files = self.catalog.borrow().files(&references.ok()?);
        let mut damaged = files.into_iter().filter_map(|(run, path)| {
            let problem = check_table(&path).err()?;
            Some(error::damaged(&run, path, &problem))
        });
        damaged.next()
    }

    fn open_tables(
        &self,
        references: &[datafusion::common::TableReference],
    ) -> Result<(), QueryError> {
        let names = self.names();
        let mut catalog = self.catalog.borrow_mut();
        catalog.open(references, &self.context(), &self.runtime, &names)
    }

    async fn collect(&self, statement: Statement) -> Result<(Vec<RecordBatch>, u64), Failed> {
        let reading = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let mut state = self.context().state();
        let plan = state.statement_to_plan(statement).await?;
        reading.verify_plan(&plan)?;
        let plan = state.optimize(&plan)?;
        if reads_volumes(&plan)? {
            let small = state.config().clone().with_batch_size(VOLUME_BATCH_ROWS);
            *state.config_mut() = small;
        }
        let frame = DataFrame::new(state, plan);
        let schema = frame.schema().inner().clone();
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let mut rows = execute_stream(Arc::clone(&plan), task)?;
        let (mut batches, mut bytes) = (Vec::new(), 0);
        loop {
            // The engine yields between batches, and within long ones.
            let next = std::future::poll_fn(|cx| match self.limits.stop.load(Ordering::Relaxed) {
                true => Poll::Ready(Err(Failed::Stopped("stopped at your request".to_owned()))),
                false => rows.poll_next_unpin(cx).map(Ok),
            });
            let Some(batch) = next.await? else { break };
            let batch = batch?;
            bytes += batch_bytes(&batch);
            if bytes > self.limits.memory {
                return Err(Failed::Stopped(format!(
                    "the answer is larger than the budget of {}; ask for less (fewer columns, `where`, `limit`), or raise `--memory`",
                    bytesize::ByteSize(self.limits.memory)
                )));
            }
            batches.push(batch);
        }
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok((batches, bytes_read(plan.as_ref())))
    }
}

/// Why a statement did not end.
enum Failed {
    Engine(DataFusionError),
    Stopped(String),
}

impl From<DataFusionError> for Failed {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error)
    }
}

/// A context with its catalog; no table is opened yet.
fn opened(runs: Runs, limits: &Limits) -> Result<(SessionContext, Catalog), QueryError> {
    let engine = |e: DataFusionError| QueryError::sql(e.strip_backtrace());
    // One partition: a sum of doubles depends on its order, and answers must not depend on cores.
    let mut config = SessionConfig::new()
        .with_batch_size(PLAIN_BATCH_ROWS)
        .with_target_partitions(1)
        .with_information_schema(true);
    let options = config.options_mut();
    options.execution.parquet.schema_force_view_types = false;
    // A view is a subquery to the engine, which would drop the view's own `order by`.
    options.sql_parser.enable_subquery_sort_elimination = false;
    let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(memory, 1.0);
    let runtime = runtime.build_arc().map_err(engine)?;
    let context = SessionContext::new_with_config_rt(config, runtime);
    volumes::register(&context, limits.memory);
    let catalog = Catalog::new(runs, &context).map_err(engine)?;
    Ok((context, catalog))
}

/// Returns `true` if a scan of the plan reads voxels, after unused columns were removed.
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
