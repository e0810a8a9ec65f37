//! One page about a run, or about several, that opens without a network: `report.html`.
//!
//! Everything shown is computed from the Parquet tables of runs; a table that is not there leaves its
//! section out. Pictures are drawn by whoever has the data and handed in.

mod compare;
mod curves;
mod error;
mod facts;
mod graph;
mod pictures;
mod quality;
mod run;
mod scores;
mod svg;
mod units;

pub use error::ReportError;
pub use pictures::{ClassPictures, Picture, Pictures};

use crate::query::{QueryError, Runs};
use crate::sink::parquet::write_whole;
use crate::sink::{EdgeRow, FailureRow, ScoreRow, WarningRow, read_run_table};
use crate::spec::counted;
use curves::Panel;
use run::Run;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use units::{duration, size};

/// Failures shown, and warnings; the tables hold them all.
const MOST_SHOWN: usize = 200;

#[derive(Serialize)]
struct Page {
    name: String,
    written: Option<String>,
    version: &'static str,
    pipeline: Option<String>,
    cards: Vec<Card>,
    facts: Vec<(&'static str, String)>,
    comparison: Option<compare::Comparison>,
    panels: Vec<Panel>,
    scores: Vec<scores::Group>,
    pictures: pictures::Shown,
    lanes: Vec<graph::Lane>,
    edges: Vec<EdgeView>,
    busiest: Option<String>,
    quality: Vec<quality::Line>,
    outliers: usize,
    failures: Vec<FailureRow>,
    failures_total: usize,
    warnings: Vec<WarningRow>,
    warnings_total: usize,
}

#[derive(Serialize)]
struct Card {
    label: &'static str,
    value: String,
    note: String,
}

#[derive(Serialize)]
struct EdgeView {
    node: String,
    rows: i64,
    size: String,
    failures: i64,
    busy: Share,
    starved: Share,
    blocked: Share,
}

/// A time, and its share of the longest bar in per cent.
#[derive(Serialize)]
struct Share {
    time: String,
    percent: f64,
}

/// Writes `report.html` into a run folder, here or in a store, from the tables there, without pictures, and
/// says where it is.
///
/// Sub-folders with `scores.parquet` are compared with each other.
/// **Errors** when the folder holds no table, a table is damaged or the page cannot be written.
pub fn write(run_dir: &Path) -> Result<PathBuf, ReportError> {
    write_to(&run_dir.join("report.html"), run_dir, &Pictures::default())
}

/// Writes the page of a run into a file, and says where it is.
///
/// **Errors** as [`write()`].
pub fn write_to(path: &Path, run_dir: &Path, pictures: &Pictures) -> Result<PathBuf, ReportError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let html = page_of(run_dir, pictures, folder)?;
    write_whole(path, html.as_bytes())?;
    Ok(path.to_owned())
}

/// The page of a run.
///
/// **Errors** as [`write()`].
pub fn html(run_dir: &Path, pictures: &Pictures) -> Result<String, ReportError> {
    page_of(run_dir, pictures, run_dir)
}

/// The page of a run; links are relative to `folder`.
fn page_of(run_dir: &Path, pictures: &Pictures, folder: &Path) -> Result<String, ReportError> {
    let run = Run::load(run_dir)?;
    let comparison = match Runs::below(run_dir) {
        Ok(below) => compare::compare(&below, folder)?,
        // A folder without runs has nothing to compare.
        Err(QueryError::Empty { .. }) => None,
        Err(e) => return Err(e.into()),
    };
    if run.is_empty() && comparison.is_none() {
        return Err(ReportError::Empty {
            path: run_dir.to_owned(),
        });
    }
    let (quality, outliers) = quality::lines(&run.quality, &run.subjects);
    let page = Page {
        cards: cards(&run),
        facts: facts::facts(&run),
        comparison,
        panels: curves::panels(&run.metrics),
        scores: scores::groups(&run.scores),
        pictures: pictures::Shown::of(pictures),
        lanes: graph::lanes(run.plan.as_deref(), &run.edges),
        edges: edge_views(&run.edges),
        busiest: busiest(&run.edges),
        quality,
        outliers,
        failures_total: run.failures.len(),
        failures: run.failures.into_iter().take(MOST_SHOWN).collect(),
        warnings_total: run.warnings.len(),
        warnings: run.warnings.into_iter().take(MOST_SHOWN).collect(),
        name: run.name,
        written: run.written,
        version: env!("CARGO_PKG_VERSION"),
        pipeline: run.pipeline,
    };
    render(&page)
}

/// Writes the page of several runs side by side into a file, and says where it is.
///
/// **Errors** if fewer than two runs have scores, a table is damaged or the page cannot be written.
pub fn write_runs(path: &Path, runs: &Runs) -> Result<PathBuf, ReportError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let comparison = compare::compare(runs, folder)?;
    if comparison.is_none() {
        return Err(ReportError::Alone {
            runs: runs.all.iter().map(|r| r.name.clone()).collect(),
        });
    }
    let mut metrics = Vec::new();
    for run in &runs.all {
        metrics.push((run.name.clone(), read_run_table(&run.path)?));
    }
    let html = render(&Page {
        name: counted(runs.all.len(), "run"),
        written: None,
        version: env!("CARGO_PKG_VERSION"),
        pipeline: None,
        cards: Vec::new(),
        facts: Vec::new(),
        comparison,
        panels: curves::over_runs(&metrics).into_iter().collect(),
        scores: Vec::new(),
        pictures: pictures::Shown::of(&Pictures::default()),
        lanes: Vec::new(),
        edges: Vec::new(),
        busiest: None,
        quality: Vec::new(),
        outliers: 0,
        failures: Vec::new(),
        failures_total: 0,
        warnings: Vec::new(),
        warnings_total: 0,
    })?;
    write_whole(path, html.as_bytes())?;
    Ok(path.to_owned())
}

fn render(page: &Page) -> Result<String, ReportError> {
    let mut templates = minijinja::Environment::new();
    // The name's ending turns escaping on.
    templates.add_template("report.html", include_str!("report.html"))?;
    let template = templates.get_template("report.html")?;
    Ok(template.render(minijinja::value::Serde(page))?)
}

/// The split whose subjects are shown: test, else validation, else train, of those that have scores.
pub fn shown_split(scores: &[ScoreRow]) -> String {
    let splits = scores.iter().map(|s| s.split.as_str());
    let first = splits.min_by_key(|s| (scores::rank(s), *s));
    first.unwrap_or_default().to_owned()
}

/// The checkpoint whose scores of a split are shown: the best one, where there are scores of it.
pub fn shown_checkpoint<'a>(scores: &'a [ScoreRow], split: &str) -> &'a str {
    scores::checkpoint(scores, split)
}

fn cards(run: &Run) -> Vec<Card> {
    let mut cards = Vec::new();
    let mut card = |label, value: String, note: String| cards.push(Card { label, value, note });
    if let Some((dice, step)) = curves::best_validation_dice(&run.metrics) {
        card(
            "best validation Dice",
            format!("{dice:.3}"),
            format!("at step {step}"),
        );
    }
    let regions = scores::regions(&run.scores);
    if let Some(dice) = scores::overall_dice(&run.scores, "test", regions) {
        let note = "mean over modalities and regions".to_owned();
        card("test Dice, regions", format!("{dice:.3}"), note);
    }
    let classes = scores::foreground(&run.scores);
    if let Some(dice) = scores::overall_dice(&run.scores, "test", classes) {
        let note = "mean over modalities and classes".to_owned();
        card("test Dice", format!("{dice:.3}"), note);
    }
    if let Some(last) = run.metrics.iter().max_by_key(|m| m.step) {
        card(
            "steps",
            last.step.to_string(),
            counted(last.epoch + 1, "epoch"),
        );
    }
    if !run.subjects.is_empty() {
        let labelled = run.subjects.iter().filter(|s| s.labelled).count();
        card(
            "subjects",
            run.subjects.len().to_string(),
            format!("{labelled} labelled"),
        );
    }
    let seconds: f64 = run.subjects.iter().filter_map(|s| s.seconds).sum();
    if seconds > 0.0 {
        let bytes: i64 = run.subjects.iter().map(|s| s.bytes).sum();
        card(
            "preparation",
            duration(seconds),
            format!("{} read", size(bytes)),
        );
    }
    if run.has_failures {
        let note = if run.failures.is_empty() {
            "every subject went through"
        } else {
            "see below"
        };
        card("failures", run.failures.len().to_string(), note.to_owned());
    }
    if !run.warnings.is_empty() {
        let subjects: BTreeSet<_> = run.warnings.iter().map(|w| &w.subject_id).collect();
        let subjects = subjects.into_iter().flatten().count();
        let note = match subjects {
            0 => "about the run".to_owned(),
            n => format!("about {}", counted(n, "subject")),
        };
        card("warnings", run.warnings.len().to_string(), note);
    }
    cards
}

fn edge_views(edges: &[EdgeRow]) -> Vec<EdgeView> {
    let longest = edges
        .iter()
        .map(total_seconds)
        .fold(0.0, f64::max)
        .max(f64::MIN_POSITIVE);
    let share = |seconds: f64| Share {
        time: duration(seconds),
        percent: (seconds / longest * 1000.0).round() / 10.0,
    };
    let view = |edge: &EdgeRow| EdgeView {
        node: edge.node.clone(),
        rows: edge.rows,
        size: size(edge.bytes),
        failures: edge.failures,
        busy: share(edge.busy_seconds),
        starved: share(edge.starved_seconds),
        blocked: share(edge.blocked_seconds),
    };
    edges.iter().map(view).collect()
}

fn total_seconds(edge: &EdgeRow) -> f64 {
    edge.busy_seconds + edge.starved_seconds + edge.blocked_seconds
}

/// The node that worked most: making it faster makes the run faster.
fn busiest(edges: &[EdgeRow]) -> Option<String> {
    let all: f64 = edges.iter().map(|e| e.busy_seconds).sum();
    let node = edges
        .iter()
        .max_by(|a, b| a.busy_seconds.total_cmp(&b.busy_seconds))?;
    let share = node.busy_seconds / all.max(f64::MIN_POSITIVE) * 100.0;
    let time = duration(node.busy_seconds);
    Some(format!(
        "Most work was done by {}: {time}, {share:.0} % of all",
        node.node
    ))
}

#[cfg(test)]
mod tests;
