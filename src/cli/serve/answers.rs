//! Answers of the server about runs, and to statements.

use super::kept::Kept;
use crate::query::{Run, Runs};
use crate::report::{self, Pictures, ReportError};
use crate::run::chain::causes;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Time and memory of a statement of the SQL box.
const TIME: Duration = Duration::from_secs(10);
const MEMORY: &str = "512MiB";
/// Time between two looks at whether the statement has ended.
const POLL: Duration = Duration::from_millis(10);
/// Rows of an answer that the page shows.
const ROWS: usize = 1000;
/// A run that is not finished and wrote nothing for so long has stopped.
const SILENT: Duration = Duration::from_secs(120);

/// What the server knows.
pub(super) struct App {
    folders: Vec<PathBuf>,
    /// This program, which runs statements.
    program: PathBuf,
    /// The subject looked at last.
    pub(super) kept: Mutex<Option<Kept>>,
    /// One statement at a time.
    sql: Mutex<()>,
}

/// An answer.
pub(super) struct Reply {
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self {
            status: 404,
            text: text.into(),
        }
    }

    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self {
            status: 400,
            text: text.into(),
        }
    }

    pub(super) fn internal() -> Self {
        Self {
            status: 500,
            text: "internal error; the server continues, and its terminal says more".to_owned(),
        }
    }

    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::wrong(causes(error))
    }
}

impl Reply {
    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self {
            kind: "application/json",
            body: value.to_string().into_bytes(),
        }
    }
}

impl App {
    pub(super) fn new(folders: Vec<PathBuf>, program: PathBuf) -> Self {
        Self {
            folders,
            program,
            kept: Mutex::default(),
            sql: Mutex::default(),
        }
    }

    /// The runs there are now.
    pub(super) fn runs(&self) -> Result<Runs, Problem> {
        Runs::find(&self.folders).map_err(|e| Problem::of(&e))
    }

    /// The run that a request names.
    pub(super) fn run(&self, asked: &BTreeMap<String, String>) -> Result<Run, Problem> {
        let name = parameter(asked, "run")?;
        let runs = self.runs()?;
        let run = runs.all.iter().find(|r| r.name == name);
        run.cloned()
            .ok_or_else(|| Problem::not_found(format!("there is no run `{name}`")))
    }
}

/// A parameter of a request.
pub(super) fn parameter<'a>(
    asked: &'a BTreeMap<String, String>,
    name: &str,
) -> Result<&'a str, Problem> {
    let found = asked.get(name).map(String::as_str);
    found.ok_or_else(|| Problem::wrong(format!("the parameter `{name}` is missing")))
}

/// The runs, the last one written first.
pub(super) fn runs(app: &App, _: &BTreeMap<String, String>) -> Result<Reply, Problem> {
    let mut all: Vec<(Option<SystemTime>, serde_json::Value)> = Vec::new();
    for run in &app.runs()?.all {
        let changed = changed(run);
        let state = state(run, changed);
        let seconds = changed.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        all.push((
            changed,
            json!({
                "run": run.name, "pipeline": run.pipeline, "fold": run.fold, "seed": run.seed,
                "state": state, "changed": seconds.map(|s| s.as_secs()),
            }),
        ));
    }
    all.sort_by_key(|(changed, _)| std::cmp::Reverse(*changed));
    let all: Vec<serde_json::Value> = all.into_iter().map(|(_, run)| run).collect();
    Ok(Reply::json(&all.into()))
}

/// When the run wrote something last.
pub(in crate::cli) fn changed(run: &Run) -> Option<SystemTime> {
    let files = run.table_files().chain([run.path.join("status.json")]);
    files
        .filter_map(|f| f.metadata().and_then(|m| m.modified()).ok())
        .max()
}

/// `finished`, `running` or `stopped`.
pub(in crate::cli) fn state(run: &Run, changed: Option<SystemTime>) -> &'static str {
    let age = changed.and_then(|t| t.elapsed().ok());
    match run.progress.as_deref() {
        Some("finished") | None => "finished",
        _ if age.is_some_and(|age| age > SILENT) => "stopped",
        _ => "running",
    }
}

/// The report of a run as it is now.
pub(super) fn run(app: &App, asked: &BTreeMap<String, String>) -> Result<Reply, Problem> {
    let run = app.run(asked)?;
    let html = match report::html(&run.path, &Pictures::default()) {
        Ok(html) => html,
        Err(ReportError::Empty { .. }) => {
            "<main><p class=\"note\">The run has not written a table yet.</p></main>".to_owned()
        }
        Err(e) => return Err(Problem::of(&e)),
    };
    Ok(Reply {
        kind: "text/html; charset=utf-8",
        body: html.into_bytes(),
    })
}

/// A statement's answer as JSON lines, and what it took.
///
/// The statement runs in a process of its own, which is ended at the limit of time: no statement can
/// hold the server up, or take more memory than it may.
pub(super) fn sql(app: &App, asked: &BTreeMap<String, String>) -> Result<Reply, Problem> {
    let text = parameter(asked, "q")?;
    // The command line tells statements from folders by their spaces.
    let text = format!("{} ", text.trim().trim_end_matches(';'));
    let _one = app.sql.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = |e: std::io::Error| Problem::of(&e);
    let mut child = Command::new(&app.program)
        .args([
            "query", "--stats", "--format", "json", "--memory", MEMORY, "--",
        ])
        .args(&app.folders)
        .arg(text)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (lines, said) = (
        reader(child.stdout.take(), ROWS).map_err(failed)?,
        reader(child.stderr.take(), ROWS).map_err(failed)?,
    );
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break Some(status);
        }
        if start.elapsed() > TIME {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            break None;
        }
        std::thread::sleep(POLL);
    };
    let text = |thread: std::thread::JoinHandle<Vec<String>>| thread.join().unwrap_or_default();
    let (lines, said) = (text(lines), text(said));
    let Some(status) = status else {
        return Err(Problem::wrong(format!(
            "the statement took longer than its limit of {} s; ask for less, or run it with `voxstream query`, which has no limit",
            TIME.as_secs()
        )));
    };
    let said = said.join("\n");
    if !status.success() {
        return Err(Problem::wrong(said.trim_start_matches("error: ")));
    }
    Ok(Reply::json(
        &json!({ "lines": lines, "took": said, "most": ROWS }),
    ))
}

/// Collects the first lines of a stream, and reads on to its end.
fn reader(
    stream: Option<impl Read + Send + 'static>,
    most: usize,
) -> std::io::Result<std::thread::JoinHandle<Vec<String>>> {
    let named = std::thread::Builder::new().name("answer".to_owned());
    named.spawn(move || {
        let mut kept = Vec::new();
        let lines = stream.map(|s| BufReader::new(s).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            if kept.len() < most {
                kept.push(line);
            }
        }
        kept
    })
}
