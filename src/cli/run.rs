//! `run`: a pipeline from file to closed run folder.

use super::file::checked_path;
use super::{RunArgs, folds, open_to_run, read, stdout};
use crate::error::Error;
use crate::run::chain::Failure;
use crate::run::context::cancel;
use crate::run::driver::{RunOptions, RunOutcome, run as drive};
use crate::run::evaluate::summary as dice_summary;
use crate::run::warnings::summary;
use crate::sink::ScoreRow;
use crate::spec::{SourceFile, counted};
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};

/// Runs a pipeline and prints its scores and its folder. Returns the exit code: 1 if subjects
/// failed, 3 if one of them failed by an error of this program.
///
/// **Errors** as [`drive`].
pub fn run(args: &RunArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let options = RunOptions {
        out: args.out.clone(),
        device: args.device.into(),
        devices: args.devices.clone(),
        workers: args.workers,
        memory: args.memory.map(|m| m.as_u64()),
        limit: args.limit,
        resume: args.resume,
        retry_failed: args.retry_failed,
        cluster: args.cluster.clone(),
        progress: std::io::stderr().is_terminal(),
    };
    if let Some(out) = &args.out {
        checked_path(out)?;
    }
    stop_on_signals();
    let file = read(&args.file, &args.set)?;
    match args.fold {
        Some(fold) => {
            let run_one = |file: &SourceFile, options: &RunOptions, out: &mut dyn Write| {
                run_file(file, args.no_optimize, options, out)
            };
            folds::run(args, fold, &file, &options, run_one, out)
        }
        None => run_file(&file, args.no_optimize, &options, out),
    }
}

/// Runs a pipeline that was read, and prints its scores and its folder. Returns the exit code.
///
/// **Errors** as [`drive`].
fn run_file(
    file: &SourceFile,
    as_written: bool,
    options: &RunOptions,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let (plan, cohort) = open_to_run(file, options.limit)?;
    let plan = match as_written {
        true => plan.unoptimized(),
        false => plan,
    };
    let outcome = drive(plan, cohort, options)?;
    print(&outcome, out).map_err(stdout)?;
    Ok(outcome.exit_code())
}

/// Has Ctrl-C and SIGTERM end the run behind the step it is in; a second one ends it at once.
pub fn stop_on_signals() {
    let handler = || {
        if cancel() {
            std::process::exit(130);
        }
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        tracing::debug!(reason = %e, "signals keep their default");
    }
}

fn print(outcome: &RunOutcome, out: &mut dyn Write) -> std::io::Result<()> {
    print_scores(&outcome.scores, outcome.trained_regions, out)?;
    for Failure {
        subject,
        stage,
        cause,
        ..
    } in outcome.failures.iter().take(5)
    {
        tracing::warn!(%subject, %stage, %cause, "failed");
    }
    if outcome.failures.len() > 5 {
        tracing::warn!(
            "… and {}; see the table `failures`",
            counted(outcome.failures.len() - 5, "more subject")
        );
    }
    if let Some(summary) = summary(&outcome.warnings) {
        writeln!(out, "{summary}; see the table `warnings`")?;
    }
    writeln!(out, "{}", outcome.folder.display())
}

/// Mean Dice by split, checkpoint, head and class; `trained_regions` as for [`dice_summary`].
///
/// **Errors** when `out` does.
pub fn print_scores(
    scores: &[ScoreRow],
    trained_regions: usize,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let parts: BTreeSet<(&str, &str)> = scores
        .iter()
        .map(|s| (s.split.as_str(), s.checkpoint.as_str()))
        .collect();
    for (split, checkpoint) in parts {
        let part: Vec<ScoreRow> = scores
            .iter()
            .filter(|s| s.split == split && s.checkpoint == checkpoint)
            .cloned()
            .collect();
        let subjects: BTreeSet<&str> = part.iter().map(|s| s.subject_id.as_str()).collect();
        let summary = dice_summary(&part, trained_regions);
        writeln!(
            out,
            "{split}, {checkpoint} checkpoint, {}",
            counted(subjects.len(), "subject")
        )?;
        for (head, class, mean) in &summary.means {
            writeln!(out, "  {head:<10} {class:<20} Dice {mean:.4}")?;
        }
        if let Some(overall) = summary.overall {
            writeln!(out, "  {:<31} Dice {overall:.4}", "mean")?;
        }
    }
    Ok(())
}
