//! Where statements end: at a `;` outside of quotes and comments.

/// The statements of a script, without their `;` and without empty ones.
pub(super) fn split(script: &str) -> Vec<&str> {
    let (mut statements, mut rest) = (Vec::new(), script);
    while let Some(end) = end(rest) {
        statements.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
    statements.push(rest);
    statements.retain(|s| has_words(s));
    statements
}

/// The statements of a script as [`split`], each with blanks in the place of what is before it: so errors name the
/// line and column of the script.
pub(super) fn in_place(script: &str) -> Vec<String> {
    let blank = |c: char| if c == '\n' { c } else { ' ' };
    let placed = |statement: &&str| {
        let begin = statement.as_ptr().addr() - script.as_ptr().addr();
        let before = script[..begin].chars().map(blank);
        before.chain(statement.chars()).collect()
    };
    split(script).iter().map(placed).collect()
}

/// Returns `true` if there is more than spaces and comments.
pub(super) fn has_words(text: &str) -> bool {
    let mut scan = Scan::new(text);
    scan.any(|(_, c)| !c.is_whitespace())
}

/// Position of the `;` that ends the first statement; `None` if it is not complete.
pub(super) fn end(text: &str) -> Option<usize> {
    let mut scan = Scan::new(text);
    scan.find(|(_, c)| *c == ';').map(|(at, _)| at)
}

/// Characters outside of comments; those in quotes are replaced by `_`.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }
}

impl Iterator for Scan<'_> {
    type Item = (usize, char);

    fn next(&mut self) -> Option<(usize, char)> {
        loop {
            let at = self.at;
            let rest = &self.text[at..];
            let first = rest.chars().next()?;
            let length = |end: Option<usize>, more: usize| end.map_or(rest.len(), |e| e + more);
            let skipped = if rest.starts_with("--") {
                length(rest.find('\n'), 1)
            } else if let Some(inner) = rest.strip_prefix("/*") {
                length(inner.find("*/"), 4)
            } else if first == '\'' || first == '"' {
                self.at += length(rest[1..].find(first), 2);
                return Some((at, '_'));
            } else {
                self.at += first.len_utf8();
                return Some((at, first));
            };
            self.at += skipped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_line_and_column() {
        let script = "select 1;\n\n-- two\nselect 'ü'; select 3";
        let placed = in_place(script);
        assert_eq!(placed.len(), 3);
        assert_eq!(placed[0], "select 1");
        assert_eq!(placed[1], "         \n\n-- two\nselect 'ü'");
        assert_eq!(placed[2], "         \n\n      \n            select 3");
    }

    #[test]
    fn statements_end_outside_of_quotes_and_comments() {
        let script = "select ';' from a; -- one; two\nselect \"x;y\" /* ; */ from b;\n;  -- end\n";
        assert_eq!(
            split(script),
            [
                "select ';' from a",
                " -- one; two\nselect \"x;y\" /* ; */ from b"
            ]
        );
        assert_eq!(end("select 'it''s;' ; x"), Some(16));
        assert_eq!(end("select 'open ;"), None);
        assert_eq!(end("select /* open ;"), None);
        assert_eq!(end("-- ;"), None);
        assert!(!has_words(" \n-- nothing\n/* here */"));
        assert!(has_words("/* */ 'ü'"));
    }
}
