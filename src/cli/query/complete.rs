//! What the shell completes: commands, tables, columns, functions, words of SQL.

use crate::query::{Names, Session};
use rustyline::completion::{Completer, Pair};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::statements;

/// Commands of the shell, with what each does.
pub(super) const COMMANDS: [(&str, &str); 8] = [
    (".tables", "tables and views with their meaning"),
    (
        ".schema",
        "columns of TABLE with type, unit and meaning; of all tables without TABLE",
    ),
    (".functions", "functions on volumes"),
    (".format", "how answers are shown: table, csv, json or md"),
    (
        ".export",
        "write the last answer to FILE: csv, json, md, parquet, txt, or png for one picture",
    ),
    (
        ".timing",
        "say rows, time and bytes read behind each answer: on or off",
    ),
    (".help", "this list"),
    (".quit", "leave; so does Ctrl-D"),
];

/// Words of SQL that are worth completing.
const WORDS: [&str; 36] = [
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "count",
    "cross",
    "desc",
    "describe",
    "distinct",
    "else",
    "end",
    "except",
    "explain",
    "filter",
    "from",
    "group",
    "having",
    "in",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "on",
    "or",
    "order",
    "over",
    "partition",
    "select",
    "then",
    "when",
    "where",
];

/// Completes and recognises the end of statements.
#[derive(Helper, Highlighter, Hinter)]
pub(super) struct Typing {
    pub(super) session: Rc<RefCell<Session>>,
}

impl Completer for Typing {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let session = self.session.borrow();
        // Columns cost a look at the files: only those of tables that the statement names.
        let columns = |tables: &[String]| -> Vec<String> {
            let described = tables.iter().filter_map(|t| session.describe(t).ok());
            described.flat_map(|batch| texts(&batch)).collect()
        };
        let (start, found) = candidates(line, at, &session.names(), columns);
        let pair = |text: String| Pair {
            display: text.clone(),
            replacement: text,
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

fn texts(described: &arrow::array::RecordBatch) -> Vec<String> {
    use arrow::array::AsArray as _;
    let names = described.column(0).as_string::<i32>().iter();
    names.flatten().map(str::to_owned).collect()
}

/// Where the word before the cursor begins, and its completions.
fn candidates(
    line: &str,
    at: usize,
    names: &Names,
    columns: impl Fn(&[String]) -> Vec<String>,
) -> (usize, Vec<String>) {
    let before = &line[..at];
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let start = before.rfind(|c: char| !is_word(c)).map_or(0, |i| {
        i + before[i..].chars().next().map_or(1, char::len_utf8)
    });
    let word = &before[start..];
    if start == 0 && word.starts_with('.') {
        let commands = COMMANDS.iter().map(|(name, _)| (*name).to_owned());
        return (0, commands.filter(|name| name.starts_with(word)).collect());
    }
    let mut found: BTreeSet<String> = BTreeSet::new();
    let lower = word.to_lowercase();
    let mut add = |text: &str| {
        if text.to_lowercase().starts_with(&lower) {
            found.insert(text.to_owned());
        }
    };
    names.tables.iter().for_each(|table| add(table));
    if before.starts_with('.') {
        return (start, found.into_iter().collect());
    }
    let last = before[..start]
        .trim_end()
        .rsplit(char::is_whitespace)
        .next();
    let last = last.unwrap_or_default().to_lowercase();
    if ["from", "join", "describe"].contains(&last.as_str()) {
        return (start, found.into_iter().collect());
    }
    let words: BTreeSet<&str> = line.split(|c: char| !is_word(c)).collect();
    let named: Vec<String> = (names.tables.iter())
        .filter(|t| words.contains(t.as_str()))
        .cloned()
        .collect();
    // A statement is often written from its beginning: its tables are not known yet.
    let columns = match named.is_empty() {
        true => names.columns.clone(),
        false => columns(&named),
    };
    // Only columns follow the name of a table or an alias.
    if let Some((_, rest)) = word.rsplit_once('.') {
        let begin = start + word.len() - rest.len();
        if found.is_empty() {
            let mut fitting: Vec<String> = columns
                .into_iter()
                .filter(|c| c.starts_with(rest))
                .collect();
            fitting.sort();
            fitting.dedup();
            return (begin, fitting);
        }
        return (start, found.into_iter().collect());
    }
    columns.iter().for_each(|column| add(column));
    WORDS.iter().for_each(|word| add(word));
    names.functions.iter().for_each(|function| add(function));
    (start, found.into_iter().collect())
}

impl Validator for Typing {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = typed.input();
        let is_whole = text.trim_start().starts_with('.')
            || !statements::has_words(text)
            || statements::end(text).is_some();
        Ok(match is_whole {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> (usize, Vec<String>) {
        let names = Names {
            tables: ["scores", "subjects", "labelled_only.scores", "stage_time"]
                .map(str::to_owned)
                .to_vec(),
            functions: ["dice", "avg"].map(str::to_owned).to_vec(),
            columns: ["hd95_mm"].map(str::to_owned).to_vec(),
            ..Names::default()
        };
        candidates(line, line.len(), &names, |tables| {
            assert_eq!(tables, ["scores"]);
            vec!["dice".to_owned(), "subject_id".to_owned()]
        })
    }

    #[test]
    fn words_are_completed_by_what_may_stand_there() {
        assert_eq!(completed(".ta"), (0, vec![".tables".to_owned()]));
        assert_eq!(completed(".schema sc"), (8, vec!["scores".to_owned()]));
        assert_eq!(
            completed("select * from s"),
            (
                14,
                ["scores", "stage_time", "subjects"]
                    .map(str::to_owned)
                    .to_vec()
            )
        );
        let (start, found) = completed("select avg(dice) from scores where su");
        assert_eq!(
            (start, found),
            (35, ["subject_id", "subjects"].map(str::to_owned).to_vec())
        );
        let (start, found) = completed("from scores s where s.di");
        assert_eq!((start, found), (22, vec!["dice".to_owned()]));
        assert_eq!(completed("from lab").1, ["labelled_only.scores"]);
        assert!(completed("sel").1.contains(&"select".to_owned()));
        assert_eq!(completed("select hd").1, ["hd95_mm"]);
        assert!(completed("select 'ü', d").1.contains(&"dice".to_owned()));
    }
}
