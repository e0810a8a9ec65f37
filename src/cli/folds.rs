//! `run --fold`: the runs of a cross-validation, one folder each below the folder of their group.

use super::args::FoldArg;
use super::{RunArgs, planned, stdout};
use crate::error::Error;
use crate::plan::overrides;
use crate::query::{Format, Session, print};
use crate::run::driver::RunOptions;
use crate::run::folder::{STATUS, create_stamped, newest};
use crate::source::{fold_folder, fold_number};
use crate::spec::{Diagnostic, SourceFile};
use crate::store;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The mean of the classes of each split and checkpoint, and the spread over folds.
const TABLE: &str = "select split, checkpoint, modality, class, folds, subjects,
       round(mean_dice, 4) as mean_dice, round(sd_dice, 4) as sd_dice,
       round(worst_fold_dice, 4) as worst_fold_dice, missed
from cross_validation order by split desc, checkpoint, modality nulls last, class nulls last";

/// Runs the folds, each by `run_one`; with scores of two folds or more, prints the table of the cross-validation.
///
/// **Errors** if the source has no such fold, or as a run; folds that are finished stay.
pub(super) fn run(
    args: &RunArgs,
    fold: FoldArg,
    file: &SourceFile,
    options: &RunOptions,
    run_one: impl Fn(&SourceFile, &RunOptions, &mut dyn Write) -> Result<u8, Error>,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let pipeline = planned(file)?.pipeline;
    let split = pipeline.source.split();
    let split = split.and_then(|(place, split)| Some((place, split.folds?)));
    let Some((place, count)) = split else {
        return Err(Error::run(format!(
            "{}: `--fold` is given, but the source has no folds; write `split: {{ folds: 5 }}` in it",
            file.name
        )));
    };
    let chosen = match fold {
        FoldArg::All => 0..count,
        FoldArg::One(fold) if fold < count => fold..fold + 1,
        FoldArg::One(fold) => {
            return Err(Error::run(format!(
                "{}: there is no fold {fold}; the {count} folds are 0 to {}, or `all`",
                file.name,
                count - 1
            )));
        }
    };
    let group = group(args, &pipeline.name)?;
    let mut code = 0;
    for fold in chosen {
        let folder = group.join(fold_folder(fold));
        let named = overrides::apply(file, &format!("{place}.fold={fold}"));
        let named = named.map_err(|error| Error::Pipeline {
            diagnostics: vec![Diagnostic {
                file: file.clone(),
                error,
            }],
        })?;
        tracing::info!(fold, of = count, folder = %folder.display(), "cross-validation");
        let options = RunOptions {
            resume: args.resume && is_started(&folder)?,
            out: Some(folder),
            ..options.clone()
        };
        let ended = run_one(&named, &options, out);
        if ended.is_err() && args.out.is_none() {
            // What could not start leaves no folder; one that holds anything stays.
            std::fs::remove_dir(&group).ok();
        }
        code = code.max(ended?);
    }
    table(&group, out)?;
    writeln!(out, "{}", group.display()).map_err(stdout)?;
    Ok(code)
}

/// The folder of the group: that of `--out`, the latest to resume, or a new one.
fn group(args: &RunArgs, name: &str) -> Result<PathBuf, Error> {
    let parent = Path::new("runs").join(name);
    match (&args.out, args.resume) {
        (Some(out), _) => Ok(out.clone()),
        (None, false) => create_stamped(&parent),
        (None, true) => newest(&parent, |group| {
            let entries = std::fs::read_dir(group).into_iter().flatten().flatten();
            let mut folds = entries.map(|e| e.path());
            folds.any(|fold| fold_number(&fold).is_some() && fold.join(STATUS).exists())
        }),
    }
}

fn is_started(folder: &Path) -> Result<bool, Error> {
    let status = folder.join(STATUS);
    store::exists(&status).map_err(Error::io(&status, "looking for the run"))
}

/// Prints what the folds that are there scored.
fn table(group: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let session = Session::open(group)?;
    let scored = session.sql("select count(distinct fold) > 1 as several from runs")?;
    let is_true = |batch: &arrow::array::RecordBatch| {
        use arrow::array::AsArray as _;
        batch.column(0).as_boolean().iter().any(|v| v == Some(true))
    };
    let has_scores = session.entries().iter().any(|e| e.name == "scores");
    if has_scores && scored.iter().any(is_true) {
        writeln!(out, "cross-validation").map_err(stdout)?;
        print(&session.sql(TABLE)?, Format::Table, &mut *out)?;
    }
    Ok(())
}
