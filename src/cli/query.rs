//! `query`: SQL over runs, one statement, a script, or an interactive shell.

mod complete;
mod export;
mod fit;
mod shell;
mod statements;
mod summary;

use super::file::checked_path;
use super::stdout;
use crate::error::Error;
use crate::query::{Format, Limits, Session, print};
use crate::store;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use std::io::{IsTerminal as _, Read as _, Write};
use std::path::PathBuf;
use summary::took;

/// Options of `query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Folders of runs, or folders that hold runs, and the statement at the end.
    ///
    /// Without a statement an interactive shell starts on a terminal; otherwise statements are read from
    /// standard input, each ended by `;`.
    // Not the parser of paths, which refuses an empty statement as a missing value.
    #[arg(required = true, value_name = "RUNS [SQL]", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub arguments: Vec<PathBuf>,
    /// How answers are printed.
    #[arg(long, value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
    /// Say on stderr how many bytes of columns were read, the rows, and the time.
    #[arg(long)]
    pub stats: bool,
    /// Most bytes that sorts, decoded volumes or an answer may take, such as `8GiB`.
    #[arg(long, default_value = "4GiB")]
    pub memory: bytesize::ByteSize,
}

/// A format, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// A table for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Json,
    /// A table in Markdown.
    Md,
    /// Parquet.
    Parquet,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Table => Self::Table,
            FormatArg::Csv => Self::Csv,
            FormatArg::Json => Self::Json,
            FormatArg::Md => Self::Markdown,
            FormatArg::Parquet => Self::Parquet,
        }
    }
}

/// Answers the statement, those of a script, or those typed in the shell.
///
/// **Errors** if a folder holds no run, a statement is wrong, or an answer cannot be printed.
pub fn query(args: &QueryArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let (folders, sql) = split(&args.arguments)?;
    let limits = Limits {
        memory: args.memory.as_u64(),
        ..Limits::default()
    };
    let session = Session::open_all(folders, limits.clone())?;
    if let Some(sql) = sql {
        return answer(&session, sql, args, out).map(|()| 0);
    }
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return shell::run(session, &limits, args.format.into(), out);
    }
    let mut script = String::new();
    let read = std::io::stdin().read_to_string(&mut script);
    read.map_err(|source| Error::Io {
        path: PathBuf::from("stdin"),
        action: "reading the statements",
        source,
    })?;
    for sql in statements::in_place(&script) {
        answer(&session, &sql, args, out)?;
    }
    Ok(0)
}

/// The folders, and the statement behind them if there is one: the last argument that is no path.
///
/// **Errors** if a folder does not exist.
fn split(arguments: &[PathBuf]) -> Result<(&[PathBuf], Option<&str>), Error> {
    let (folders, sql) = match arguments {
        [folders @ .., last] if !folders.is_empty() && !last.exists() => {
            let is_sql = |text: &&str| text.is_empty() || text.contains(char::is_whitespace);
            let text = last.to_str().filter(is_sql);
            match text {
                Some(sql) => (folders, Some(sql)),
                None => (arguments, None),
            }
        }
        all => (all, None),
    };
    for folder in folders {
        checked_path(folder)?;
        if !store::is_url(folder) && !folder.is_dir() {
            return Err(Error::run(format!(
                "{}: there is no such folder; expected run folders, then one statement in quotes",
                folder.display()
            )));
        }
    }
    Ok((folders, sql))
}

fn answer(
    session: &Session,
    sql: &str,
    args: &QueryArgs,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let answer = session.answer(sql)?;
    print(&answer.batches, args.format.into(), &mut *out)?;
    if args.stats {
        // Nothing is left to say where stderr is closed.
        writeln!(std::io::stderr(), "{}", took(&answer)).ok();
    }
    out.flush().map_err(stdout)
}

#[cfg(test)]
mod tests;
