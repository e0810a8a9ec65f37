//! `demo`: the main job on a made-up cohort, with nothing but this program.

use super::run::{print_scores, stop_on_signals};
use super::{open, stdout};
use crate::error::Error;
use crate::plan::overrides;
use crate::run::driver::{RunOptions, RunOutcome, run as drive};
use crate::run::evaluate::summary;
use crate::run::folder::{STATUS, create_stamped, newest, refuse_occupied};
use crate::sink::ScoreRow;
use crate::spec::{Diagnostic, SourceFile};
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

/// The pipeline that the demo runs, gallery number 4.
const PIPELINE: &str = include_str!("../../pipelines/04-cmc-phantom.yaml");

/// Folders of the demo's runs, and what each changes in the pipeline.
const PARTS: [(&str, Option<&str>); 2] = [
    ("labelled_only", Some("train.batch.unlabelled=0")),
    ("semi_supervised", None),
];

/// Trains CMC twice on the phantom cohort, without and with its unlabelled subjects, and compares.
///
/// **Errors** as a run.
pub fn demo(
    out: Option<&Path>,
    workers: Option<usize>,
    resume: bool,
    to: &mut dyn Write,
) -> Result<u8, Error> {
    let runs = Path::new("runs").join("demo");
    let folder: PathBuf = match (out, resume) {
        (Some(out), _) => out.to_owned(),
        (None, false) => create_stamped(&runs)?,
        (None, true) => newest(&runs, |folder| {
            folder.join(PARTS[0].0).join(STATUS).exists()
        })?,
    };
    if !resume {
        refuse_occupied(&folder)?;
    }
    stop_on_signals();
    let file = SourceFile {
        name: "pipelines/04-cmc-phantom.yaml".to_owned(),
        text: PIPELINE.to_owned(),
    };
    let mut results = Vec::new();
    for (part, set) in PARTS {
        let mut file = file.clone();
        if let Some(assignment) = set {
            file = overrides::apply(&file, assignment).map_err(|error| Error::Pipeline {
                diagnostics: vec![Diagnostic {
                    file: file.clone(),
                    error,
                }],
            })?;
        }
        let (plan, cohort) = open(&file)?;
        tracing::info!(part, "training");
        let out = folder.join(part);
        let options = RunOptions {
            // Behind the first part, one that was not begun has nothing to go on from.
            resume: resume && (results.is_empty() || out.join(STATUS).exists()),
            out: Some(out),
            workers,
            progress: std::io::stderr().is_terminal(),
            ..RunOptions::default()
        };
        results.push((part, drive(plan, cohort, &options)?));
    }
    let report = crate::report::write(&folder)?;
    compare(&results, to).map_err(stdout)?;
    writeln!(to, "\nreport  {}\nquery   voxstream query {} \"select class, avg(dice) from scores group by class\"", report.display(), folder.join("semi_supervised").display())
        .map_err(stdout)?;
    Ok(u8::from(
        results.iter().any(|(_, r)| !r.failures.is_empty()),
    ))
}

fn compare(results: &[(&str, RunOutcome)], out: &mut dyn Write) -> std::io::Result<()> {
    let best = |r: &RunOutcome| -> Vec<ScoreRow> {
        r.scores
            .iter()
            .filter(|s| s.checkpoint == "best")
            .cloned()
            .collect()
    };
    for (part, result) in results {
        writeln!(out, "\n{part}")?;
        print_scores(&best(result), result.trained_regions, out)?;
    }
    let overall: Vec<f64> = results
        .iter()
        .filter_map(|(_, r)| summary(&best(r), r.trained_regions).overall)
        .collect();
    if let [labelled, semi] = overall[..] {
        writeln!(
            out,
            "\nmean Dice on test subjects: {labelled:.4} labelled only, {semi:.4} semi-supervised ({:+.4})",
            semi - labelled
        )?;
    }
    Ok(())
}
