//! The text of a pipeline: source and stages, each value with its reason behind it.

use super::fingerprint::Fingerprint;
use super::layout::Layout;
use super::proposal::classes::Classes;
use super::proposal::intensity::NormalisationStep;
use super::proposal::{Proposal, by_axis, short};
use super::{Template, templates};
use crate::source::SourceKind;
use std::fmt::Write as _;
use std::path::Path;

mod source;

/// Where comments begin, so that values stay readable.
const COMMENT_COLUMN: usize = 56;

/// Characters of a line, at most, where a comment is behind a value.
const WIDTH: usize = 120;

/// Lines of a file.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    /// A line of YAML.
    pub(super) fn line(&mut self, text: impl AsRef<str>) {
        self.0 += text.as_ref();
        self.0.push('\n');
    }

    /// A line of YAML with its reason behind it, or above it if it is long.
    pub(super) fn because(&mut self, text: impl AsRef<str>, reason: impl AsRef<str>) {
        let (text, reason) = (text.as_ref(), reason.as_ref());
        let width = text.chars().count();
        if width < COMMENT_COLUMN && COMMENT_COLUMN + 2 + reason.chars().count() <= WIDTH {
            self.line(format!("{text:<COMMENT_COLUMN$}# {reason}"));
            return;
        }
        let indent = &text[..text.len() - text.trim_start().len()];
        self.comment(indent, reason);
        self.line(text);
    }

    /// A comment, broken into lines of at most 110 characters.
    pub(super) fn comment(&mut self, indent: &str, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && indent.len() + line.chars().count() + word.chars().count() > 106
            {
                self.line(format!("{indent}# {line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        self.line(format!("{indent}# {line}"));
    }
}

/// A text as YAML: quoted where it would be read as anything else.
pub(super) fn text(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '/' || c == '.';
    let begins = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/');
    let word = ["true", "false", "null", "yes", "no", "on", "off"];
    match begins && value.chars().all(plain) && !word.contains(&&*value.to_lowercase()) {
        true => value.to_owned(),
        false => {
            let escaped: String = value.chars().flat_map(escaped).collect();
            format!("\"{escaped}\"")
        }
    }
}

fn escaped(c: char) -> Vec<char> {
    match c {
        '"' | '\\' => vec!['\\', c],
        '\n' => vec!['\\', 'n'],
        '\t' => vec!['\\', 't'],
        c if c.is_control() => format!("\\x{:02x}", u32::from(c) & 0xff).chars().collect(),
        c => vec![c],
    }
}

/// A list of texts.
pub(super) fn list(values: &[String]) -> String {
    let texts: Vec<String> = values.iter().map(|value| text(value)).collect();
    format!("[{}]", texts.join(", "))
}

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
        "Found: {}; {} subjects, {labelled} with labels; median at the proposed voxel size: {}. Voxels of {} subjects were looked at.",
        layout.kind,
        print.subjects.len(),
        proposal.spacing.median_subject(),
        print.sampled.len()
    ));
    for modality in &print.modalities {
        let missing = print.subjects.len() - print.images(modality).count();
        if missing > 0 {
            lines.comment(
                "",
                &format!(
                    "{modality} is missing for {missing} of {} subjects.",
                    print.subjects.len()
                ),
            );
        }
    }
    for note in &layout.notes {
        lines.comment("", &format!("Note: {note}."));
    }
    for (subject, problem) in print.unreadable.iter().take(3) {
        lines.comment("", &format!("Unusable: {subject}: {problem}."));
    }
    if print.unreadable.len() > 3 {
        lines.comment(
            "",
            &format!("{} subjects are unusable in all.", print.unreadable.len()),
        );
    }
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
    if let Some(reason) = &proposal.crop {
        lines.because("  - crop_foreground: { above: 0 }", reason);
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
            "{} volumes are on another grid than their subject's first image: `resample` brings them on one.",
            print.other_grids
        ));
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

/// A number as YAML reads it back.
pub(super) fn number(value: f64) -> String {
    match value.fract() == 0.0 {
        true => format!("{value:.1}"),
        false => format!("{value}"),
    }
}

/// What was found of each class, in words.
pub(super) fn class_figures(classes: &Classes) -> String {
    let mut text = String::new();
    for (name, (count, ml)) in classes.names.iter().skip(1).zip(&classes.found) {
        let ml = if ml.is_nan() {
            "none".to_owned()
        } else {
            format!("{} mL", short(*ml))
        };
        let separator = if text.is_empty() { "" } else { "; " };
        write!(text, "{separator}{name}: in {count} subjects, median {ml}").unwrap_or_default();
    }
    text
}

/// A shape in words.
pub(super) fn shape(voxels: [usize; 3]) -> String {
    by_axis(voxels.map(|n| n as f64))
}
