//! Why a query has no answer, in words that say what to do next.

use super::names::{FUNCTIONS, Names};
use super::types;
use crate::sink::{SinkError, causes, tables};
use crate::spec::suggest;
use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use std::path::{Path, PathBuf};

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The folder cannot be read.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The folder or stream.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A folder without tables and without runs.
    #[error(
        "{} holds no Parquet table and no run; give the folder of a run, such as runs/<name>/<stamp>, or a folder of runs", path.display()
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A table that cannot be read.
    #[error("{}: the table cannot be read: {problem}", path.display())]
    Table {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
    /// The statement is wrong, or failed while it ran.
    #[error("{problem}")]
    Sql {
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// The budget was reached, or the user stopped the query.
    #[error("{problem}")]
    Stopped {
        /// Which limit, and what to do.
        problem: String,
    },
    /// A result that cannot be written in the format asked for.
    #[error("the result cannot be printed: {problem}")]
    Print {
        /// The reason.
        problem: String,
    },
}

impl QueryError {
    /// A statement that cannot be answered.
    pub(super) fn sql(problem: impl Into<String>) -> Self {
        Self::Sql {
            problem: problem.into(),
        }
    }
}

/// A table file that cannot be read; `run` is the folder of its run.
pub(super) fn damaged(run: &Path, path: PathBuf, problem: &SinkError) -> QueryError {
    let named = format!("{}: ", path.display());
    let text = causes(problem);
    let text = text.strip_prefix(&named).unwrap_or(&text);
    QueryError::Table {
        problem: format!(
            "{text}; if it is damaged, restore it from a copy or ask without this run; `voxstream verify {}` checks all files of the run",
            run.display()
        ),
        path,
    }
}

/// Columns that say of which run a row is.
pub(super) const RUN_COLUMNS: [&str; 4] = ["run", "pipeline", "fold", "seed"];

/// What every error of DataFusion begins with, which says nothing to a user.
const PREFIXES: [&str; 9] = [
    "Error during planning: ",
    "Execution error: ",
    "Arrow error: ",
    "External error: ",
    "Parquet error: ",
    "This feature is not implemented: ",
    "Optimizer rule ",
    "Schema error: ",
    "Internal error: ",
];

/// DataFusion's error in the words of this project; `sql` is the statement.
pub(super) fn reworded(error: &DataFusionError, sql: &str, names: &Names) -> QueryError {
    match error.find_root() {
        DataFusionError::SQL(problem, _) => QueryError::sql(syntax(problem, sql)),
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let valid: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
                QueryError::sql(column(&field.name, &valid, names))
            }
            SchemaError::AmbiguousReference { field } => QueryError::sql(format!(
                "column `{}` is in several of the tables; write the table in front of it, such as `scores.{}`",
                field.name, field.name
            )),
            _ => QueryError::sql(plain(error)),
        },
        DataFusionError::ParquetError(_) => unreadable(error),
        DataFusionError::ArrowError(inner, _) if matches!(**inner, ArrowError::ParquetError(_)) => {
            unreadable(error)
        }
        DataFusionError::ResourcesExhausted(_) => QueryError::Stopped {
            problem: format!(
                "the query needs more memory than its budget of {}; raise `--memory`, or ask for less: fewer columns, `where`, `limit`",
                bytesize::ByteSize(names.memory)
            ),
        },
        _ => {
            let text = plain(error);
            if let Some(types) = types::reworded(&text) {
                return QueryError::sql(types);
            }
            match text.strip_prefix("Invalid function '") {
                Some(rest) => {
                    let found = rest.split('\'').next().unwrap_or_default();
                    QueryError::sql(function(found, names))
                }
                None => QueryError::sql(text),
            }
        }
    }
}

/// A table file that the engine cannot read and does not name.
fn unreadable(error: &DataFusionError) -> QueryError {
    let text = plain(error);
    let text = text.trim_start_matches("Parquet argument error: ");
    let text = text.trim_start_matches("Parquet error: ");
    QueryError::sql(format!(
        "a file of a table cannot be read: Parquet error: {text}"
    ))
}

/// The reason alone.
fn plain(error: &DataFusionError) -> String {
    let mut text = error.find_root().strip_backtrace();
    // What a function on volumes says of its arguments is enough.
    if let Some((_, own)) = text.split_once("user-defined coercion failed with: ") {
        let own = own.split("No function matches").next().unwrap_or(own);
        text = own.trim_end().trim_end_matches('.').to_owned();
    }
    // Most of these are mistakes in the statement, and none is to be reported to the engine's authors first.
    if let Some((own, _)) =
        text.split_once("\nThis issue was likely caused by a bug in DataFusion's code.")
        && !text.contains(types::CALL)
    {
        text = own.trim_end().to_owned();
    }
    while let Some(rest) = PREFIXES.iter().find_map(|p| text.strip_prefix(p)) {
        text = rest.to_owned();
    }
    text
}

/// Returns `true` if a statement may have failed because a file of a table was removed or replaced after it
/// was listed, as a run under way does: the engine knows the place of the footer from the older file. A
/// damaged file fails again when it is read anew.
pub(super) fn may_be_outdated(error: &QueryError) -> bool {
    let text = causes(error);
    ["not found", "No such file", "Parquet error"]
        .iter()
        .any(|said| text.contains(said))
}

/// A table that is not there.
pub(super) fn table(found: &str, names: &Names) -> QueryError {
    let known: Vec<&str> = names.tables.iter().map(String::as_str).collect();
    let mut hint = suggest(found, &known);
    if !hint.starts_with("did you mean") {
        hint = format!("tables: {}", known.join(", "));
    }
    let unwritten = tables::by_name(found).map(|_| "no run here has written it; ".to_owned());
    QueryError::sql(format!(
        "there is no table `{found}`; {}{hint}",
        unwritten.unwrap_or_default()
    ))
}

fn column(found: &str, valid: &[&str], names: &Names) -> String {
    let mut text = format!("there is no column `{found}`; {}", suggest(found, valid));
    if names.single && RUN_COLUMNS.contains(&found) {
        text = format!(
            "there is no column `{found}`: tables of one run have none; the views do, and tables do where several runs or a folder of runs are asked"
        );
    } else if let Some(same) = valid.iter().find(|v| v.eq_ignore_ascii_case(found)) {
        text = format!(
            "there is no column `{found}`; write \"{same}\" in double quotes, which keep capital letters"
        );
    }
    text
}

fn function(found: &str, names: &Names) -> String {
    let known: Vec<&str> = names.functions.iter().map(String::as_str).collect();
    let hint = suggest(found, &known);
    match hint.starts_with("did you mean") {
        true => format!("there is no function `{found}`; {hint}"),
        false => format!(
            "there is no function `{found}`; functions on volumes are {}, all others those of DataFusion's SQL",
            FUNCTIONS.join(", ")
        ),
    }
}

/// Where the statement cannot be read, with the line and a mark below the place.
fn syntax(problem: &ParserError, sql: &str) -> String {
    let text = match problem {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "it is nested too deeply",
    };
    let (reason, place) = match text.rsplit_once(" at Line: ") {
        Some((reason, place)) => (reason, place.split_once(", Column: ")),
        None => (text, None),
    };
    let reason = reason
        .replace("Expected: ", "expected ")
        .replace(", found: ", ", found ");
    let place = place.and_then(|(line, column)| {
        Some((
            line.trim().parse::<usize>().ok()?,
            column.trim().parse::<usize>().ok()?,
        ))
    });
    let Some((line, column)) = place else {
        return format!("the statement is not SQL: {reason}");
    };
    let shown = sql.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let mark = " ".repeat(column.saturating_sub(1));
    format!("line {line}, column {column}: {reason}\n  {shown}\n  {mark}^")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Session;
    use crate::sink::{MetricRow, write_table};
    use std::fs;

    #[test]
    fn what_the_engine_says_of_a_file_that_changed_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.parquet");
        write_table::<MetricRow>(&path, &[]).unwrap();
        let asked = |sql| Session::open(folder.path()).unwrap().sql(sql);
        let mistake = asked("select nothing from metrics").unwrap_err();
        assert!(!may_be_outdated(&mistake), "{mistake}");
        let whole = fs::read(&path).unwrap();
        // As if the footer were looked for where an older file had it.
        fs::write(&path, &whole[..whole.len() - 20]).unwrap();
        let cut = asked("select * from metrics").unwrap_err();
        assert!(may_be_outdated(&cut), "{}", causes(&cut));
        assert!(causes(&cut).contains("metrics.parquet"), "{}", causes(&cut));
    }
}
