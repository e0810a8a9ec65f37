//! Quality of the cohort: figures of its images and grids, and the subjects that are unlike the others.

use super::svg::significant;
use crate::kernel::percentile::percentiles;
use crate::sink::{QualityRow, SubjectRow};
use minijinja::Value;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Modified z-score beyond which a value is an outlier.
const OUTLIER: f64 = 3.5;
/// Fewest values among which outliers are named.
const FEWEST: usize = 5;
/// Outliers named of one figure.
const NAMED: usize = 12;
/// Width and height of a strip.
const STRIP: [f64; 2] = [220.0, 18.0];

/// One figure over the subjects.
#[derive(Serialize)]
pub(super) struct Line {
    modality: String,
    figure: String,
    median: String,
    range: String,
    strip: Value,
    outliers: Vec<String>,
    more: usize,
}

/// The figures of every modality, those with outliers first, and how many subjects are outliers.
///
/// **Law** a value is an outlier if 0.6745 |x - median| / MAD exceeds 3.5, where MAD is the median of
/// |x - median|; of fewer than five values, or if more than half of them are equal, none is.
/// **Source** Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993).
pub(super) fn lines(quality: &[QualityRow], subjects: &[SubjectRow]) -> (Vec<Line>, usize) {
    let mut values: BTreeMap<(String, String), Vec<(&str, f64)>> = BTreeMap::new();
    let mut add = |modality: &str, figure: &str, subject, value: f64| {
        if value.is_finite() {
            let of = values
                .entry((modality.to_owned(), figure.to_owned()))
                .or_default();
            of.push((subject, value));
        }
    };
    for row in quality.iter().filter(|r| r.sample == 0) {
        add(
            &row.modality,
            &row.name.replace('_', " "),
            &row.subject_id,
            row.value,
        );
    }
    for subject in subjects.iter().filter(|s| s.shape_x > 0) {
        let id = &subject.subject_id;
        for (axis, spacing) in [
            ("x", subject.spacing_x_mm),
            ("y", subject.spacing_y_mm),
            ("z", subject.spacing_z_mm),
        ] {
            add("grid", &format!("spacing {axis}, mm"), id, spacing);
        }
        for (axis, voxels, spacing) in [
            ("x", subject.shape_x, subject.spacing_x_mm),
            ("y", subject.shape_y, subject.spacing_y_mm),
            ("z", subject.shape_z, subject.spacing_z_mm),
        ] {
            add(
                "grid",
                &format!("extent {axis}, mm"),
                id,
                f64::from(voxels) * spacing,
            );
        }
    }
    let mut names: Vec<String> = Vec::new();
    let mut lines: Vec<(usize, Line)> = Vec::new();
    for ((modality, figure), values) in values {
        let outliers = outliers(&values);
        names.extend(outliers.iter().map(|(s, _)| (*s).to_owned()));
        // A grid that all subjects share says nothing.
        if modality == "grid" && outliers.is_empty() {
            continue;
        }
        lines.push((outliers.len(), line(modality, figure, &values, &outliers)));
    }
    names.sort();
    names.dedup();
    lines.sort_by_key(|(outliers, _)| *outliers == 0);
    (
        lines.into_iter().map(|(_, line)| line).collect(),
        names.len(),
    )
}

/// The outliers, the farthest first.
fn outliers<'a>(values: &[(&'a str, f64)]) -> Vec<(&'a str, f64)> {
    let numbers: Vec<f32> = values.iter().map(|(_, v)| *v as f32).collect();
    let median = |numbers: &[f32]| percentiles(numbers, f32::is_finite, &[50.0]).map(|v| v[0]);
    let Some(middle) = median(&numbers).filter(|_| values.len() >= FEWEST) else {
        return Vec::new();
    };
    let distances: Vec<f32> = numbers
        .iter()
        .map(|v| (f64::from(*v) - middle).abs() as f32)
        .collect();
    let spread = median(&distances).unwrap_or(0.0);
    if spread == 0.0 {
        return Vec::new();
    }
    let far = |value: f64| 0.6745 * (value - middle).abs() / spread;
    let mut found: Vec<(&str, f64)> = values
        .iter()
        .copied()
        .filter(|(_, v)| far(*v) > OUTLIER)
        .collect();
    found.sort_by(|a, b| far(b.1).total_cmp(&far(a.1)).then(a.0.cmp(b.0)));
    found
}

fn line(
    modality: String,
    figure: String,
    values: &[(&str, f64)],
    outliers: &[(&str, f64)],
) -> Line {
    let numbers: Vec<f32> = values.iter().map(|(_, v)| *v as f32).collect();
    let found = percentiles(&numbers, f32::is_finite, &[5.0, 50.0, 95.0]).unwrap_or_default();
    let text = |i: usize| found.get(i).map_or_else(String::new, |v| significant(*v));
    Line {
        modality,
        figure,
        median: text(1),
        range: format!("{} to {}", text(0), text(2)),
        strip: Value::from_safe_string(strip(values, outliers)),
        outliers: outliers
            .iter()
            .take(NAMED)
            .map(|(subject, value)| format!("{subject} ({})", significant(*value)))
            .collect(),
        more: outliers.len().saturating_sub(NAMED),
    }
}

/// Every subject as a mark from the smallest to the largest value; outliers are rings.
fn strip(values: &[(&str, f64)], outliers: &[(&str, f64)]) -> String {
    let [width, height] = STRIP;
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (_, v)| {
            (l.min(*v), h.max(*v))
        });
    let span = if high > low { high - low } else { 1.0 };
    let mut out = format!(
        r#"<svg class="strip" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{} values">"#,
        values.len()
    );
    for (subject, value) in values {
        let x = 6.0 + (value - low) / span * (width - 12.0);
        let is_outlier = outliers.iter().any(|(s, _)| s == subject);
        let mark = match is_outlier {
            true => format!(
                r#"<circle class="c1" cx="{x:.1}" cy="{}" r="4"/>"#,
                height / 2.0
            ),
            false => format!(
                r#"<line class="c0" x1="{x:.1}" x2="{x:.1}" y1="4" y2="{}"/>"#,
                height - 4.0
            ),
        };
        out.write_str(&mark).expect("a string takes every text");
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: &str, name: &str, value: f64) -> QualityRow {
        QualityRow {
            subject_id: subject.into(),
            sample: 0,
            step: 0,
            modality: "ct".into(),
            name: name.into(),
            value,
        }
    }

    #[test]
    fn values_far_from_the_median_are_named() {
        let mut rows: Vec<QualityRow> = (0..9)
            .map(|i| row(&format!("s{i}"), "snr", 20.0 + f64::from(i)))
            .collect();
        rows.push(row("odd", "snr", 90.0));
        rows.extend((0..9).map(|i| row(&format!("s{i}"), "nan_share", 0.0)));
        let (lines, subjects) = lines(&rows, &[]);
        assert_eq!(subjects, 1);
        assert_eq!(lines[0].figure, "snr");
        assert_eq!(lines[0].outliers, ["odd (90)"]);
        assert_eq!(lines[0].median, "24.5");
        assert!(lines[1].outliers.is_empty());
        // Few values are no crowd to be unlike.
        let (few, none) = super::lines(&rows[6..10], &[]);
        assert!(few[0].outliers.is_empty() && none == 0);
    }
}
