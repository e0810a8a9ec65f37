//! Which tables a run folder holds, on this machine or in a store.

use super::QueryError;
use crate::sink::{Ledger, causes};
use crate::store::{self, Entry, Location};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

/// Tables that are folders of Parquet files.
const FOLDERS: [&str; 3] = ["predictions", "prepared", "pseudo_labels"];
/// Tables whose files are named by the commit records of parts.
const OF_PARTS: [&str; 8] = [
    "failures",
    "parts",
    "predictions",
    "prepared",
    "quality",
    "scores",
    "subjects",
    "warnings",
];

/// Registers the tables of a run and of its sub-runs; returns their names in order.
pub(super) async fn register(
    context: &SessionContext,
    run_dir: &Path,
) -> Result<Vec<String>, QueryError> {
    let mut names = Vec::new();
    if let Location::Object(url) = Location::of(run_dir).map_err(io_error(run_dir))? {
        let store = store::patient(&url).map_err(io_error(run_dir))?;
        let root = ListingTableUrl::parse(url.escaped()).map_err(|e| table_error(run_dir, &e))?;
        context.register_object_store(root.object_store().as_ref(), store);
    }
    for (name, paths) in tables(run_dir)? {
        open(context, TableReference::bare(name.as_str()), &paths).await?;
        names.push(name);
    }
    for folder in folders(run_dir)? {
        let Some(schema) = folder.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        let of_run = FOLDERS.contains(&schema) || OF_PARTS.contains(&schema);
        let sub_tables = if of_run { Vec::new() } else { tables(&folder)? };
        if sub_tables.is_empty() {
            continue;
        }
        let catalog = context.catalog("datafusion");
        let catalog = catalog.expect("a new session has its default catalog");
        catalog
            .register_schema(schema, Arc::new(MemorySchemaProvider::new()))
            .map_err(|e| table_error(&folder, &e))?;
        for (name, paths) in sub_tables {
            open(
                context,
                TableReference::partial(schema, name.as_str()),
                &paths,
            )
            .await?;
            names.push(format!("{schema}.{name}"));
        }
    }
    if names.is_empty() {
        return Err(QueryError::Empty {
            path: run_dir.to_owned(),
        });
    }
    Ok(names)
}

async fn open(
    context: &SessionContext,
    name: TableReference,
    paths: &[PathBuf],
) -> Result<(), QueryError> {
    let Some(first) = paths.first() else {
        return Ok(());
    };
    let opened = listed(context, paths).await;
    let opened = opened.and_then(|table| context.register_table(name, Arc::new(table)));
    opened.map(drop).map_err(|e| table_error(first, &e))
}

/// A table of files, or of the files of a folder; all have the schema of the first.
async fn listed(
    context: &SessionContext,
    paths: &[PathBuf],
) -> Result<ListingTable, DataFusionError> {
    let location = |path: &PathBuf| {
        let (mut location, is_folder) = match Location::of(path) {
            Ok(Location::Object(url)) => (url.escaped(), !is_parquet(path)),
            _ => (path.to_string_lossy().into_owned(), path.is_dir()),
        };
        if is_folder {
            location.push('/');
        }
        ListingTableUrl::parse(location)
    };
    let locations: Vec<ListingTableUrl> = paths.iter().map(location).collect::<Result<_, _>>()?;
    // Units and documentation stand in the metadata.
    let format = ParquetFormat::default().with_skip_metadata(false);
    let options = ListingOptions::new(Arc::new(format)).with_file_extension(".parquet");
    let state = context.state();
    let schema = options.infer_schema(&state, &locations[0]).await?;
    let config = ListingTableConfig::new_with_multi_paths(locations)
        .with_listing_options(options)
        .with_schema(schema);
    ListingTable::try_new(config)
}

fn table_error(path: &Path, error: &DataFusionError) -> QueryError {
    QueryError::Table {
        path: path.to_owned(),
        problem: error.strip_backtrace(),
    }
}

/// The tables of a folder with their files, in order: `*.parquet` files, what the commit records of
/// parts name, and non-empty table folders.
fn tables(run_dir: &Path) -> Result<Vec<(String, Vec<PathBuf>)>, QueryError> {
    let mut tables = BTreeMap::new();
    let ledger = Ledger::open(run_dir).map_err(|e| QueryError::Table {
        path: run_dir.to_owned(),
        problem: causes(&e),
    })?;
    for table in OF_PARTS {
        let files = ledger.files(table);
        if !files.is_empty() {
            tables.insert(table.to_owned(), files);
        }
    }
    for Entry { path, is_folder } in entries(run_dir)? {
        let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else {
            continue;
        };
        let is_table = if is_folder {
            FOLDERS.contains(&stem) && path.extension().is_none() && holds_parquet(&path)?
        } else {
            is_parquet(&path)
        };
        if is_table {
            tables.entry(stem.to_owned()).or_insert_with(|| vec![path]);
        }
    }
    Ok(tables.into_iter().collect())
}

fn folders(run_dir: &Path) -> Result<Vec<PathBuf>, QueryError> {
    let entries = entries(run_dir)?.into_iter().filter(|e| e.is_folder);
    Ok(entries.map(|e| e.path).collect())
}

fn entries(folder: &Path) -> Result<Vec<Entry>, QueryError> {
    store::list(folder).map_err(io_error(folder))
}

fn io_error(folder: &Path) -> impl FnOnce(std::io::Error) -> QueryError + '_ {
    move |source| QueryError::Io {
        path: folder.to_owned(),
        action: "listing the folder",
        source,
    }
}

fn holds_parquet(folder: &Path) -> Result<bool, QueryError> {
    if store::is_url(folder) {
        let objects = store::walk(folder).map_err(io_error(folder))?;
        return Ok(objects.iter().any(|(path, _)| is_parquet(Path::new(path))));
    }
    let mut files = WalkDir::new(folder).into_iter().filter_map(Result::ok);
    Ok(files.any(|entry| is_parquet(entry.path())))
}

/// Hidden files are tables in the making.
fn is_parquet(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|n| n.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|e| e == "parquet")
}
