//! Charts from the metrics table: losses, validation Dice, learning rate, and whatever else was
//! measured over steps.

use super::svg::{Chart, Series};
use crate::metric::mean;
use crate::sink::MetricRow;
use minijinja::Value;
use serde::Serialize;
use std::collections::BTreeMap;

/// More lines than this in one chart cannot be told apart.
const MOST_SERIES: usize = 21;

/// One chart with its heading.
#[derive(Serialize)]
pub(super) struct Panel {
    title: String,
    svg: Value,
}

/// Points by series name; several rows of one step (subjects, say) are averaged.
type Curves = BTreeMap<String, BTreeMap<i64, Vec<Option<f64>>>>;

/// All charts: losses first, then Dice, learning rate, then the rest by name.
pub(super) fn panels(metrics: &[MetricRow]) -> Vec<Panel> {
    let mut panels = Vec::new();
    panels.extend(panel(
        "Loss",
        "loss",
        metrics.iter().filter(|m| is_loss(m)),
        loss_series,
        None,
    ));
    panels.extend(dice_panels(metrics));
    let mut rest: Vec<&str> = metrics
        .iter()
        .filter(|m| !is_loss(m) && !is_validation_dice(m))
        .map(|m| m.name.as_str())
        .collect();
    rest.sort_by_key(|name| (*name != "mean_dice", *name != "lr", *name));
    rest.dedup();
    for name in rest {
        let rows = metrics
            .iter()
            .filter(|m| m.name == name && !is_validation_dice(m));
        let unit = metrics
            .iter()
            .find(|m| m.name == name)
            .map_or("", |m| m.unit.as_str());
        let title = match name {
            "lr" => "Learning rate".to_owned(),
            "mean_dice" => "Mean Dice".to_owned(),
            other => sentence(other),
        };
        let limits = (name == "mean_dice").then_some((0.0, 1.0));
        let axis = match unit {
            "" | "1" => title.to_lowercase(),
            unit => format!("{} ({unit})", title.to_lowercase()),
        };
        panels.extend(panel(&title, &axis, rows, other_series, limits));
    }
    panels
}

/// Mean validation Dice of several runs over their steps; `None` where no run measured it twice.
pub(super) fn over_runs(runs: &[(String, Vec<MetricRow>)]) -> Option<Panel> {
    let means = |rows: &[MetricRow]| -> Vec<(f64, f64)> {
        let mut steps: BTreeMap<i64, Vec<Option<f64>>> = BTreeMap::new();
        for row in rows
            .iter()
            .filter(|m| m.name == "mean_dice" && m.split == "validation")
        {
            steps.entry(row.step).or_default().push(finite(row.value));
        }
        let point = |(step, values): (i64, Vec<Option<f64>>)| Some((step as f64, mean(values)?));
        steps.into_iter().filter_map(point).collect()
    };
    let series = runs.iter().take(MOST_SERIES).map(|(name, rows)| Series {
        name: name.clone(),
        points: means(rows),
    });
    let series: Vec<Series> = series.filter(|s| s.points.len() > 1).collect();
    let chart = Chart {
        x_name: "step",
        y_name: "Dice".to_owned(),
        series,
        y_limits: Some((0.0, 1.0)),
    };
    let svg = chart.render();
    (!svg.is_empty()).then(|| Panel {
        title: "Mean validation Dice".to_owned(),
        svg: Value::from_safe_string(svg),
    })
}

/// Largest mean validation Dice, and the step it was reached at first: what was measured as
/// `mean_dice`, or the mean over heads and classes where it was not.
pub(super) fn best_validation_dice(metrics: &[MetricRow]) -> Option<(f64, i64)> {
    let means = || {
        metrics
            .iter()
            .filter(|m| m.name == "mean_dice" && m.split == "validation")
    };
    let dice = || metrics.iter().filter(|m| is_validation_dice(m));
    let mut steps: BTreeMap<i64, Vec<Option<f64>>> = BTreeMap::new();
    let mut add = |row: &MetricRow| steps.entry(row.step).or_default().push(finite(row.value));
    if means().next().is_some() {
        means().for_each(&mut add);
    } else {
        dice().for_each(&mut add);
    }
    steps
        .into_iter()
        .filter_map(|(step, values)| mean(values).map(|dice| (dice, step)))
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
}

fn dice_panels(metrics: &[MetricRow]) -> Vec<Panel> {
    let rows = || metrics.iter().filter(|m| is_validation_dice(m));
    let mut modalities: Vec<Option<&str>> = rows().map(|m| m.modality.as_deref()).collect();
    modalities.sort_unstable();
    modalities.dedup();
    let several = modalities.len() > 1;
    let dice = |modality: Option<&str>| {
        let title = match modality {
            Some(modality) if several => format!("Validation Dice, {modality}"),
            _ => "Validation Dice".to_owned(),
        };
        let own = rows().filter(move |m| m.modality.as_deref() == modality);
        panel(&title, "Dice", own, dice_series, Some((0.0, 1.0)))
    };
    modalities.into_iter().filter_map(dice).collect()
}

fn is_loss(row: &MetricRow) -> bool {
    row.name == "loss" || row.name.starts_with("loss_")
}

fn is_validation_dice(row: &MetricRow) -> bool {
    row.name == "dice" && row.split == "validation"
}

fn loss_series(row: &MetricRow) -> String {
    let term = row.name.strip_prefix("loss_").unwrap_or("total");
    match row.split.as_str() {
        "train" => term.replace('_', " "),
        split => format!("{} ({split})", term.replace('_', " ")),
    }
}

fn dice_series(row: &MetricRow) -> String {
    row.class.clone().unwrap_or_else(|| "mean".to_owned())
}

fn other_series(row: &MetricRow) -> String {
    let parts = [row.modality.as_deref(), row.class.as_deref()];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    match (parts.is_empty(), row.split.as_str()) {
        (true, split) => split.to_owned(),
        (false, "train") => parts.join(" · "),
        (false, split) => format!("{} · {split}", parts.join(" · ")),
    }
}

fn panel<'a>(
    title: &str,
    axis: &str,
    rows: impl Iterator<Item = &'a MetricRow>,
    series_of: impl Fn(&MetricRow) -> String,
    y_limits: Option<(f64, f64)>,
) -> Option<Panel> {
    let mut order: Vec<String> = Vec::new();
    let mut curves = Curves::new();
    for row in rows {
        let name = series_of(row);
        if !curves.contains_key(&name) {
            order.push(name.clone());
        }
        let steps = curves.entry(name).or_default();
        steps.entry(row.step).or_default().push(finite(row.value));
    }
    let mut series: Vec<Series> = Vec::new();
    // In the order of first appearance, which is the order in which classes were declared.
    for name in order.into_iter().take(MOST_SERIES) {
        let steps = curves.remove(&name).unwrap_or_default();
        let points = steps
            .into_iter()
            .map(|(step, values)| (step as f64, mean(values).unwrap_or(f64::NAN)));
        series.push(Series {
            points: points.collect(),
            name,
        });
    }
    if series.iter().all(|s| s.points.len() < 2) {
        return None;
    }
    let chart = Chart {
        x_name: "step",
        y_name: axis.to_owned(),
        series,
        y_limits,
    };
    let svg = chart.render();
    (!svg.is_empty()).then(|| Panel {
        title: title.to_owned(),
        svg: Value::from_safe_string(svg),
    })
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// `kept_fraction` as `Kept fraction`.
fn sentence(name: &str) -> String {
    let words = name.replace(['_', '.'], " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}
