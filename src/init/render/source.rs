//! The section `source`.

use crate::init::fingerprint::Fingerprint;
use crate::init::layout::Layout;
use crate::init::proposal::classes::Classes;
use crate::init::yaml::{Lines, list, text};
use crate::source::manifest::ColumnRef;
use crate::source::reading::Severity;
use crate::source::{FoldersSpec, ManifestSpec};
use std::path::{Component, Path, PathBuf};

/// The path of a source as the pipeline file says it.
fn place(path: &str, base: Option<&Path>) -> String {
    let base = base.and_then(|base| std::path::absolute(base).ok());
    let base = base.map(|base| base.canonicalize().unwrap_or(base));
    let Some(base) = base else {
        return path.to_owned();
    };
    let target = Path::new(path);
    let shared = (target.components().zip(base.components()))
        .take_while(|(a, b)| a == b)
        .count();
    let up = base.components().count() - shared;
    // Far apart, an absolute path is the more readable one.
    if shared < 2 || up > 3 {
        return path.to_owned();
    }
    let steps = (0..up).map(|_| Component::ParentDir);
    let relative: PathBuf = steps.chain(target.components().skip(shared)).collect();
    match relative.as_os_str().is_empty() {
        true => ".".to_owned(),
        false => relative.display().to_string(),
    }
}

pub(super) fn folders(lines: &mut Lines, spec: &FoldersSpec, layout: &Layout, base: Option<&Path>) {
    lines.line("  folders:");
    lines.because(
        format!("    path: {}", text(&place(&spec.path, base))),
        &layout.kind,
    );
    lines.line(format!("    images: {}", text(&spec.images)));
    if let Some(labels) = &spec.labels {
        lines.line(format!("    labels: {}", text(labels)));
    }
    if let Some(id) = &spec.id {
        lines.because(format!("    id: {}", text(id)), "one subject a session");
    }
    if let Some(patient) = &spec.patient {
        lines.because(
            format!("    patient: {}", text(patient)),
            "all sessions of a patient are in one part of the split",
        );
    }
    let modalities: Vec<String> = (spec.modalities.0.iter())
        .map(|(name, in_path)| format!("{}: {}", text(name), text(in_path)))
        .collect();
    lines.line(format!("    modalities: {{ {} }}", modalities.join(", ")));
}

pub(super) fn manifest(
    lines: &mut Lines,
    spec: &ManifestSpec,
    layout: &Layout,
    base: Option<&Path>,
) {
    lines.line("  manifest:");
    lines.because(
        format!("    path: {}", text(&place(&spec.path, base))),
        &layout.kind,
    );
    if let Some(columns) = &spec.columns {
        lines.line("    columns:");
        lines.line(format!("      subject: {}", text(&columns.subject)));
        let named = |entries: &[(String, ColumnRef)]| {
            let of = |(name, column): &(String, ColumnRef)| match column {
                ColumnRef::Column(column) => format!("{}: {}", text(name), text(column)),
                ColumnRef::Indexed { column, index } => {
                    format!(
                        "{}: {{ column: {}, index: {index} }}",
                        text(name),
                        text(column)
                    )
                }
            };
            entries.iter().map(of).collect::<Vec<_>>().join(", ")
        };
        lines.line(format!("      images: {{ {} }}", named(&columns.images.0)));
        if !columns.labels.0.is_empty() {
            lines.line(format!("      labels: {{ {} }}", named(&columns.labels.0)));
        }
        if let Some(ColumnRef::Column(label)) = &columns.label {
            lines.line(format!("      label: {}", text(label)));
        }
        if let Some(patient) = &columns.patient {
            lines.because(
                format!("      patient: {}", text(patient)),
                "all subjects of a patient are in one part of the split",
            );
        }
        if let Some(split) = &columns.split {
            lines.line(format!("      split: {}", text(split)));
        }
    }
    if let Some(modalities) = &spec.modalities {
        lines.line(format!("    modalities: {}", list(modalities)));
    }
    if let Some(condition) = &spec.condition {
        lines.line(format!("    where: {}", text(condition)));
    }
}

pub(super) fn labels(lines: &mut Lines, classes: &Classes) {
    if !classes.unseen.is_empty() {
        let values: Vec<String> = classes.unseen.iter().map(i64::to_string).collect();
        lines.comment("  ", &format!(
            "No label map that was looked at holds {}; {} more {} not looked at, so each is a class of its own. If none holds it, map the larger values to the numbers before and remove its name; `init --sample {}` looks at all of them.",
            values.join(", "),
            classes.not_looked_at,
            if classes.not_looked_at == 1 { "was" } else { "were" },
            classes.looked_at + classes.not_looked_at
        ));
    }
    if classes.map.is_empty() && classes.ignore.is_empty() {
        return;
    }
    lines.line("  labels:");
    if !classes.map.is_empty() {
        let entries: Vec<String> = classes
            .map
            .iter()
            .map(|(from, to)| format!("{from}: {to}"))
            .collect();
        lines.because(
            format!("    map: {{ {} }}", entries.join(", ")),
            "stored value: class; classes are numbered without gaps",
        );
        if classes.not_looked_at > 0 {
            lines.comment("    ", &format!(
                "{} more label map{} not looked at: a subject that holds another value fails, with the line to add.",
                classes.not_looked_at,
                if classes.not_looked_at == 1 { " was" } else { "s were" }
            ));
        }
    }
    if !classes.ignore.is_empty() {
        let values: Vec<String> = classes.ignore.iter().map(i64::to_string).collect();
        lines.because(
            format!("    ignore: [{}]", values.join(", ")),
            "nobody annotated these voxels; no loss and no score counts them",
        );
    }
}

pub(super) fn registration(lines: &mut Lines, print: &Fingerprint) {
    let failures: Vec<_> = (print.mismatches.iter())
        .filter(|(_, finding)| finding.severity == Severity::Failure)
        .collect();
    let Some((subject, finding)) = failures.first() else {
        return;
    };
    lines.comment("  ", &format!(
        "{} not fit the subject's first image, such as {subject}: {} {}. Such volumes are used with a warning; correct the headers and remove the next line to have such subjects refused.",
        match failures.len() {
            1 => "1 volume does".to_owned(),
            count => format!("{count} volumes do"),
        },
        finding.column,
        finding.problem
    ));
    lines.line("  registration: { on_mismatch: warn }");
}
