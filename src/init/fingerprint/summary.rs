//! A fingerprint in words, for `inspect FOLDER`.

use super::{Fingerprint, Intensity, VolumePrint, moments};
use crate::init::layout::Layout;
use crate::init::numbers::{median, short};
use crate::kernel::percentile::percentiles;
use crate::volume::Role;
use crate::volume::row::column_name;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result, Write};

/// Describes a data set on `out`: layout, subjects, grids, intensities, classes, what does not fit.
///
/// **Errors** if `out` cannot be written.
pub fn describe(layout: &Layout, print: &Fingerprint, out: &mut dyn Write) -> Result<()> {
    let mut line = |name: &str, text: &str| writeln!(out, "  {name:<13} {text}");
    line("layout", &layout.kind)?;
    for note in &layout.notes {
        line("note", note)?;
    }
    let labelled =
        |s: &&crate::source::SubjectRecord| s.labels.iter().any(|l| l.location.is_some());
    let patients: BTreeSet<&String> = (print.subjects.iter())
        .map(|s| s.patient.as_ref().unwrap_or(&s.id))
        .collect();
    line(
        "subjects",
        &format!(
            "{} of {} patients, {} with labels; voxels of {} looked at",
            print.subjects.len(),
            patients.len(),
            print.subjects.iter().filter(labelled).count(),
            print.sampled.len()
        ),
    )?;
    for modality in &print.modalities {
        let images: Vec<&VolumePrint> = print.images(modality).collect();
        let name = column_name(Role::Image, modality);
        column(&mut line, &name, &images, print.subjects.len())?;
        let figures: Vec<&Intensity> = images.iter().filter_map(|v| v.intensity.as_ref()).collect();
        if let Some(text) = intensities(&figures) {
            line("", &text)?;
        }
    }
    for label in &print.label_names {
        let of = |v: &&VolumePrint| v.role == Role::Label && v.name == *label;
        let labels: Vec<&VolumePrint> = print.volumes.iter().filter(of).collect();
        column(
            &mut line,
            &column_name(Role::Label, label),
            &labels,
            print.subjects.len(),
        )?;
        for text in values(layout, print, label) {
            line("", &text)?;
        }
    }
    line(
        "grids",
        &format!(
            "{} volumes on another grid than their subject's first image",
            print.other_grids
        ),
    )?;
    for (subject, finding) in &print.mismatches {
        line(
            "mismatch",
            &format!("{subject}: {} {}", finding.column, finding.problem),
        )?;
    }
    for (subject, problem) in &print.unreadable {
        line("unusable", &format!("{subject}: {problem}"))?;
    }
    Ok(())
}

/// How many volumes there are, their shapes, spacings, orders of axes and types.
fn column(
    line: &mut dyn FnMut(&str, &str) -> Result<()>,
    name: &str,
    volumes: &[&VolumePrint],
    subjects: usize,
) -> Result<()> {
    line(name, &format!("{} of {subjects} subjects", volumes.len()))?;
    if volumes.is_empty() {
        return Ok(());
    }
    let counted = |of: &dyn Fn(&VolumePrint) -> String| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        volumes
            .iter()
            .for_each(|v| *counts.entry(of(v)).or_default() += 1);
        let texts: Vec<String> = counts
            .iter()
            .map(|(text, n)| format!("{n} {text}"))
            .collect();
        texts.join(", ")
    };
    let axes = |of: &dyn Fn(&VolumePrint, usize) -> f64| {
        let of_axis = |axis: usize| spread(volumes.iter().map(|v| of(v, axis)).collect());
        [0, 1, 2].map(of_axis).join(" x ")
    };
    line(
        "",
        &format!("voxels    {}", axes(&|v, axis| v.shape_xyz[axis] as f64)),
    )?;
    line(
        "",
        &format!("spacing   {} mm", axes(&|v, axis| v.spacing_mm[axis])),
    )?;
    let size = axes(&|v, axis| v.shape_xyz[axis] as f64 * v.spacing_mm[axis]);
    line("", &format!("size      {size} mm"))?;
    let (order, kind) = (
        counted(&|v| v.orientation.clone()),
        counted(&|v| v.dtype.clone()),
    );
    line("", &format!("stored    {order}; {kind}"))
}

/// Smallest, median and largest value, or the one value that all have.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[0], values[values.len() - 1]);
    match high - low <= 1e-3 * high.abs() {
        true => short(low),
        false => format!(
            "{} ({} to {})",
            short(median(&mut values)),
            short(low),
            short(high)
        ),
    }
}

/// Pooled figures of the sampled images of a modality.
fn intensities(figures: &[&Intensity]) -> Option<String> {
    let pooled: Vec<f32> = figures
        .iter()
        .flat_map(|f| f.foreground.iter().copied())
        .collect();
    let of = percentiles(&pooled, f32::is_finite, &[0.5, 50.0, 99.5])?;
    let [mean, sd] = moments(&pooled)?;
    let place = match figures.iter().all(|f| f.inside_labels) {
        true => "inside labels",
        false => "where not 0",
    };
    let zeros: Vec<f64> = figures.iter().map(|f| 100.0 * f.zero_share).collect();
    Some(format!(
        "values    {place}: 0.5 % {}, median {}, 99.5 % {}, mean {}, sd {}; {} % of the image is 0",
        short(of[0]),
        short(of[1]),
        short(of[2]),
        short(mean),
        short(sd),
        spread(zeros)
    ))
}

/// A line for each value of a label column.
fn values(layout: &Layout, print: &Fingerprint, label: &str) -> Vec<String> {
    let mut by_value: BTreeMap<i64, Vec<&super::ClassPrint>> = BTreeMap::new();
    for class in print.classes.iter().filter(|c| c.name == label) {
        by_value.entry(class.value).or_default().push(class);
    }
    let line = |(value, found): (&i64, &Vec<&super::ClassPrint>)| {
        let volumes = found.iter().map(|c| c.volume_ml).collect();
        let parts = found.iter().map(|c| c.components as f64).collect();
        let name = layout.classes.get(value).map(|name| format!(" {name}"));
        format!(
            "value     {value}{}: in {} subjects, {} mL in {} components",
            name.unwrap_or_default(),
            found.len(),
            spread(volumes),
            spread(parts)
        )
    };
    by_value.iter().map(line).collect()
}
