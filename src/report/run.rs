//! What a run folder says about itself.

use super::ReportError;
use crate::sink::{
    EdgeRow, FailureRow, MetricRow, ScoreRow, SubjectRow, TableRow, WarningRow, read_table,
};
use chrono::{DateTime, Local};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// The tables of a run, empty where the run did not write them.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) written: Option<String>,
    pub(super) pipeline: Option<String>,
    pub(super) subjects: Vec<SubjectRow>,
    pub(super) metrics: Vec<MetricRow>,
    pub(super) scores: Vec<ScoreRow>,
    pub(super) edges: Vec<EdgeRow>,
    pub(super) failures: Vec<FailureRow>,
    pub(super) has_failures: bool,
    pub(super) warnings: Vec<WarningRow>,
    tables: usize,
}

impl Run {
    pub(super) fn load(run_dir: &Path) -> Result<Self, ReportError> {
        let (mut tables, mut newest) = (0, None);
        let mut count = |found: Option<SystemTime>| {
            tables += usize::from(found.is_some());
            newest = newest.max(found);
        };
        Ok(Self {
            name: name(run_dir),
            pipeline: fs::read_to_string(run_dir.join("pipeline.yaml")).ok(),
            subjects: table(run_dir, &mut count)?,
            metrics: table(run_dir, &mut count)?,
            scores: table(run_dir, &mut count)?,
            edges: table(run_dir, &mut count)?,
            failures: table(run_dir, &mut count)?,
            has_failures: run_dir.join(FailureRow::TABLE.file_name()).is_file(),
            warnings: table(run_dir, &mut count)?,
            tables,
            written: newest.map(|time| {
                let local: DateTime<Local> = time.into();
                local.format("%Y-%m-%d %H:%M").to_string()
            }),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables == 0
    }
}

fn table<R: TableRow>(
    run_dir: &Path,
    count: &mut impl FnMut(Option<SystemTime>),
) -> Result<Vec<R>, ReportError> {
    let path = run_dir.join(R::TABLE.file_name());
    if !path.is_file() {
        count(None);
        return Ok(Vec::new());
    }
    let modified = path.metadata().and_then(|m| m.modified());
    count(Some(modified.unwrap_or(SystemTime::UNIX_EPOCH)));
    Ok(read_table(&path)?)
}

/// `runs/<name>/<stamp>` is called `<name> / <stamp>`, any other folder by its own name.
fn name(run_dir: &Path) -> String {
    let whole = fs::canonicalize(run_dir).unwrap_or_else(|_| run_dir.to_owned());
    let part = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let own = part(&whole).unwrap_or_else(|| "run".to_owned());
    match whole.parent().and_then(part) {
        Some(parent) if own.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{parent} / {own}")
        }
        _ => own,
    }
}
