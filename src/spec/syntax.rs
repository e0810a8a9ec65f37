//! Spaces that YAML needs behind a colon: the parser itself complains about them a line later.

use super::error::{At, SpecError};
use super::space::{is_strange, spaced};

/// Lines up to a complaint of the parser that may be its cause.
const LINES: usize = 4;

/// A complaint of the parser at a byte, placed where its cause is if a space is missing there.
pub(super) fn not_yaml(text: &str, byte: usize, problem: &str) -> SpecError {
    // Without the space the line is text, which goes on until a colon that no text may hold, or ends at a comment.
    let complaints = ["simple key", "mapping values", "expected key"];
    let is_of_keys = complaints.iter().any(|said| problem.contains(said));
    if let (true, Some((at, entry))) = (is_of_keys, joined(text, byte)) {
        let message = format!(
            "`{}` is text, expected `key: value`",
            &text[at.start..at.end]
        );
        return SpecError::new(at, message)
            .with_help(format!("write a space behind the colon: `{entry}`"));
    }
    let end = (byte + 1).min(text.len());
    SpecError::new(
        At { start: byte, end },
        format!("this is not YAML: {problem}"),
    )
}

/// The entry without a space in the lines up to a byte, the nearest first, and what it should be.
fn joined(text: &str, byte: usize) -> Option<(At, String)> {
    let mut lines = Vec::new();
    for (start, line) in lines_of(text).take_while(|(start, _)| *start <= byte) {
        if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            lines.push((start, line));
        }
    }
    lines
        .into_iter()
        .rev()
        .take(LINES)
        .find_map(|(start, line)| {
            let entry = line.trim_start_matches([' ', '-']);
            let start = start + line.len() - entry.len();
            let entry = entry.split(" #").next().unwrap_or(entry).trim_end();
            let end = start + entry.len();
            Some((At { start, end }, spaced(entry)?))
        })
}

/// The first character that is no space to YAML where a line is indented, or behind the colon of a key.
pub(super) fn strange_space(text: &str) -> Option<SpecError> {
    lines_of(text).find_map(|(start, line)| {
        let entry = line.trim_start_matches(|c: char| c == ' ' || c == '-' || is_strange(c));
        if entry.starts_with('#') {
            return None;
        }
        let indent = &line[..line.len() - entry.len()];
        let at = indent.find(is_strange).or_else(|| behind_colon(line))?;
        let found = line[at..].chars().next()?;
        let name = match found {
            '\u{a0}' => "a no-break space (U+00A0)".to_owned(),
            other => format!("the space U+{:04X}", u32::from(other)),
        };
        let end = start + at + found.len_utf8();
        let place = At {
            start: start + at,
            end,
        };
        let message = format!("{name} is no space to YAML, which takes it for text");
        Some(SpecError::new(place, message).with_help("replace it with a plain space"))
    })
}

/// Where such a character follows a colon outside of quotes and comments.
fn behind_colon(line: &str) -> Option<usize> {
    let colons = line.match_indices(':').map(|(at, _)| at);
    let is_plain = |at: &usize| {
        let before = &line[..*at];
        let is_closed = |quote| before.matches(quote).count().is_multiple_of(2);
        is_closed('"') && is_closed('\'') && !before.contains(" #")
    };
    colons
        .filter(is_plain)
        .map(|at| at + 1)
        .find(|at| line[*at..].starts_with(is_strange))
}

/// The lines of a text, each with the byte it begins at.
fn lines_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let at = start;
        start += line.len();
        (at, line.trim_end_matches(['\r', '\n']))
    })
}

#[cfg(test)]
mod tests {
    use crate::spec::node::Document;

    fn refused(text: &str) -> (String, String) {
        let Err(error) = Document::parse(text) else {
            panic!("{text} was parsed")
        };
        let at = error.at.unwrap();
        let said = format!("{} {}", error.message, error.help.unwrap_or_default());
        (text[at.start..at.end].to_owned(), said)
    }

    #[test]
    fn a_missing_space_is_reported_in_its_line() {
        for text in [
            "a:\n  steps:20\n  batch: 3\n",
            "a:\n  steps:20 # many\n\n  # more\n  batch: 3\n",
            "a:\n  - steps:20\n    batch: 3\n",
        ] {
            let (place, said) = refused(text);
            assert_eq!(place, "steps:20", "{text}");
            assert!(
                said.contains("write a space behind the colon: `steps: 20`"),
                "{said}"
            );
        }
        // Something else is wrong here.
        assert!(refused("a: { b: 1\nc: 2\n").1.contains("this is not YAML"));
    }

    #[test]
    fn a_no_break_space_is_reported_where_it_is() {
        for text in [
            "a:\n  steps:\u{a0}20\n  batch: 3\n",
            "a:\n  steps: 3\n\u{a0} batch: 3\n",
            "a: { steps:\u{a0}20 }\n",
        ] {
            let (place, said) = refused(text);
            assert_eq!(place, "\u{a0}", "{text}");
            assert!(said.contains("U+00A0"), "{said}");
        }
        // In texts and comments it is a character as any other.
        for text in [
            "a: \"b:\u{a0}c\"\n",
            "# a:\u{a0}b\na: x\u{a0}y # b:\u{a0}c\n",
        ] {
            assert!(Document::parse(text).is_ok(), "{text}");
        }
    }
}
