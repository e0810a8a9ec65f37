//! The text of a pipeline: source and stages, each value with its reason behind it.

use super::fingerprint::Fingerprint;
use super::layout::Layout;
use super::proposal::Proposal;
use super::proposal::normalisation::NormalisationStep;
use super::template::Template;
use super::templates;
use super::yaml::{Lines, number, text};
use crate::source::{SourceKind, SubjectRecord};
use crate::spec::{agreeing, counted};
use std::path::Path;

mod source;

/// The text of a pipeline file.
pub(super) fn pipeline(
    layout: &Layout,
    print: &Fingerprint,
    proposal: &Proposal,
    template: Template,
    name: &str,
    base: Option<&Path>,
) -> String {
    let mut lines = Lines::default();
    head(&mut lines, layout, print, proposal, template);
    lines.line(format!("name: {}", text(name)));
    lines.line("seed: 20");
    lines.line("source:");
    match &layout.source {
        SourceKind::Folders(spec) => source::folders(&mut lines, spec, layout, base),
        SourceKind::Manifest(spec) => source::manifest(&mut lines, spec, layout, base),
        // Nothing recognises a phantom: it has no files.
        SourceKind::Phantom(_) => {}
    }
    templates::split(&mut lines, proposal, template);
    if let Some(classes) = &proposal.classes {
        source::labels(&mut lines, classes);
    }
    source::registration(&mut lines, print);
    stages(&mut lines, print, proposal, template);
    templates::sections(&mut lines, print, proposal, template, name);
    lines.0
}

fn head(
    lines: &mut Lines,
    layout: &Layout,
    print: &Fingerprint,
    proposal: &Proposal,
    template: Template,
) {
    lines.comment("", &templates::purpose(template, print));
    let labelled = print.subjects.len() - proposal.parts.unlabelled;
    lines.comment("", &format!(
        "Found: {}; {}, {labelled} with labels; median at the proposed voxel size: {}. Voxels looked at: of {}.",
        layout.kind,
        counted(print.subjects.len(), "subject"),
        proposal.spacing.median_subject(),
        counted(print.sampled.len(), "subject")
    ));
    for remark in remarks(layout, print) {
        lines.comment("", &remark);
    }
}

/// What is missing, left out or unusable, one sentence each.
pub(super) fn remarks(layout: &Layout, print: &Fingerprint) -> Vec<String> {
    let mut remarks = Vec::new();
    for modality in &print.modalities {
        // By what is listed: a header that cannot be read is a fault of its own.
        let has = |s: &&SubjectRecord| {
            let mut images = s.images.iter();
            images.any(|i| i.name == *modality && i.location.is_some())
        };
        let missing = print.subjects.len() - print.subjects.iter().filter(has).count();
        if missing > 0 {
            remarks.push(format!(
                "{modality} is missing for {missing} of {}.",
                counted(print.subjects.len(), "subject")
            ));
        }
    }
    remarks.extend(layout.notes.iter().map(|note| format!("Note: {note}.")));
    for (subject, problem) in print.unreadable.iter().take(3) {
        remarks.push(format!("Unusable: {subject}: {problem}."));
    }
    if print.unreadable.len() > 3 {
        let count = print.unreadable.len();
        remarks.push(format!("{count} subjects are unusable in all."));
    }
    remarks
}

fn stages(lines: &mut Lines, print: &Fingerprint, proposal: &Proposal, template: Template) {
    let mut orders: Vec<(&str, usize)> = Vec::new();
    for volume in &print.volumes {
        match orders
            .iter_mut()
            .find(|(order, _)| *order == volume.orientation)
        {
            Some((_, count)) => *count += 1,
            None => orders.push((&volume.orientation, 1)),
        }
    }
    orders.sort_by_key(|(_, count)| usize::MAX - count);
    let found: Vec<String> = orders
        .iter()
        .map(|(order, count)| format!("{count} {order}"))
        .collect();
    lines.line("stages:");
    lines.because(
        "  - orient: { to: RAS }",
        format!(
            "one order of axes for all volumes; stored: {}",
            found.join(", ")
        ),
    );
    // A crop needs one grid: where a subject has several, it waits for `resample`.
    let is_one_grid = print.other_grids == 0;
    let crop = |lines: &mut Lines, reason: &String| {
        lines.because("  - crop_foreground: { above: 0 }", reason);
    };
    if let (Some(reason), true) = (&proposal.crop, is_one_grid) {
        crop(lines, reason);
    }
    let spacing = &proposal.spacing;
    let mm = spacing.spacing_mm.map(number).join(", ");
    let separate = if spacing.is_anisotropic {
        ", separate_z: auto"
    } else {
        ""
    };
    lines.because(
        format!("  - resample: {{ spacing_mm: [{mm}]{separate} }}"),
        &spacing.reason,
    );
    if print.other_grids > 0 {
        lines.comment("  ", &format!(
            "{} {} on another grid than the subject's first image: `resample` brings all on one.",
            counted(print.other_grids, "volume"),
            agreeing(print.other_grids, "is", "are")
        ));
    }
    if let (Some(reason), false) = (&proposal.crop, is_one_grid) {
        crop(lines, reason);
    }
    for normalisation in &proposal.normalisation {
        let of = match print.modalities.len() {
            1 => String::new(),
            _ => format!("modalities: [{}]", text(&normalisation.modality)),
        };
        let step = match &normalisation.step {
            NormalisationStep::Window { range, to } => {
                let [range, to] = [range, to].map(|ends| ends.map(number).join(", "));
                let of = if of.is_empty() { of } else { format!(", {of}") };
                format!("  - window: {{ range: [{range}], to: [{to}]{of} }}")
            }
            NormalisationStep::Zscore { nonzero } => {
                let foreground = if *nonzero { "nonzero" } else { "all" };
                let of = if of.is_empty() { of } else { format!(", {of}") };
                format!("  - zscore: {{ foreground: {foreground}{of} }}")
            }
        };
        lines.because(step, &normalisation.reason);
    }
    if template != Template::Prepare {
        lines.because("  - shuffle: {}", "a new order in every epoch");
    }
}
