//! Runs side by side: the same subjects, modalities and classes under several trainings.

use super::ReportError;
use super::scores::{Cell, cell, checkpoint, classes, foreground, modalities, rank};
use crate::metric::{mean, paired};
use crate::query::Runs;
use crate::sink::{ScoreRow, read_run_table};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Most runs that have a column of their own in the tables of classes.
const MOST_COLUMNS: usize = 8;

#[derive(Serialize)]
pub(super) struct Comparison {
    runs: Vec<SubRun>,
    /// Each run against the best one, a split each.
    rankings: Vec<Ranking>,
    /// Every class; none where there are too many runs for columns.
    tables: Vec<Table>,
}

/// Runs by their mean Dice, and how far each is from the best.
#[derive(Serialize)]
struct Ranking {
    title: String,
    best: String,
    lines: Vec<Ranked>,
}

#[derive(Serialize)]
struct Ranked {
    run: String,
    link: Option<String>,
    dice: Cell,
    worst: String,
    subjects: usize,
    /// Difference to the best run on the subjects that both scored; `None` for the best itself.
    difference: Option<Difference>,
}

#[derive(Serialize)]
struct Difference {
    pairs: usize,
    mean: String,
    interval: String,
    p_value: String,
    /// The interval does not hold 0.
    is_clear: bool,
}

#[derive(Serialize)]
struct SubRun {
    name: String,
    /// Its own report, if it has one.
    link: Option<String>,
}

#[derive(Serialize)]
struct Table {
    title: String,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    modality: String,
    class: String,
    is_mean: bool,
    cells: Vec<Cell>,
    /// Position of the highest mean.
    best: Option<usize>,
    /// Last minus first, where there are two runs.
    difference: Option<String>,
}

/// Compares runs that have scores; `None` where there are fewer than two. Links are relative to
/// `folder`, in which the page will be.
pub(super) fn compare(runs: &Runs, folder: &Path) -> Result<Option<Comparison>, ReportError> {
    let mut found: Vec<(String, Vec<ScoreRow>)> = Vec::new();
    let mut links = BTreeMap::new();
    for run in &runs.all {
        let rows = read_run_table(&run.path)?;
        if rows.is_empty() {
            continue;
        }
        links.insert(run.name.clone(), link(&run.path, folder));
        found.push((run.name.clone(), rows));
    }
    if found.len() < 2 {
        return Ok(None);
    }
    let all: Vec<&ScoreRow> = found
        .iter()
        .flat_map(|(_, rows)| foreground(rows))
        .collect();
    let mut splits: Vec<&str> = all.iter().map(|s| s.split.as_str()).collect();
    splits.sort_by_key(|s| (rank(s), *s));
    splits.dedup();
    let rankings = splits.iter().map(|split| ranking(split, &found, &links));
    let tables = splits.iter().filter(|_| found.len() <= MOST_COLUMNS);
    let tables = tables.map(|split| table(split, &found, &all));
    let runs = found.iter().map(|(name, _)| SubRun {
        name: shown(name),
        link: links[name].clone(),
    });
    Ok(Some(Comparison {
        runs: runs.collect(),
        rankings: rankings.collect(),
        tables: tables.collect(),
    }))
}

/// A run's own page, if it has one below the folder.
fn link(run: &Path, folder: &Path) -> Option<String> {
    let report = run.join("report.html");
    let below = report
        .strip_prefix(folder)
        .ok()
        .filter(|_| report.is_file())?;
    let parts = below.components().map(|c| c.as_os_str().to_string_lossy());
    Some(parts.collect::<Vec<_>>().join("/"))
}

fn shown(name: &str) -> String {
    name.replace('_', " ")
}

/// Mean Dice over modalities and classes of every subject of a split under a run's checkpoint.
fn subject_means(rows: &[ScoreRow], split: &str) -> BTreeMap<String, f64> {
    let checkpoint = checkpoint(rows, split);
    let mut values: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for row in foreground(rows).filter(|s| s.split == split && s.checkpoint == checkpoint) {
        values.entry(&row.subject_id).or_default().push(row.dice);
    }
    let means = values
        .into_iter()
        .filter_map(|(id, v)| Some((id.to_owned(), mean(v)?)));
    means.collect()
}

fn ranking(
    split: &str,
    found: &[(String, Vec<ScoreRow>)],
    links: &BTreeMap<String, Option<String>>,
) -> Ranking {
    let mut runs: Vec<(&str, BTreeMap<String, f64>, &[ScoreRow])> = (found.iter())
        .map(|(name, rows)| (name.as_str(), subject_means(rows, split), rows.as_slice()))
        .filter(|(_, means, _)| !means.is_empty())
        .collect();
    let overall = |means: &BTreeMap<String, f64>| mean(means.values().map(|v| Some(*v)));
    runs.sort_by(|a, b| {
        let (x, y) = (overall(&a.1).unwrap_or(0.0), overall(&b.1).unwrap_or(0.0));
        y.total_cmp(&x).then(a.0.cmp(b.0))
    });
    let best = runs
        .first()
        .map(|(name, means, _)| ((*name).to_owned(), means.clone()));
    let (best, of_best) = best.unwrap_or_default();
    let lines = runs.iter().map(|(name, means, rows)| Ranked {
        run: shown(name),
        link: links.get(*name).cloned().flatten(),
        dice: cell(means.values().map(|v| Some(*v))),
        worst: worst_class(rows, split),
        subjects: means.len(),
        difference: (*name != best)
            .then(|| difference(means, &of_best))
            .flatten(),
    });
    Ranking {
        title: split.to_owned(),
        lines: lines.collect(),
        best: shown(&best),
    }
}

/// The class with the lowest mean Dice.
fn worst_class(rows: &[ScoreRow], split: &str) -> String {
    let checkpoint = checkpoint(rows, split);
    let own: Vec<&ScoreRow> = foreground(rows)
        .filter(|s| s.split == split && s.checkpoint == checkpoint)
        .collect();
    let classes: BTreeSet<&str> = own.iter().map(|s| s.class.as_str()).collect();
    let means = classes.into_iter().filter_map(|class| {
        let dice = own.iter().filter(|s| s.class == class).map(|s| s.dice);
        Some((mean(dice)?, class))
    });
    let worst = means.min_by(|a, b| a.0.total_cmp(&b.0));
    worst.map_or_else(String::new, |(dice, class)| format!("{class} {dice:.3}"))
}

fn difference(means: &BTreeMap<String, f64>, best: &BTreeMap<String, f64>) -> Option<Difference> {
    let pairs = means
        .iter()
        .filter_map(|(id, value)| Some(value - best.get(id)?));
    let test = paired(&pairs.collect::<Vec<f64>>())?;
    let interval = test.interval;
    Some(Difference {
        pairs: test.pairs,
        mean: format!("{:+.3}", test.mean),
        interval: interval.map_or_else(String::new, |[low, high]| {
            format!("{low:+.3} to {high:+.3}")
        }),
        p_value: test.p_value.map_or_else(
            || "–".to_owned(),
            |p| {
                if p < 0.001 {
                    "< 0.001".to_owned()
                } else {
                    format!("{p:.3}")
                }
            },
        ),
        is_clear: interval.is_some_and(|[low, high]| low > 0.0 || high < 0.0),
    })
}

fn table(split: &str, found: &[(String, Vec<ScoreRow>)], all: &[&ScoreRow]) -> Table {
    let own: Vec<&ScoreRow> = all.iter().copied().filter(|s| s.split == split).collect();
    let mut lines = Vec::new();
    let values = |rows: &[ScoreRow], modality: &str, class: &str| -> Vec<Option<f64>> {
        let checkpoint = checkpoint(rows, split);
        foreground(rows)
            .filter(|s| s.split == split && s.checkpoint == checkpoint)
            .filter(|s| s.modality == modality && s.class == class)
            .map(|s| s.dice)
            .collect()
    };
    let classes = classes(&own);
    for modality in modalities(&own) {
        for class in &classes {
            let cells = found
                .iter()
                .map(|(_, rows)| cell(values(rows, modality, class).into_iter()));
            lines.push(line(modality, class, false, cells.collect()));
        }
        let means = found.iter().map(|(_, rows)| {
            let by_class = classes
                .iter()
                .map(|class| mean(values(rows, modality, class)));
            let mut cell = cell(by_class);
            cell.sd = String::new();
            cell
        });
        lines.push(line(modality, "mean over classes", true, means.collect()));
    }
    Table {
        title: split.to_owned(),
        lines,
    }
}

fn line(modality: &str, class: &str, is_mean: bool, cells: Vec<Cell>) -> Line {
    let there = cells.iter().enumerate().filter(|(_, c)| c.count > 0);
    let best = there
        .max_by(|a, b| a.1.percent.total_cmp(&b.1.percent))
        .map(|(i, _)| i);
    let value = |c: &Cell| c.text.parse::<f64>().ok();
    let difference = match &cells[..] {
        [first, last] => value(first)
            .zip(value(last))
            .map(|(a, b)| format!("{:+.3}", b - a)),
        _ => None,
    };
    Line {
        modality: modality.to_owned(),
        class: class.to_owned(),
        is_mean,
        cells,
        best,
        difference,
    }
}
