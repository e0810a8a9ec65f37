//! The interactive shell of `query`.

use super::complete::{COMMANDS, Typing};
use super::summary::took;
use super::{export, fit, statements};
use crate::cli::{show_error, stdout};
use crate::error::Error;
use crate::query::{Answer, Format, HELP, Limits, Session, print};
use crate::spec::counted;
use arrow::array::RecordBatch;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows of an answer that are shown; `.export` writes all.
const SHOWN: usize = 500;
/// Statements kept in the history.
const HISTORY: usize = 2000;

/// One shell.
struct Shell<'a> {
    editor: Editor<Typing, FileHistory>,
    session: Rc<RefCell<Session>>,
    format: Format,
    timing: bool,
    last: Option<Answer>,
    out: &'a mut dyn Write,
}

/// Reads statements until the user leaves.
///
/// **Errors** if the terminal cannot be read or written; what is wrong in a statement is shown and the
/// shell continues.
pub(super) fn run(
    session: Session,
    limits: &Limits,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let stop = Arc::clone(&limits.stop);
    // Without a handler Ctrl-C ends the shell, which is a nuisance and nothing worse.
    let handler = move || {
        // Pressed again, it ends a statement that does not yield, and the shell with it.
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        tracing::debug!(reason = %e, "Ctrl-C ends the shell");
    }
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY)
        .map_err(terminal)?
        .build();
    let session = Rc::new(RefCell::new(session));
    let mut editor = Editor::with_config(config).map_err(terminal)?;
    editor.set_helper(Some(Typing {
        session: Rc::clone(&session),
    }));
    let history = history_file();
    if let Some(path) = &history {
        // The first shell of a user has none.
        editor.load_history(path).ok();
    }
    // Parquet is no text.
    let format = if format == Format::Parquet {
        Format::Table
    } else {
        format
    };
    let mut shell = Shell {
        editor,
        session,
        format,
        timing: true,
        last: None,
        out,
    };
    shell.greet()?;
    shell.read()?;
    if let Some(path) = &history
        && let Err(e) = keep(&mut shell.editor, path)
    {
        tracing::warn!(file = %path.display(), reason = %e, "the history is not kept");
    }
    Ok(0)
}

fn keep(editor: &mut Editor<Typing, FileHistory>, path: &Path) -> Result<(), ReadlineError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    editor.save_history(path)
}

/// `$XDG_STATE_HOME/voxstream/query_history`, or below `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let home = || Some(set("HOME")?.join(".local").join("state"));
    let state = set("XDG_STATE_HOME").or_else(home)?;
    Some(state.join("voxstream").join("query_history"))
}

fn terminal(error: ReadlineError) -> Error {
    match error {
        ReadlineError::Io(source) => Error::Io {
            path: PathBuf::from("terminal"),
            action: "reading",
            source,
        },
        other => Error::run(format!("the terminal cannot be read: {other}")),
    }
}

impl Shell<'_> {
    fn greet(&mut self) -> Result<(), Error> {
        let runs = self.session.borrow().runs().all.len();
        let runs = counted(runs, "run");
        let text =
            format!("{runs}; end statements with `;`, Tab completes, `.help` lists commands\n");
        self.out.write_all(text.as_bytes()).map_err(stdout)
    }

    fn read(&mut self) -> Result<(), Error> {
        loop {
            let typed = match self.editor.readline("voxstream> ") {
                Ok(typed) => typed,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(()),
                Err(e) => return Err(terminal(e)),
            };
            if !statements::has_words(&typed) {
                continue;
            }
            self.editor
                .add_history_entry(typed.trim_end())
                .map_err(terminal)?;
            let command = typed.trim().strip_prefix('.');
            let done = match command {
                Some(command) if command.trim() == "quit" || command.trim() == "exit" => {
                    return Ok(());
                }
                Some(command) => self.command(command),
                None => self.statements(&typed),
            };
            match done {
                // A terminal that is gone ends the shell.
                Err(e @ Error::Io { .. }) => return Err(e),
                Err(e) => show_error(&e),
                Ok(()) => {}
            }
        }
    }

    fn statements(&mut self, typed: &str) -> Result<(), Error> {
        for sql in statements::in_place(typed) {
            // Runs may be under way.
            self.session.borrow_mut().refresh()?;
            let answer = self.session.borrow().answer(&sql)?;
            self.show(&answer.batches)?;
            if self.timing {
                writeln!(self.out, "{}", took(&answer)).map_err(stdout)?;
            }
            self.last = Some(answer);
        }
        self.out.flush().map_err(stdout)
    }

    /// Shows the first rows, in the pager where there is one and they do not fit.
    fn show(&mut self, batches: &[RecordBatch]) -> Result<(), Error> {
        let (mut shown, mut left) = (Vec::new(), SHOWN);
        for batch in batches {
            let rows = batch.num_rows().min(left);
            shown.push(batch.slice(0, rows));
            left -= rows;
        }
        let format = self.format;
        let printed = |batches: &[RecordBatch]| {
            let mut text = Vec::new();
            print(batches, format, &mut text).map(|()| text)
        };
        let width = self.width();
        // A pager scrolls sideways.
        let is_cut = format == Format::Table && pager().is_none();
        let mut text = match is_cut {
            true => fit::fitted(&shown, width, printed)?,
            false => printed(&shown)?,
        };
        let all: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if all > SHOWN {
            let more = counted(all - SHOWN, "more row");
            text.extend(format!("… {more}; `.export FILE` writes all\n").into_bytes());
        }
        self.page(&text)
    }

    fn page(&mut self, text: &[u8]) -> Result<(), Error> {
        let Some(pager) = pager().filter(|_| !self.fits(text)) else {
            return self.out.write_all(text).map_err(stdout);
        };
        let mut command = Command::new("sh");
        command.args(["-c", &pager]).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            // Long lines are cut and can be scrolled.
            command.env("LESS", "-RSX");
        }
        let started = command.spawn().and_then(|mut child| {
            if let Some(mut to) = child.stdin.take() {
                // Whoever leaves the pager early has seen enough.
                to.write_all(text).ok();
            }
            child.wait()
        });
        match started {
            Ok(_) => Ok(()),
            Err(e) => Err(Error::run(format!(
                "$PAGER is `{pager}`, which cannot be started: {e}"
            ))),
        }
    }

    /// Returns `true` if a text fits the terminal.
    fn fits(&mut self, text: &[u8]) -> bool {
        let Some((columns, rows)) = self.editor.dimensions() else {
            return true;
        };
        let lines = text.iter().filter(|c| **c == b'\n').count();
        lines + 2 < usize::from(rows) && fit::widest(text) <= usize::from(columns)
    }

    /// Letters in a line of the terminal.
    fn width(&mut self) -> usize {
        let dimensions = self.editor.dimensions();
        dimensions.map_or(80, |(columns, _)| usize::from(columns))
    }

    fn command(&mut self, typed: &str) -> Result<(), Error> {
        let (name, rest) = typed.split_once(char::is_whitespace).unwrap_or((typed, ""));
        let rest = rest.trim().trim_end_matches(';').trim();
        match (name, rest) {
            ("help", _) => self.say(&help()),
            ("tables", _) => {
                self.session.borrow_mut().refresh()?;
                let listed = self.session.borrow().answer("show tables")?;
                let width = self.width();
                let lines = listed
                    .batches
                    .iter()
                    .map(|batch| fit::wrapped(batch, width));
                self.page(lines.collect::<String>().as_bytes())
            }
            ("schema", "") => {
                self.session.borrow_mut().refresh()?;
                let names = self.session.borrow().names().tables;
                let width = self.width();
                let mut text = String::new();
                for table in names {
                    let described = self.session.borrow().describe(&table)?;
                    text.push_str(&format!("{table}\n{}\n", fit::wrapped(&described, width)));
                }
                self.page(text.as_bytes())
            }
            ("schema", table) => {
                let described = self.session.borrow().describe(table)?;
                let width = self.width();
                self.page(fit::wrapped(&described, width).as_bytes())
            }
            ("functions", _) => {
                let lines = HELP
                    .iter()
                    .map(|(usage, doc)| format!("{usage}\n    {doc}\n"));
                self.say(&lines.collect::<String>())
            }
            ("format", format) => {
                self.format = match format {
                    "table" => Format::Table,
                    "csv" => Format::Csv,
                    "json" => Format::Json,
                    "md" => Format::Markdown,
                    other => {
                        return Err(Error::run(format!(
                            "found format `{other}`, expected table, csv, json or md; `.export FILE.parquet` writes Parquet"
                        )));
                    }
                };
                Ok(())
            }
            ("timing", "on" | "off") => {
                self.timing = rest == "on";
                Ok(())
            }
            ("timing", other) => Err(Error::run(format!(
                "found `{other}`, expected `.timing on` or `.timing off`"
            ))),
            ("export", "") => Err(Error::run("name a file, such as `.export answer.csv`")),
            ("export", file) => {
                let Some(answer) = &self.last else {
                    return Err(Error::run(
                        "there is no answer yet; ask first, then `.export FILE`",
                    ));
                };
                export::export(&answer.batches, Path::new(file))?;
                let rows = counted(answer.stats.rows, "row");
                self.say(&format!("{file}: {rows}\n"))
            }
            (other, _) => {
                let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
                let hint = crate::spec::suggest(&format!(".{other}"), &names);
                Err(Error::run(format!(
                    "there is no command `.{other}`; {hint}"
                )))
            }
        }
    }

    fn say(&mut self, text: &str) -> Result<(), Error> {
        self.out.write_all(text.as_bytes()).map_err(stdout)
    }
}

/// The user's pager, if there is one.
fn pager() -> Option<String> {
    std::env::var("PAGER").ok().filter(|p| !p.trim().is_empty())
}

fn help() -> String {
    let lines = COMMANDS
        .iter()
        .map(|(name, doc)| format!("{name:<12}{doc}\n"));
    lines.collect::<String>()
        + "Everything else is SQL, ended by `;`: select class, avg(dice) from scores group by class;\n"
}
