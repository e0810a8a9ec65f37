//! Lines of YAML with the reasons behind them, and values as YAML reads them back.

use super::numbers::{by_axis, short};
use super::proposal::classes::Classes;
use crate::spec::counted;
use std::fmt::Write as _;

/// Where comments begin, so that values stay readable.
const COMMENT_COLUMN: usize = 56;

/// Characters of a line, at most, where a comment is behind a value.
const WIDTH: usize = 120;

/// Lines of a file.
#[derive(Default)]
pub(super) struct Lines(pub(super) String);

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
        write!(
            text,
            "{separator}{name}: in {}, median {ml}",
            counted(*count, "subject")
        )
        .unwrap_or_default();
    }
    text
}

/// A shape in words.
pub(super) fn shape(voxels: [usize; 3]) -> String {
    by_axis(voxels.map(|n| n as f64))
}
