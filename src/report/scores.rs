//! Score tables: mean and standard deviation by class and modality, and every subject.

use crate::metric::mean;
use crate::sink::ScoreRow;
use serde::Serialize;
use std::collections::BTreeMap;

/// A class is weak when its mean Dice is below this …
const WEAK_DICE: f64 = 0.5;
/// … or this far below the mean over the classes of its modality.
const WEAK_GAP: f64 = 0.1;
/// Subjects shown; the lowest come first.
const MOST_SUBJECTS: usize = 200;

/// Scores of one split under one checkpoint.
#[derive(Serialize)]
pub(super) struct Group {
    title: String,
    /// What the lines are: `class` or `region`.
    line: &'static str,
    lines: &'static str,
    modalities: Vec<String>,
    classes: Vec<ClassLine>,
    overall: Vec<Cell>,
    /// Names of further figures.
    figures: Vec<String>,
    columns: Vec<String>,
    subjects: Vec<SubjectLine>,
    subjects_total: usize,
    weak: Vec<String>,
}

#[derive(Serialize)]
struct ClassLine {
    class: String,
    cells: Vec<Cell>,
    truth_ml: String,
    predicted_ml: String,
    /// Further figures, in the order of the group's `figures`.
    figures: Vec<String>,
}

/// Mean ± standard deviation, how many subjects, and whether it is weak.
#[derive(Serialize, Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) sd: String,
    pub(super) count: usize,
    pub(super) weak: bool,
    /// Mean in per cent, for a bar behind the number.
    pub(super) percent: f64,
}

#[derive(Serialize)]
struct SubjectLine {
    subject: String,
    modality: String,
    cells: Vec<Cell>,
    mean: Cell,
}

/// Scores of classes: background is not a score anybody asks for, and regions overlap the classes.
pub(super) fn foreground(scores: &[ScoreRow]) -> impl Iterator<Item = &ScoreRow> {
    scores.iter().filter(|s| s.class_id > 0)
}

/// Scores of regions, which are unions of classes.
pub(super) fn regions(scores: &[ScoreRow]) -> impl Iterator<Item = &ScoreRow> {
    scores.iter().filter(|s| s.class_id < 0)
}

/// Groups in the order test, validation, train, each with its checkpoints; of each the regions first,
/// where there are any, then the classes.
pub(super) fn groups(scores: &[ScoreRow]) -> Vec<Group> {
    let all = || regions(scores).chain(foreground(scores));
    let mut keys: Vec<(usize, &str, &str, bool)> = all()
        .map(|s| (rank(&s.split), &*s.split, &*s.checkpoint, s.class_id > 0))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let has_regions = regions(scores).next().is_some();
    keys.into_iter()
        .map(|(_, split, checkpoint, is_class)| {
            let own = all().filter(|s| s.split == split && s.checkpoint == checkpoint);
            let rows: Vec<&ScoreRow> = own.filter(|s| (s.class_id > 0) == is_class).collect();
            let (line, lines) = match is_class {
                true => ("class", "classes"),
                false => ("region", "regions"),
            };
            let mut title = format!("{split}, {checkpoint} checkpoint");
            if has_regions {
                title += &format!(": {lines}");
            }
            group(title, (line, lines), &rows)
        })
        .collect()
}

/// The best checkpoint of a split where there are scores of it, else the first.
pub(super) fn checkpoint<'a>(rows: &'a [ScoreRow], split: &str) -> &'a str {
    let of_split = || rows.iter().filter(|s| s.split == split);
    let best = of_split().find(|s| s.checkpoint == "best");
    best.or_else(|| of_split().next())
        .map_or("", |s| &s.checkpoint)
}

/// Mean Dice of a split under its best checkpoint, of all classes or all regions: over subjects for each
/// modality and class, then over those, so that every class weighs the same.
pub(super) fn overall_dice<'a>(
    rows: &'a [ScoreRow],
    split: &str,
    of: impl Iterator<Item = &'a ScoreRow>,
) -> Option<f64> {
    let checkpoint = checkpoint(rows, split);
    let mut means: BTreeMap<(&str, i32), Vec<Option<f64>>> = BTreeMap::new();
    for row in of.filter(|s| s.split == split && s.checkpoint == checkpoint) {
        let values = means.entry((&row.modality, row.class_id)).or_default();
        values.push(row.dice);
    }
    mean(means.into_values().map(mean))
}

pub(super) fn rank(split: &str) -> usize {
    let order = ["test", "validation", "train"];
    order
        .iter()
        .position(|s| *s == split)
        .unwrap_or(order.len())
}

/// Classes in the order of their numbers, or regions in the order in which they are painted.
pub(super) fn classes<'a>(rows: &[&'a ScoreRow]) -> Vec<&'a str> {
    let classes: BTreeMap<u32, &str> = rows
        .iter()
        .map(|s| (s.class_id.unsigned_abs(), s.class.as_str()))
        .collect();
    classes.into_values().collect()
}

/// Modalities in the order of their first appearance.
pub(super) fn modalities<'a>(rows: &[&'a ScoreRow]) -> Vec<&'a str> {
    let mut modalities: Vec<&str> = Vec::new();
    for row in rows {
        if !modalities.contains(&row.modality.as_str()) {
            modalities.push(&row.modality);
        }
    }
    modalities
}

/// Mean and sample standard deviation of the values there are.
pub(super) fn cell(values: impl Iterator<Item = Option<f64>>) -> Cell {
    let values: Vec<f64> = values.flatten().collect();
    let Some(mean) = mean(values.iter().copied().map(Some)) else {
        return Cell {
            text: "–".to_owned(),
            ..Cell::default()
        };
    };
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let sd = (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt());
    Cell {
        text: format!("{mean:.3}"),
        sd: sd.map_or_else(String::new, |sd| format!("± {sd:.3}")),
        count: values.len(),
        weak: false,
        percent: (mean * 1000.0).round() / 10.0,
    }
}

/// Further figures of a group's rows: name, and value of a row; those that no row has are left out.
fn figures(rows: &[&ScoreRow]) -> Vec<Figure> {
    let tolerances = rows.iter().map(|s| &s.nsd_tolerance_mm);
    let tolerances = tolerances.max_by_key(|t| t.len()).cloned();
    let mut all: Vec<Figure> = vec![
        ("HD95, mm".to_owned(), Box::new(|s| s.hd95_mm)),
        ("HD95 (MONAI), mm".to_owned(), Box::new(|s| s.hd95_monai_mm)),
        ("HD95 (MedPy), mm".to_owned(), Box::new(|s| s.hd95_medpy_mm)),
        ("ASSD, mm".to_owned(), Box::new(|s| s.assd_mm)),
    ];
    for (i, tolerance) in tolerances.unwrap_or_default().into_iter().enumerate() {
        let value = move |s: &ScoreRow| s.nsd.get(i).copied().map(f64::from);
        all.push((format!("NSD at {tolerance} mm"), Box::new(value)));
    }
    all.push(("lesion F1".to_owned(), Box::new(|s| s.lesion_f1)));
    all.retain(|(_, value)| rows.iter().any(|s| value(s).is_some()));
    if rows.iter().any(|s| s.missed) {
        // Distances are null where a class was missed: their means leave it out.
        let missed = |s: &ScoreRow| (s.truth_voxels > 0).then_some(f64::from(u8::from(s.missed)));
        all.push(("missed, share of subjects".to_owned(), Box::new(missed)));
    }
    all
}

/// Name of a figure, and its value in a row.
type Figure = (String, Box<dyn Fn(&ScoreRow) -> Option<f64>>);

fn group(title: String, (line, lines): (&'static str, &'static str), rows: &[&ScoreRow]) -> Group {
    let (classes, modalities) = (classes(rows), modalities(rows));
    let figures = figures(rows);
    let of = |modality: &str, class: Option<&str>| -> Vec<&ScoreRow> {
        rows.iter()
            .filter(|s| s.modality == modality && class.is_none_or(|c| s.class == c))
            .copied()
            .collect()
    };
    let overall: Vec<Cell> = modalities
        .iter()
        .map(|m| {
            // Every class weighs the same, however many subjects have it.
            let mut all = cell(
                classes
                    .iter()
                    .map(|c| mean(of(m, Some(c)).iter().map(|s| s.dice))),
            );
            all.sd = String::new();
            all
        })
        .collect();
    let mut weak = Vec::new();
    let of_classes = classes.iter().map(|class| {
        let cells = modalities.iter().zip(&overall).map(|(m, overall)| {
            let mut cell = cell(of(m, Some(class)).iter().map(|s| s.dice));
            cell.weak = cell.count > 0
                && (cell.percent < 100.0 * WEAK_DICE
                    || cell.percent < overall.percent - 100.0 * WEAK_GAP);
            if cell.weak {
                weak.push(format!("{class} in {m}"));
            }
            cell
        });
        let cells = cells.collect();
        let own = || rows.iter().filter(|s| s.class == *class);
        let ml = |values: Option<f64>| values.map_or_else(|| "–".to_owned(), |v| format!("{v:.1}"));
        ClassLine {
            class: (*class).to_owned(),
            cells,
            truth_ml: ml(mean(own().map(|s| Some(s.truth_ml)))),
            predicted_ml: ml(mean(own().map(|s| Some(s.predicted_ml)))),
            figures: figures
                .iter()
                .map(|(_, value)| {
                    let mean = mean(own().map(|s| value(s)));
                    mean.map_or_else(|| "–".to_owned(), |v| format!("{v:.2}"))
                })
                .collect(),
        }
    });
    let of_classes = of_classes.collect();
    let mut subjects = subject_lines(rows, &classes);
    let subjects_total = subjects.len();
    subjects.truncate(MOST_SUBJECTS);
    Group {
        title,
        line,
        lines,
        modalities: modalities.iter().map(|m| (*m).to_owned()).collect(),
        classes: of_classes,
        overall,
        figures: figures.iter().map(|(name, _)| name.clone()).collect(),
        columns: classes.iter().map(|c| (*c).to_owned()).collect(),
        subjects,
        subjects_total,
        weak,
    }
}

/// One line a subject and modality, lowest mean first.
fn subject_lines(rows: &[&ScoreRow], classes: &[&str]) -> Vec<SubjectLine> {
    let mut lines: BTreeMap<(&str, &str), Vec<&ScoreRow>> = BTreeMap::new();
    for row in rows {
        lines
            .entry((&row.subject_id, &row.modality))
            .or_default()
            .push(row);
    }
    let single = |values: Vec<Option<f64>>| {
        let mut cell = cell(values.into_iter());
        cell.sd = String::new();
        cell.weak = cell.count > 0 && cell.percent < 100.0 * WEAK_DICE;
        cell
    };
    let mut lines: Vec<SubjectLine> = lines
        .into_iter()
        .map(|((subject, modality), rows)| SubjectLine {
            subject: subject.to_owned(),
            modality: modality.to_owned(),
            cells: classes
                .iter()
                .map(|c| {
                    single(
                        rows.iter()
                            .filter(|s| s.class == *c)
                            .map(|s| s.dice)
                            .collect(),
                    )
                })
                .collect(),
            mean: single(rows.iter().map(|s| s.dice).collect()),
        })
        .collect();
    lines.sort_by(|a, b| a.mean.percent.total_cmp(&b.mean.percent));
    lines
}
