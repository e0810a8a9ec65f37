//! `report`: a page about one run with pictures, or about several runs side by side.

mod pictures;

use super::file::checked_path;
use super::say;
use crate::error::Error;
use crate::query::Runs;
use crate::report::{self, Pictures};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Options of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folders, or folders that hold runs.
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// File to write; default `report.html` in the folder of the run, or that of the runs.
    #[arg(short, long, value_name = "HTML")]
    pub out: Option<PathBuf>,
    /// Leave the pictures out, which need the data and take time.
    #[arg(long)]
    pub no_pictures: bool,
}

/// Writes the page and prints its path.
///
/// **Errors** if a folder holds no run, a table is damaged, or the page cannot be written. Pictures that
/// cannot be drawn are left out, and the page says why.
pub fn report(args: &ReportArgs, out: &mut dyn Write) -> Result<u8, Error> {
    for run in &args.runs {
        checked_path(run)?;
    }
    let runs = Runs::find(&args.runs)?;
    let path = match &runs.all[..] {
        [run] if runs.single => {
            let pictures = match args.no_pictures {
                true => Pictures::default(),
                false => of_run(&run.path),
            };
            let path = args
                .out
                .clone()
                .unwrap_or_else(|| run.path.join("report.html"));
            report::write_to(&path, &run.path, &pictures)?
        }
        _ => {
            let folder = match &args.runs[..] {
                [folder] => folder.as_path(),
                _ => Path::new("."),
            };
            let path = args
                .out
                .clone()
                .unwrap_or_else(|| folder.join("report.html"));
            report::write_runs(&path, &runs)?
        }
    };
    say(out, &format!("{}\n", path.display()))
}

/// The pictures of a run; where they cannot be drawn, the reason.
pub(super) fn of_run(run: &Path) -> Pictures {
    pictures::draw(run).unwrap_or_else(|error| {
        let reason = crate::run::chain::causes(&error);
        tracing::info!(%reason, "the report has no pictures");
        Pictures {
            notes: vec![format!("No pictures: {reason}")],
            ..Pictures::default()
        }
    })
}
