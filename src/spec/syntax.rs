//! What is written against YAML's rules, placed at its cause: the parser itself often complains some lines later.

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
    let at = At { start: byte, end };
    if let Some(open) = left_open(text) {
        let place = At {
            start: open,
            end: open + 1,
        };
        let (opened, closing) = match &text[open..=open] {
            "[" => ("[", "]"),
            "{" => ("{", "}"),
            quote => (quote, quote),
        };
        return SpecError::new(place, format!("`{opened}` is not closed"))
            .with_help(format!("write `{closing}` at the end of what it holds"));
    }
    if problem.contains("duplicated key") {
        let key = text[byte..].split([':', '\n']).next().unwrap_or_default();
        let end = byte + key.len();
        let place = At { start: byte, end };
        return SpecError::new(place, format!("`{key}` is written a second time here"))
            .with_help("keep one of the two");
    }
    let error = SpecError::new(at, format!("this is not YAML: {problem}"));
    match problem.contains("tab") {
        true => error.with_help("indent with spaces"),
        false => error,
    }
}

/// A quotation mark that no other one closes, or else the last such bracket outside of quotes and comments.
fn left_open(text: &str) -> Option<usize> {
    let (mut open, mut quote, mut in_comment) = (Vec::new(), None, false);
    // The character before, and the last one of the line that is no space.
    let (mut before, mut last) = (' ', None);
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match (c, quote) {
            ('\\', Some((_, '"'))) => {
                characters.next();
            }
            (_, Some((_, mark))) if c == mark => {
                // Two apostrophes are one that belongs to the text.
                let is_text =
                    mark == '\'' && characters.next_if(|(_, next)| *next == mark).is_some();
                quote = quote.filter(|_| is_text);
            }
            ('\n', None) => (in_comment, last) = (false, None),
            (_, Some(_)) => {}
            _ if in_comment => {}
            ('#', None) if before.is_whitespace() => in_comment = true,
            // Elsewhere it is a part of a word.
            ('"' | '\'', None) if last.is_none_or(|last| ":-[{,?".contains(last)) => {
                quote = Some((at, c));
            }
            ('[' | '{', None) => open.push(at),
            (']' | '}', None) => {
                open.pop();
            }
            _ => {}
        }
        if !c.is_whitespace() {
            last = Some(c);
        }
        before = c;
    }
    quote.map(|(at, _)| at).or(open.pop())
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
        assert!(refused("a: { b: 1\nc: 2\n").1.contains("`{` is not closed"));
        assert!(refused("a: b\n\tc: d\n").1.contains("indent with spaces"));
    }

    #[test]
    fn what_is_left_open_is_reported_where_it_begins() {
        for (text, said) in [
            ("a: [1, \"x, 2]\nb: 3\n", "\""),
            ("a: { b: 'it''s }\nc: 3\n", "'"),
            ("a: \"x\\\" [\"\nb: the '90s {\nc: { d: don't\ne: 1\n", "{"),
            ("a: 'x [' # {\nb: [1, { c: 2 }, 3\nd: 4\n", "["),
            ("a: [1, 2]\nb: { c: [\"]\", 1], d: 2\ne: 4\n", "{"),
        ] {
            let (place, found) = refused(text);
            assert!(
                found.starts_with(&format!("`{said}` is not closed")),
                "{found}"
            );
            assert_eq!(place, said);
        }
        let twice = refused("a: 1\nbc: 2\na: 3\n");
        assert_eq!((&*twice.0, twice.1.contains("second time")), ("a", true));
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
