//! Which tables a run folder holds.

use super::QueryError;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::TableReference;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

/// Tables that are folders of Parquet files.
const FOLDERS: [&str; 3] = ["predictions", "prepared", "pseudo_labels"];

/// Registers the tables of a run and of its sub-runs; returns their names in order.
pub(super) async fn register(
    context: &SessionContext,
    run_dir: &Path,
) -> Result<Vec<String>, QueryError> {
    let mut names = Vec::new();
    for (name, path) in tables(run_dir)? {
        open(context, TableReference::bare(name.as_str()), &path).await?;
        names.push(name);
    }
    for folder in folders(run_dir)? {
        let Some(schema) = folder.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        let sub_tables = tables(&folder)?;
        if FOLDERS.contains(&schema) || sub_tables.is_empty() {
            continue;
        }
        let catalog = context.catalog("datafusion");
        let catalog = catalog.expect("a new session has its default catalog");
        catalog
            .register_schema(schema, Arc::new(MemorySchemaProvider::new()))
            .map_err(|e| table_error(&folder, &e))?;
        for (name, path) in sub_tables {
            open(
                context,
                TableReference::partial(schema, name.as_str()),
                &path,
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
    path: &Path,
) -> Result<(), QueryError> {
    let mut location = path.to_string_lossy().into_owned();
    if path.is_dir() {
        location.push('/');
    }
    // Units and documentation stand in the metadata.
    let options = ParquetReadOptions::default().skip_metadata(false);
    context
        .register_parquet(name, location, options)
        .await
        .map_err(|e| table_error(path, &e))
}

fn table_error(path: &Path, error: &datafusion::error::DataFusionError) -> QueryError {
    QueryError::Table {
        path: path.to_owned(),
        problem: error.strip_backtrace(),
    }
}

/// `*.parquet` files and non-empty table folders directly in a folder, in order.
fn tables(run_dir: &Path) -> Result<Vec<(String, PathBuf)>, QueryError> {
    let mut tables = Vec::new();
    for path in entries(run_dir)? {
        let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else {
            continue;
        };
        let is_table = if path.is_dir() {
            FOLDERS.contains(&stem) && path.extension().is_none() && holds_parquet(&path)
        } else {
            is_parquet(&path)
        };
        if is_table {
            tables.push((stem.to_owned(), path));
        }
    }
    tables.dedup_by(|a, b| a.0 == b.0);
    Ok(tables)
}

fn folders(run_dir: &Path) -> Result<Vec<PathBuf>, QueryError> {
    Ok(entries(run_dir)?
        .into_iter()
        .filter(|p| p.is_dir())
        .collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, QueryError> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>()
    });
    let mut paths = listed.map_err(|source| QueryError::Io {
        path: folder.to_owned(),
        action: "listing the folder",
        source,
    })?;
    paths.sort();
    Ok(paths)
}

fn holds_parquet(folder: &Path) -> bool {
    let mut files = WalkDir::new(folder).into_iter().filter_map(Result::ok);
    files.any(|entry| is_parquet(entry.path()))
}

/// Hidden files are tables in the making.
fn is_parquet(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|n| n.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|e| e == "parquet")
}
