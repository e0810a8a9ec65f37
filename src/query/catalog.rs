//! Which tables, views and functions there are by name, opened when a statement asks for them.

use super::error::table as no_table;
use super::names::{FUNCTIONS, Names};
use super::runs::{Run, Runs};
use super::union::{UnionTable, run_fields};
use super::views::{VIEWS, View};
use super::{QueryError, compare};
use crate::sink::table::DOC_KEY;
use crate::sink::{TABLES, tables};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// The schema in which every table has the columns of the run; views are made of it.
const EVERY_RUN: &str = "every_run";
/// The table of the runs themselves.
const RUNS: &str = "runs";

/// A table or view, as `SHOW TABLES` lists it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name in SQL.
    pub name: String,
    /// `table`, `view` or `function`.
    pub kind: &'static str,
    /// Runs that have it.
    pub runs: usize,
    /// Meaning.
    pub doc: String,
}

/// The tables of runs in a session.
pub(super) struct Catalog {
    pub(super) runs: Runs,
    opened: BTreeSet<String>,
}

impl Catalog {
    /// The tables of runs; none is opened yet.
    pub(super) fn new(runs: Runs, context: &SessionContext) -> Result<Self, DataFusionError> {
        let catalog = context.catalog("datafusion");
        let catalog = catalog.expect("a new session has its default catalog");
        let schemas = runs.schemas.keys().map(String::as_str);
        for schema in schemas.chain([EVERY_RUN]) {
            catalog.register_schema(schema, Arc::new(MemorySchemaProvider::new()))?;
        }
        context.register_udtf(compare::NAME, Arc::new(compare::Compare::new(&runs)));
        Ok(Self {
            runs,
            opened: BTreeSet::new(),
        })
    }

    /// Names of the tables that runs wrote, those of sub-runs with their schema in front.
    pub(super) fn tables(&self) -> Vec<String> {
        let mut names: Vec<String> = self.runs.tables().into_iter().map(str::to_owned).collect();
        for (schema, run) in &self.runs.schemas {
            names.extend(run.tables.keys().map(|table| format!("{schema}.{table}")));
        }
        names
    }

    /// Views whose tables a run has.
    pub(super) fn views(&self) -> Vec<&'static View> {
        let has = |table: &&str| self.runs.all.iter().any(|r| r.tables.contains_key(*table));
        VIEWS.iter().filter(|v| v.needs.iter().any(&has)).collect()
    }

    /// Everything that can be asked, in the order of a reader's interest.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self
            .views()
            .into_iter()
            .map(|view| Entry {
                name: view.name.to_owned(),
                kind: "view",
                runs: self.runs.all.len(),
                doc: view.doc.to_owned(),
            })
            .collect();
        entries.push(Entry {
            name: RUNS.to_owned(),
            kind: "view",
            runs: self.runs.all.len(),
            doc: "One row a run: pipeline, seed, progress, folder.".to_owned(),
        });
        entries.push(Entry {
            name: format!("{}('run_a', 'run_b')", compare::NAME),
            kind: "function",
            runs: self.runs.all.len(),
            doc: compare::DOC.to_owned(),
        });
        for name in self.tables() {
            let (schema, table) = name.split_once('.').unwrap_or(("", &name));
            let known = tables::by_name(table).map_or("", |t| t.doc);
            let has = |run: &&Run| run.tables.contains_key(table);
            entries.push(Entry {
                runs: match schema.is_empty() {
                    true => self.runs.all.iter().filter(has).count(),
                    false => 1,
                },
                kind: "table",
                doc: match (schema.is_empty(), known) {
                    (false, doc) => format!("Of the run {schema}. {doc}"),
                    (true, "") if table == "prepared" => {
                        "One row a prepared subject: its volumes.".to_owned()
                    }
                    (true, doc) => doc.to_owned(),
                },
                name,
            });
        }
        entries
    }

    /// Names for errors and completion.
    pub(super) fn names(&self, context: &SessionContext, memory: u64) -> Names {
        let mut tables = self.tables();
        tables.extend(self.views().into_iter().map(|v| v.name.to_owned()));
        tables.extend([RUNS.to_owned(), compare::NAME.to_owned()]);
        let state = context.state();
        let scalar = state.scalar_functions().keys();
        let others = state.aggregate_functions().keys();
        let all = scalar.chain(others).chain(state.window_functions().keys());
        let mut functions: Vec<String> = all.cloned().collect();
        functions.sort_by_key(|name| (!FUNCTIONS.contains(&&**name), name.clone()));
        functions.dedup();
        let defined = TABLES
            .iter()
            .filter(|t| self.runs.tables().contains(&t.name));
        let mut columns: Vec<String> = defined
            .flat_map(|t| t.columns.iter().map(|c| c.name.to_owned()))
            .collect();
        let views = self.views().into_iter();
        columns.extend(views.flat_map(|v| v.columns.iter().map(|(name, ..)| (*name).to_owned())));
        columns.sort();
        columns.dedup();
        Names {
            tables,
            columns,
            functions,
            single: self.runs.single,
            memory,
        }
    }

    /// The files of the tables and views that a statement refers to, each with the folder of its run.
    pub(super) fn files(&self, references: &[TableReference]) -> Vec<(PathBuf, PathBuf)> {
        let mut files = Vec::new();
        for reference in references {
            let (schema, table) = (reference.schema(), reference.table());
            let schema = schema.filter(|s| *s != "public");
            let of_view = VIEWS.iter().find(|v| schema.is_none() && v.name == table);
            let is_read = |name: &str| match of_view {
                Some(view) => view.sql.contains(&format!("{EVERY_RUN}.{name}")),
                None => name == table,
            };
            let runs: Vec<&Run> = match schema {
                Some(schema) => self.runs.schemas.get(schema).into_iter().collect(),
                None => self.runs.all.iter().collect(),
            };
            for run in runs {
                let tables = run.tables.iter().filter(|(name, _)| is_read(name));
                let paths = tables.flat_map(|(_, paths)| paths);
                files.extend(paths.map(|path| (run.path.clone(), path.clone())));
            }
        }
        files
    }

    /// Opens the tables and views that a statement refers to.
    ///
    /// **Errors** name the table that is not there, or cannot be opened.
    pub(super) fn open(
        &mut self,
        references: &[TableReference],
        context: &SessionContext,
        runtime: &Runtime,
        names: &Names,
    ) -> Result<(), QueryError> {
        for reference in references {
            let (schema, table) = (reference.schema(), reference.table());
            if schema == Some("information_schema") {
                for name in self.tables() {
                    let reference = TableReference::parse_str(&name);
                    let place = (reference.schema(), reference.table());
                    self.open_one(place, context, runtime, names)?;
                }
                continue;
            }
            let is_function = context.state().table_functions().contains_key(table);
            if schema.is_none() && is_function {
                continue;
            }
            let schema = schema.filter(|s| *s != "public");
            self.open_one((schema, table), context, runtime, names)?;
        }
        Ok(())
    }

    fn open_one(
        &mut self,
        (schema, table): (Option<&str>, &str),
        context: &SessionContext,
        runtime: &Runtime,
        names: &Names,
    ) -> Result<(), QueryError> {
        let place = match schema {
            Some(schema) => TableReference::partial(schema, table),
            None => TableReference::bare(table),
        };
        if self.opened.contains(&place.to_string()) {
            return Ok(());
        }
        let provider: Arc<dyn TableProvider> = match schema {
            None => match self.views().into_iter().find(|v| v.name == table) {
                Some(view) => self.view(view, context, runtime)?,
                None if table == RUNS => self.runs_table()?,
                None if self.runs.tables().contains(&table) => {
                    let all: Vec<&Run> = self.runs.all.iter().collect();
                    Arc::new(UnionTable::open(&all, table, !self.runs.single)?)
                }
                None => return Err(no_table(table, names)),
            },
            Some(schema) => {
                let run = self.runs.schemas.get(schema);
                let run = run.filter(|run| run.tables.contains_key(table));
                let run = run.ok_or_else(|| no_table(&format!("{schema}.{table}"), names))?;
                Arc::new(UnionTable::open(&[run], table, false)?)
            }
        };
        let registered = context.register_table(place.clone(), provider);
        registered.map_err(|e| QueryError::sql(e.strip_backtrace()))?;
        self.opened.insert(place.to_string());
        Ok(())
    }

    /// A view; every table it may ask is there, empty where no run wrote it.
    fn view(
        &mut self,
        view: &View,
        context: &SessionContext,
        runtime: &Runtime,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let all: Vec<&Run> = self.runs.all.iter().collect();
        for table in TABLES {
            let place = TableReference::partial(EVERY_RUN, table.name);
            if !view.sql.contains(&place.to_string()) || self.opened.contains(&place.to_string()) {
                continue;
            }
            let provider = UnionTable::complete(&all, table)?;
            let registered = context.register_table(place.clone(), Arc::new(provider));
            registered.map_err(|e| QueryError::sql(e.strip_backtrace()))?;
            self.opened.insert(place.to_string());
        }
        let state = context.state();
        let plan = runtime.block_on(state.create_logical_plan(view.sql));
        let plan = plan.map_err(|e| {
            let problem = e.find_root().strip_backtrace();
            QueryError::sql(format!("view `{}`: {problem}", view.name))
        })?;
        Ok(Arc::new(ViewTable::new(plan, Some(view.sql.to_owned()))))
    }

    fn runs_table(&self) -> Result<Arc<dyn TableProvider>, QueryError> {
        let batch = self.runs_batch();
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]);
        Ok(Arc::new(
            table.map_err(|e| QueryError::sql(e.strip_backtrace()))?,
        ))
    }

    /// One row a run.
    pub(super) fn runs_batch(&self) -> RecordBatch {
        let text = |of: fn(&Run) -> Option<String>| -> ArrayRef {
            Arc::new(self.runs.all.iter().map(of).collect::<StringArray>())
        };
        let mut fields: Vec<Arc<Field>> = run_fields();
        for (name, doc) in [
            ("progress", "How far it came: started or finished."),
            ("started", "When it was started (RFC 3339)."),
            ("version", "Version of voxstream it ran with."),
            (
                "device",
                "What trained or predicted: cpu, or CUDA devices by number and name.",
            ),
            ("tables", "Tables it has written."),
            ("folder", "Its folder."),
        ] {
            let metadata = [(DOC_KEY.to_owned(), doc.to_owned())].into();
            let field = Field::new(name, DataType::Utf8, true).with_metadata(metadata);
            fields.push(Arc::new(field));
        }
        let columns: Vec<ArrayRef> = vec![
            text(|r| Some(r.name.clone())),
            text(|r| r.pipeline.clone()),
            Arc::new(self.runs.all.iter().map(|r| r.fold).collect::<Int64Array>()),
            Arc::new(
                self.runs
                    .all
                    .iter()
                    .map(|r| r.seed)
                    .collect::<UInt64Array>(),
            ),
            text(|r| r.progress.clone()),
            text(|r| r.started.clone()),
            text(|r| r.version.clone()),
            text(|r| r.device.clone()),
            text(|r| Some(r.tables.keys().cloned().collect::<Vec<_>>().join(", "))),
            text(|r| Some(r.path.display().to_string())),
        ];
        let schema = Arc::new(Schema::new(fields));
        RecordBatch::try_new(schema, columns).expect("the columns are built with the schema")
    }

    /// What `SHOW TABLES` answers.
    pub(super) fn listed(&self) -> RecordBatch {
        let entries = self.entries();
        let text = |of: fn(&Entry) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(entries.iter().map(of)))
        };
        let runs: Int64Array = entries.iter().map(|e| Some(e.runs as i64)).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("name", text(|e| e.name.clone())),
            ("kind", text(|e| e.kind.to_owned())),
            ("runs", Arc::new(runs)),
            ("meaning", text(|e| e.doc.clone())),
        ];
        RecordBatch::try_from_iter(columns).expect("the columns have one length")
    }
}
