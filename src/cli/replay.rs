//! `replay`: rebuilds recorded rows of a run from their draws, and says whether the bytes agree.

use super::file::checked_path;
use super::view::predicted::pipeline_of;
use super::view::traced::row_page;
use super::{open, say};
use crate::error::Error;
use crate::run::chain::causes;
use crate::run::replay::{Difference, Kept, RecordedRow, Replayer, RowFilter, compare, visit};
use crate::sink::parquet::write_whole;
use crate::sink::{TableWriter, encode_prepared};
use crate::spec::counted;
use crate::volume::Row;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that a subject may take while it is made again, where the pipeline names no budget.
const MEMORY: u64 = 8 << 30;

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Run folder.
    pub run: PathBuf,
    /// Subject of the row.
    #[arg(long)]
    pub subject: Option<String>,
    /// Pass over the data, from 0.
    #[arg(long)]
    pub epoch: Option<u64>,
    /// Sample of the subject in the pass, from 0.
    #[arg(long)]
    pub sample: Option<u32>,
    /// View of a training: weak, strong or `strong.<name>`.
    #[arg(long)]
    pub view: Option<String>,
    /// Replay every recorded row that the other options accept, not the first alone.
    #[arg(long, conflicts_with = "out")]
    pub all: bool,
    /// Write the rebuilt row: voxels and draws as Parquet, or a picture as PNG.
    #[arg(short, long, value_name = "PARQUET|PNG")]
    pub out: Option<PathBuf>,
}

/// Replays recorded rows of a run and prints for each whether its bytes agree.
///
/// **Errors** if no row of the kind was recorded, one cannot be made again, or bytes differ.
pub fn replay(args: &ReplayArgs, out: &mut dyn Write) -> Result<u8, Error> {
    checked_path(&args.run)?;
    let format = args.out.as_deref().map(Format::of).transpose()?;
    let (plan, cohort) = open(&pipeline_of(&args.run, &[])?)?;
    let memory = plan.pipeline.memory.unwrap_or(MEMORY);
    let replayer = Replayer::open(&args.run, plan, Arc::from(cohort), memory)?;
    let filter = RowFilter {
        subject: args.subject.clone(),
        epoch: args.epoch,
        sample: args.sample,
        view: args.view.clone(),
    };
    let (mut rows, mut wrong, mut first) = (0_u64, 0_u64, None);
    visit(&args.run, &filter, |recorded| {
        let made = replayer.replay(&recorded)?;
        let (columns, differences) = compare(&recorded, &made);
        rows += 1;
        say(out, &verdict(&recorded, &columns, &differences))?;
        if !differences.is_empty() {
            wrong += 1;
            first.get_or_insert_with(|| replayer.causes(&recorded));
        }
        if let (Some(path), Some(format)) = (&args.out, format) {
            format.write(path, &replayer, &recorded, &made)?;
            say(out, &format!("{}\n", path.display()))?;
        }
        Ok(args.all)
    })?;
    if args.all && wrong == 0 {
        return say(
            out,
            &format!("bytes agree in all {}\n", counted(rows, "row")),
        );
    }
    match first {
        None => Ok(0),
        Some(causes) => Err(Error::Differs {
            problem: format!(
                "{}: bytes differ in {wrong} of {}{causes}",
                args.run.display(),
                counted(rows, "row")
            ),
        }),
    }
}

/// What was compared, and what differs.
fn verdict(recorded: &RecordedRow, columns: &[String], differences: &[Difference]) -> String {
    let against = match recorded.kept {
        Kept::Voxels(_) => "the voxels that were stored",
        Kept::Digests(_) => "the digests that were stored",
    };
    let draws = recorded.draws.len();
    if differences.is_empty() {
        return format!(
            "{recorded}: bytes agree with {against} ({}; {draws} draws)\n",
            columns.join(", ")
        );
    }
    let lines = differences.iter();
    let lines = lines.map(|d| format!("  {}: {}\n", d.column, d.problem));
    format!(
        "{recorded}: bytes differ from {against}\n{}",
        lines.collect::<String>()
    )
}

/// How a rebuilt row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Parquet,
    Png,
}

impl Format {
    /// By the ending of a file.
    ///
    /// **Errors** say which endings there are.
    fn of(path: &Path) -> Result<Self, Error> {
        checked_path(path)?;
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => Ok(Self::Parquet),
            Some("png") => Ok(Self::Png),
            _ => Err(Error::run(format!(
                "`--out {}`: found another ending, expected `.parquet` (voxels and draws) or `.png` (a picture)",
                path.display()
            ))),
        }
    }

    fn write(
        self,
        path: &Path,
        replayer: &Replayer,
        recorded: &RecordedRow,
        row: &Row,
    ) -> Result<(), Error> {
        match self {
            Self::Parquet => {
                let batch = encode_prepared(std::slice::from_ref(row))?;
                let mut writer = TableWriter::create(path, batch.schema())?;
                writer.write(&batch)?;
                writer.close()?;
            }
            Self::Png => {
                let page = row_page(replayer.plan(), recorded.to_string(), row);
                let mut png = Vec::new();
                page.draw().write_png(&mut png).map_err(|e| {
                    Error::run(format!("the picture cannot be encoded: {}", causes(&e)))
                })?;
                write_whole(path, &png)?;
            }
        }
        Ok(())
    }
}
