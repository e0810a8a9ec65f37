//! Which rows a run recorded: those of `prepared` with their voxels, those of `views` with digests.

use crate::error::Error;
use crate::sink::{Ledger, SinkError, TableRow as _, ViewRow, read_prepared_where, read_table};
use crate::spec::suggest;
use crate::store;
use crate::volume::{Row, row::DrawRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rows that an error names.
const NAMED: usize = 8;

/// Which recorded rows are asked for; a field that is `None` accepts all.
#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    /// The subject.
    pub subject: Option<String>,
    /// Pass over the data.
    pub epoch: Option<u64>,
    /// Sample of the subject in this pass.
    pub sample: Option<u32>,
    /// Name of the view.
    pub view: Option<String>,
}

/// What is known of the voxels of a recorded row.
#[derive(Debug, Clone)]
pub enum Kept {
    /// The row itself.
    Voxels(Box<Row>),
    /// A digest of each volume by its column, as of [`digest`](crate::run::expect::digest).
    Digests(BTreeMap<String, String>),
}

/// A row that a run recorded.
#[derive(Debug, Clone)]
pub struct RecordedRow {
    /// The subject.
    pub subject: String,
    /// Pass over the data.
    pub epoch: u64,
    /// Sample of the subject in this pass.
    pub sample: u32,
    /// Name of the view; empty for a prepared row.
    pub view: String,
    /// What was drawn.
    pub draws: Vec<DrawRecord>,
    /// What its voxels were.
    pub kept: Kept,
}

impl std::fmt::Display for RecordedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            subject,
            epoch,
            sample,
            view,
            ..
        } = self;
        write!(f, "{subject}, epoch {epoch}, sample {sample}")?;
        match view.is_empty() {
            true => write!(f, ", prepared"),
            false => write!(f, ", view {view}"),
        }
    }
}

impl RowFilter {
    fn accepts(&self, row: &RecordedRow) -> bool {
        self.accepts_subject(&row.subject)
            && self.epoch.is_none_or(|epoch| epoch == row.epoch)
            && self.sample.is_none_or(|sample| sample == row.sample)
            && self.view.as_ref().is_none_or(|view| *view == row.view)
    }

    fn accepts_subject(&self, subject: &str) -> bool {
        self.subject.as_ref().is_none_or(|wanted| wanted == subject)
    }
}

/// What was met while looking, for the error where nothing was found.
#[derive(Default)]
struct Met {
    rows: usize,
    subjects: BTreeSet<String>,
    /// Rows of the subject that was asked for.
    own: BTreeSet<String>,
}

/// Calls `each` with the recorded rows of a run that the filter accepts, in the order of the tables, until it
/// returns `false`.
///
/// **Errors** if nothing was recorded, no row is accepted, a table cannot be read, or `each` fails.
pub fn visit(
    run: &Path,
    filter: &RowFilter,
    mut each: impl FnMut(RecordedRow) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut met = Met::default();
    let mut found = false;
    let mut offer = |row: RecordedRow, met: &mut Met| -> Result<bool, Error> {
        met.rows += 1;
        if !filter.accepts(&row) {
            if filter.accepts_subject(&row.subject) && met.own.len() <= NAMED {
                met.own.insert(row.to_string());
            }
            met.subjects.insert(row.subject);
            return Ok(true);
        }
        found = true;
        each(row)
    };
    'all: {
        for file in view_files(run)? {
            for row in read_table::<ViewRow>(&file)? {
                if !offer(of_view(&file, row)?, &mut met)? {
                    break 'all;
                }
            }
        }
        for (file, subjects) in Ledger::open(run)?.files_with_subjects("prepared")? {
            for subject in subjects {
                if !filter.accepts_subject(&subject) {
                    met.rows += 1;
                    met.subjects.insert(subject);
                    continue;
                }
                for row in read_prepared_where(&file, |id, _| id == subject)? {
                    if !offer(of_prepared(row), &mut met)? {
                        break 'all;
                    }
                }
            }
        }
    }
    match found {
        true => Ok(()),
        false => Err(nothing(run, filter, &met)),
    }
}

/// The error where no recorded row is accepted.
fn nothing(run: &Path, filter: &RowFilter, met: &Met) -> Error {
    let run = run.display();
    if met.rows == 0 {
        return Error::run(format!(
            "{run}: nothing is stored to compare with: the run recorded no rows. `sinks: {{ views: {{}} }}` records the views of a training, `sinks: {{ prepared: {{ parquet: true }} }}` prepared rows; `voxstream view` draws a view anew"
        ));
    }
    let listed = |what: &str, rows: &BTreeSet<String>| {
        let first: Vec<&str> = rows.iter().take(NAMED).map(String::as_str).collect();
        let more = if rows.len() > NAMED { "; …" } else { "" };
        format!("{what}{}{more}", first.join("; "))
    };
    match &filter.subject {
        Some(subject) if met.own.is_empty() => {
            let ids: Vec<&str> = met.subjects.iter().map(String::as_str).collect();
            let hint = suggest(subject, &ids);
            let hint = match ids.len() > NAMED && !hint.starts_with("did you mean") {
                true => listed("recorded are ", &met.subjects),
                false => hint,
            };
            Error::run(format!("{run}: no row of `{subject}` was recorded; {hint}"))
        }
        Some(subject) => Error::run(format!(
            "{run}: no recorded row of `{subject}` is the one asked for; {}",
            listed("recorded are: ", &met.own)
        )),
        None => Error::run(format!(
            "{run}: no recorded row is the one asked for; {}",
            listed("recorded are: ", &met.own)
        )),
    }
}

/// Files of the table `views`, in order.
fn view_files(run: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = run.join(ViewRow::TABLE.name);
    let entries = match store::list(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(Error::io(&folder, "listing the recorded views"))?,
    };
    let paths = entries.into_iter().map(|entry| entry.path);
    Ok(paths.filter(|path| is_table(path)).collect())
}

/// Hidden files are tables in the making.
fn is_table(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.ends_with(".parquet") && !name.starts_with('.'))
}

fn of_view(file: &Path, row: ViewRow) -> Result<RecordedRow, Error> {
    let draws = serde_json::from_str(&row.draws).map_err(|e| {
        Error::from(SinkError::Rows {
            problem: format!("{}: column `draws`: {e}", file.display()),
        })
    })?;
    Ok(RecordedRow {
        subject: row.subject_id,
        epoch: row.epoch.unsigned_abs(),
        sample: row.sample.unsigned_abs(),
        view: row.view,
        draws,
        kept: Kept::Digests(row.digests),
    })
}

fn of_prepared(row: Row) -> RecordedRow {
    RecordedRow {
        subject: row.subject.clone(),
        epoch: row.epoch,
        sample: row.sample,
        view: row.view.clone(),
        draws: row.draws.clone(),
        kept: Kept::Voxels(Box::new(row)),
    }
}
