//! What a run folder says about itself.

use super::ReportError;
use crate::sink::{
    EdgeRow, FailureRow, Ledger, MetricRow, QualityRow, ScoreRow, SubjectRow, TableRow, WarningRow,
};
use crate::store;
use chrono::{DateTime, Local};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The tables of a run, empty where the run did not write them.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) written: Option<String>,
    pub(super) pipeline: Option<String>,
    /// `plan.json`, what was planned.
    pub(super) plan: Option<String>,
    /// `status.json`, how far it came.
    pub(super) status: Option<String>,
    pub(super) subjects: Vec<SubjectRow>,
    pub(super) metrics: Vec<MetricRow>,
    pub(super) scores: Vec<ScoreRow>,
    pub(super) edges: Vec<EdgeRow>,
    pub(super) failures: Vec<FailureRow>,
    pub(super) has_failures: bool,
    pub(super) warnings: Vec<WarningRow>,
    pub(super) quality: Vec<QualityRow>,
    tables: usize,
}

impl Run {
    pub(super) fn load(run_dir: &Path) -> Result<Self, ReportError> {
        let (mut tables, mut newest) = (0, None);
        let mut count = |found: Option<SystemTime>| {
            tables += usize::from(found.is_some());
            newest = newest.max(found);
        };
        let ledger = Ledger::open(run_dir)?;
        Ok(Self {
            name: name(run_dir),
            pipeline: store::read_to_string(&run_dir.join("pipeline.yaml")).ok(),
            plan: store::read_to_string(&run_dir.join("plan.json")).ok(),
            status: store::read_to_string(&run_dir.join("status.json")).ok(),
            subjects: table(&ledger, &mut count)?,
            metrics: table(&ledger, &mut count)?,
            scores: table(&ledger, &mut count)?,
            edges: table(&ledger, &mut count)?,
            failures: table(&ledger, &mut count)?,
            has_failures: !ledger.files(FailureRow::TABLE.name).is_empty(),
            warnings: table(&ledger, &mut count)?,
            quality: table(&ledger, &mut count)?,
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
    ledger: &Ledger,
    count: &mut impl FnMut(Option<SystemTime>),
) -> Result<Vec<R>, ReportError> {
    let files = ledger.files(R::TABLE.name);
    let modified = |path: &PathBuf| {
        let found = store::metadata(path).map(|version| version.changed());
        found.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    count(files.iter().map(modified).max());
    Ok(ledger.read()?)
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
