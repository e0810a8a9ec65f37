//! Which runs a folder holds, and what each says of itself.

use super::QueryError;
use super::tables;
use crate::sink::{TABLES, TableDef};
use crate::store;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Levels of folders below one that is asked about in which runs are looked for.
const DEPTH: usize = 5;
/// Files that only a run folder has.
const MARKS: [&str; 2] = ["status.json", "plan.json"];

/// One run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Name: the path below the folder that was asked about, or the folder's own.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// Name of its pipeline; `None` if the run noted none.
    pub pipeline: Option<String>,
    /// Fold of a cross-validation; `None` where there is none.
    pub fold: Option<i64>,
    /// Seed of its pipeline.
    pub seed: Option<u64>,
    /// `started` or `finished`; `None` if the run noted none.
    pub progress: Option<String>,
    /// When it was started, RFC 3339.
    pub started: Option<String>,
    /// Version of voxstream that it ran with.
    pub version: Option<String>,
    /// What trained or predicted.
    pub device: Option<String>,
    /// Tables by name, with their files.
    pub(super) tables: BTreeMap<String, Vec<PathBuf>>,
}

/// The runs that were asked about.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    /// The runs, in the order of their names.
    pub all: Vec<Run>,
    /// Returns `true` if exactly one run folder was named: its tables stay as they are.
    pub single: bool,
    /// Sub-runs by the name of the schema that holds their tables.
    pub(super) schemas: BTreeMap<String, Run>,
}

impl Runs {
    /// Finds the runs: a folder that holds tables is a run itself; any other is searched.
    ///
    /// Folders are searched five levels deep and links are not followed. The sub-runs of a run, and
    /// the runs directly in a folder, are schemas too where their names are plain words.
    ///
    /// **Errors** if a folder cannot be read, or holds neither tables nor runs.
    pub fn find(targets: &[PathBuf]) -> Result<Self, QueryError> {
        let mut found = Self::default();
        for target in targets {
            let own = Run::open(target, own_name(target))?;
            if !own.tables.is_empty() || is_marked(target)? {
                found.single = targets.len() == 1;
                found.add_schemas(tables::folders(target)?)?;
                found.all.push(own);
                continue;
            }
            let before = found.all.len();
            found.search(target)?;
            if found.all.len() == before {
                return Err(QueryError::Empty {
                    path: target.clone(),
                });
            }
            let direct = tables::folders(target)?;
            found.add_schemas(direct)?;
        }
        let order = |a: &Run, b: &Run| (&a.name, &a.path).cmp(&(&b.name, &b.path));
        found.all.sort_by(order);
        let mut seen = BTreeSet::new();
        found.all.retain(|run| seen.insert(whole(&run.path)));
        found.tell_apart();
        found.all.sort_by(order);
        Ok(found)
    }

    /// The runs directly or deeper in a folder, apart from the folder itself.
    ///
    /// **Errors** if the folder cannot be read, or holds no run.
    pub fn below(folder: &Path) -> Result<Self, QueryError> {
        let mut found = Self::default();
        found.search(folder)?;
        match found.all.is_empty() {
            true => Err(QueryError::Empty {
                path: folder.to_owned(),
            }),
            false => Ok(found),
        }
    }

    fn search(&mut self, folder: &Path) -> Result<(), QueryError> {
        if store::is_url(folder) {
            return self.search_store(folder, "", DEPTH);
        }
        let mut walk = WalkDir::new(folder)
            .min_depth(1)
            .max_depth(DEPTH)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|e| e.depth() == 0 || !is_of_a_run(e.path()));
        while let Some(entry) = walk.next() {
            let entry = entry.map_err(|e| QueryError::Io {
                path: e.path().unwrap_or(folder).to_owned(),
                action: "looking for runs",
                source: e.into(),
            })?;
            if !entry.file_type().is_dir() || !is_run(entry.path())? {
                continue;
            }
            walk.skip_current_dir();
            let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            let parts = below.components().map(|c| c.as_os_str().to_string_lossy());
            let name = parts.collect::<Vec<_>>().join("/");
            self.all.push(Run::open(entry.path(), name)?);
        }
        Ok(())
    }

    /// [`Runs::search`] in a store, whose folders are listed one by one.
    fn search_store(&mut self, folder: &Path, name: &str, levels: usize) -> Result<(), QueryError> {
        for below in tables::folders(folder)? {
            let own = below.file_name().map(|n| n.to_string_lossy().into_owned());
            let Some(own) = own.filter(|_| !is_of_a_run(&below)) else {
                continue;
            };
            let name = match name {
                "" => own,
                name => format!("{name}/{own}"),
            };
            if is_run(&below)? {
                self.all.push(Run::open(&below, name)?);
            } else if levels > 1 {
                self.search_store(&below, &name, levels - 1)?;
            }
        }
        Ok(())
    }

    fn add_schemas(&mut self, folders: Vec<PathBuf>) -> Result<(), QueryError> {
        for folder in folders {
            let Some(name) = folder.file_name().and_then(|n| n.to_str()) else {
                continue;
            };
            let is_word = name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            if !is_word || tables::is_of_run(name) {
                continue;
            }
            let run = Run::open(&folder, name.to_owned())?;
            if !run.tables.is_empty() {
                self.schemas.insert(name.to_owned(), run);
            }
        }
        Ok(())
    }

    /// Names that two runs have become paths.
    fn tell_apart(&mut self) {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for run in &self.all {
            *count.entry(run.name.clone()).or_default() += 1;
        }
        for run in &mut self.all {
            if count.get(&run.name).is_some_and(|n| *n > 1) {
                run.name = run.path.display().to_string();
            }
        }
    }

    /// The run of a name: the whole of it, or an ending after a `/` that only one run has.
    ///
    /// **Errors** the names there are, or those that fit.
    pub fn named(&self, name: &str) -> Result<&Run, QueryError> {
        if let Some(run) = self.all.iter().find(|r| r.name == name) {
            return Ok(run);
        }
        let ending = format!("/{name}");
        let fitting: Vec<&Run> = self
            .all
            .iter()
            .filter(|r| r.name.ends_with(&ending))
            .collect();
        let names: Vec<&str> = self.all.iter().map(|r| r.name.as_str()).collect();
        match fitting[..] {
            [run] => Ok(run),
            [] => Err(QueryError::sql(format!(
                "there is no run `{name}`; {}",
                crate::spec::suggest(name, &names)
            ))),
            _ => {
                let fitting: Vec<&str> = fitting.iter().map(|r| r.name.as_str()).collect();
                Err(QueryError::sql(format!(
                    "`{name}` is the end of several runs: {}; write the whole name",
                    fitting.join(", ")
                )))
            }
        }
    }

    /// Names of the tables that any run has.
    pub fn tables(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = (self.all.iter())
            .flat_map(|r| r.tables.keys())
            .map(String::as_str)
            .collect();
        names.into_iter().collect()
    }
}

impl Run {
    /// Reads what a run folder says of itself, without opening a table.
    ///
    /// **Errors** if the folder cannot be listed or a commit record is damaged.
    pub(super) fn open(path: &Path, name: String) -> Result<Self, QueryError> {
        let (plan, status) = (
            json(&path.join("plan.json")),
            json(&path.join("status.json")),
        );
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Self {
            tables: tables::tables(path)?.into_iter().collect(),
            name,
            path: path.to_owned(),
            pipeline: text(&plan["name"]),
            fold: plan["fold"].as_i64(),
            seed: plan["seed"].as_u64(),
            progress: text(&status["progress"]),
            started: text(&status["started"]),
            version: text(&status["version"]),
            device: text(&status["machine"]["device"]),
        })
    }

    /// Files of every table.
    pub fn table_files(&self) -> impl Iterator<Item = PathBuf> {
        self.tables.values().flatten().cloned()
    }

    /// Files of a table, none where the run has not written it.
    pub fn files(&self, table: &str) -> &[PathBuf] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }
}

/// A file that a run writes for itself; null where there is none: the columns are null then.
fn json(path: &Path) -> Value {
    let text = store::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn is_marked(folder: &Path) -> Result<bool, QueryError> {
    any_exists(MARKS.iter().map(|mark| folder.join(mark)))
}

/// Returns `true` for a folder that a run wrote: its notes, or one of the tables.
fn is_run(folder: &Path) -> Result<bool, QueryError> {
    let of_table = |table: &&TableDef| folder.join(table.file_name());
    Ok(is_marked(folder)? || any_exists(TABLES.iter().map(of_table))?)
}

/// Returns `true` if one of the files is there. **Errors** if a store refuses or cannot be reached.
fn any_exists(paths: impl Iterator<Item = PathBuf>) -> Result<bool, QueryError> {
    for path in paths {
        let found = match store::is_url(&path) {
            true => store::exists(&path).map_err(tables::listing(&path))?,
            false => path.is_file(),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns `true` for a hidden folder, and one in which a run keeps what is its own.
fn is_of_a_run(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy());
    name.is_some_and(|n| n.starts_with('.') || n == "checkpoints" || tables::is_of_run(&n))
}

/// The path of a folder however it was written, so that a run counts once; that of a store stays.
fn whole(path: &Path) -> PathBuf {
    match store::is_url(path) {
        true => path.to_owned(),
        false => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// `runs/<name>/<stamp>` is called `<name>/<stamp>`, any other folder by its own name.
pub(crate) fn own_name(path: &Path) -> String {
    let whole = whole(path);
    let part = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let own = part(&whole).unwrap_or_else(|| "run".to_owned());
    match whole.parent().and_then(part) {
        Some(parent) if own.starts_with(|c: char| c.is_ascii_digit()) => format!("{parent}/{own}"),
        _ => own,
    }
}

#[cfg(test)]
mod tests;
