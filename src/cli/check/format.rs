//! The result of `check` for machines: JSON, GitHub's annotations, SARIF.

use crate::error::Error;
use crate::run::chain::causes;
use crate::spec::Diagnostic;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{Result, Write};
use std::path::Path;

/// How the result of `check` is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Text for people; mistakes as a compiler shows them, on stderr.
    Text,
    /// A JSON array, one object a mistake: file, line, column, level, message, help.
    Json,
    /// Workflow commands that GitHub Actions shows at their lines.
    Github,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

/// How much a remark matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file, or a subject, cannot be used.
    Error,
    /// Usable, but suspicious.
    Warning,
    /// Worth knowing.
    Note,
}

impl Level {
    /// GitHub's and SARIF's words; GitHub calls a note a notice.
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Line and column, from 1, columns in characters.
pub type Point = (usize, usize);

/// Something to say about a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Remark {
    /// Path of the file as it was given.
    pub file: String,
    /// First place and the place behind the last one, where they are known.
    pub span: Option<(Point, Point)>,
    /// How much it matters.
    pub level: Level,
    /// What was found and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Remark {
    /// A remark about a file as a whole.
    pub(super) fn of_file(path: &Path, level: Level, message: String) -> Self {
        Self {
            file: path.display().to_string(),
            span: None,
            level,
            message,
            help: None,
        }
    }

    /// A mistake in a pipeline file.
    pub fn of_diagnostic(diagnostic: &Diagnostic) -> Self {
        let (file, error) = (&diagnostic.file, &diagnostic.error);
        let span = error
            .at
            .map(|at| (file.line_column(at.start), file.line_column(at.end)));
        Self {
            file: file.path().display().to_string(),
            span,
            level: Level::Error,
            message: error.message.clone(),
            help: error.help.clone(),
        }
    }

    fn text(&self) -> String {
        match &self.help {
            Some(help) => format!("{}; {help}", self.message),
            None => self.message.clone(),
        }
    }

    /// The remark as an object of `check --format json`: file, line, column, end_line, end_column (from
    /// 1, in characters; null for the file as a whole), level, message, help.
    pub fn json(&self) -> Value {
        let (start, end) = self.span.unzip();
        json!({
            "file": self.file, "line": start.map(|p| p.0), "column": start.map(|p| p.1),
            "end_line": end.map(|p| p.0), "end_column": end.map(|p| p.1),
            "level": self.level, "message": self.message, "help": self.help,
        })
    }

    /// A workflow command: `::error file=a.yaml,line=2,col=3,endLine=2,endColumn=9::message`.
    fn github(&self) -> String {
        let word = match self.level {
            Level::Note => "notice",
            level => level.word(),
        };
        let plain = |text: &str| {
            let text = text.replace('%', "%25");
            text.replace('\r', "%0D").replace('\n', "%0A")
        };
        let property = |text: &str| plain(text).replace(':', "%3A").replace(',', "%2C");
        let place = self
            .span
            .map_or_else(String::new, |((line, column), (last, end))| {
                // GitHub takes columns for one line only.
                match line == last {
                    true => format!(",line={line},col={column},endLine={last},endColumn={end}"),
                    false => format!(",line={line},endLine={last}"),
                }
            });
        format!(
            "::{word} file={}{place}::{}",
            property(&self.file),
            plain(&self.text())
        )
    }

    fn sarif(&self) -> Value {
        let mut place = json!({ "artifactLocation": { "uri": self.file.replace('\\', "/") } });
        if let Some(((line, column), (last, end))) = self.span {
            place["region"] = json!({
                "startLine": line, "startColumn": column, "endLine": last, "endColumn": end,
            });
        }
        json!({
            "ruleId": "pipeline", "level": self.level.word(),
            "message": { "text": self.text() }, "locations": [{ "physicalLocation": place }],
        })
    }
}

/// What an error says of a file, mistake by mistake.
pub(super) fn of_error(path: &Path, error: &Error) -> Vec<Remark> {
    match error {
        Error::Pipeline { diagnostics } => diagnostics.iter().map(Remark::of_diagnostic).collect(),
        other => vec![Remark::of_file(path, Level::Error, causes(other))],
    }
}

/// Writes remarks; nothing as text, which was written file by file.
///
/// **Errors** those of `out`.
pub(super) fn write(remarks: &[Remark], format: CheckFormat, out: &mut dyn Write) -> Result<()> {
    match format {
        CheckFormat::Text => Ok(()),
        CheckFormat::Json => {
            let all: Vec<Value> = remarks.iter().map(Remark::json).collect();
            writeln!(out, "{:#}", Value::from(all))
        }
        CheckFormat::Github => {
            let mut lines = remarks.iter().map(Remark::github);
            lines.try_for_each(|line| writeln!(out, "{line}"))
        }
        CheckFormat::Sarif => {
            let results: Vec<Value> = remarks.iter().map(Remark::sarif).collect();
            let rule = json!({ "id": "pipeline", "shortDescription": { "text": "a mistake in a pipeline file or its data" } });
            let driver = json!({
                "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "rules": [rule],
            });
            let log = json!({
                "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
                "runs": [{ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results }],
            });
            writeln!(out, "{log:#}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    const WRONG: &str = "name: a\nsource: { phantom: { subjects: 2 } }\nstages: [orien: {}]\n";

    fn checked(text: &str, format: CheckFormat) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let code = check(std::slice::from_ref(&path), &[], false, format, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        (code, text.replace(&path.display().to_string(), "a.yaml"))
    }

    #[test]
    fn a_mistake_has_its_place_in_every_format() {
        let (code, text) = checked(WRONG, CheckFormat::Json);
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, 2);
        let expected = json!([{ "file": "a.yaml", "line": 3, "column": 10, "end_line": 3, "end_column": 15,
            "level": "error", "message": "unknown stage `orien`", "help": "did you mean `orient`?" }]);
        assert_eq!(all, expected);

        let (code, text) = checked(WRONG, CheckFormat::Github);
        let expected = "::error file=a.yaml,line=3,col=10,endLine=3,endColumn=15::unknown stage `orien`; did you mean `orient`?\n";
        assert_eq!((code, &*text), (2, expected));

        let (code, text) = checked(WRONG, CheckFormat::Sarif);
        let log: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &log["version"]), (2, &json!("2.1.0")));
        let result = &log["runs"][0]["results"][0];
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["region"]["startColumn"], 10);
        assert_eq!(place["artifactLocation"]["uri"], "a.yaml");
        assert_eq!(result["level"], "error");
    }

    #[test]
    fn a_file_without_mistakes_has_no_remarks() {
        let right = WRONG.replace("orien", "orient");
        assert_eq!(checked(&right, CheckFormat::Json), (0, "[]\n".to_owned()));
        assert_eq!(checked(&right, CheckFormat::Github), (0, String::new()));
        let (code, text) = checked(&right, CheckFormat::Text);
        assert_eq!((code, &*text), (0, "a.yaml: ok (1 step, 1 source)\n"));
    }

    #[test]
    fn what_github_reads_as_syntax_is_escaped() {
        let remark = Remark {
            file: "a,b:c.yaml".to_owned(),
            span: Some(((1, 2), (3, 4))),
            level: Level::Note,
            message: "50 %\nof it".to_owned(),
            help: None,
        };
        let expected = "::notice file=a%2Cb%3Ac.yaml,line=1,endLine=3::50 %25%0Aof it";
        assert_eq!(remark.github(), expected);
    }
}
