//! Sub-runs side by side: the same subjects, modalities and classes under several trainings.

use super::ReportError;
use super::scores::{Cell, cell, checkpoint, classes, foreground, modalities, rank};
use crate::metric::mean;
use crate::sink::{ScoreRow, TableRow, io_error, read_table};
use crate::store;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
pub(super) struct Comparison {
    runs: Vec<SubRun>,
    tables: Vec<Table>,
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

/// Compares sub-folders that hold scores; `None` where there are fewer than two.
pub(super) fn compare(run_dir: &Path) -> Result<Option<Comparison>, ReportError> {
    let mut found: Vec<(String, Vec<ScoreRow>)> = Vec::new();
    let Ok(entries) = store::list(run_dir) else {
        return Ok(None);
    };
    let is_there = |path: &Path| store::exists(path).map_err(io_error(path, "looking up"));
    for folder in entries.into_iter().filter(|e| e.is_folder) {
        let folder = folder.path;
        let path = folder.join(ScoreRow::TABLE.file_name());
        if let (Some(name), true) = (folder.file_name(), is_there(&path)?) {
            found.push((name.to_string_lossy().into_owned(), read_table(&path)?));
        }
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
    let tables = splits
        .into_iter()
        .map(|split| table(split, &found, &all))
        .collect();
    let runs = found.iter().map(|(name, _)| {
        let report = run_dir.join(name).join("report.html");
        SubRun {
            name: name.replace('_', " "),
            link: (store::exists(&report).unwrap_or(false)).then(|| format!("{name}/report.html")),
        }
    });
    Ok(Some(Comparison {
        runs: runs.collect(),
        tables,
    }))
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
