//! `test`: holds a pipeline to what its `tests` promise.

use super::{planned, read, show_error, stdout};
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::expectations::TestCase;
use crate::run::expect::{Difference, TestOutcome, expect};
use crate::sink::parquet::write_whole;
use crate::source::{SourceKind, SourceSpec};
use crate::spec::{At, SourceFile, agreeing, counted};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that a subject may take while it is tested.
const MEMORY: u64 = 8 << 30;

/// Options of `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Pipeline files.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Write the digests that were found into the files, in place of those that differ.
    #[arg(long)]
    pub update: bool,
}

/// Runs the tests of every file and prints what differs. Returns 0 if all hold, 1 if one does not,
/// and 2 if a file has mistakes or no file has a test.
///
/// **Errors** when `out` does, or a file cannot be updated; a file's mistakes are shown and the next
/// file is tested.
pub fn test(args: &TestArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let (mut tests, mut failed, mut mistaken) = (0, 0, 0);
    for path in &args.files {
        match file(path, args.update, out) {
            Ok(found) => {
                tests += found[0];
                failed += found[1];
            }
            Err(
                error @ Error::Io {
                    action: "writing", ..
                },
            ) => return Err(error),
            Err(error) => {
                show_error(&error);
                mistaken += 1;
            }
        }
    }
    // Where mistakes were shown, no tests are no news.
    if tests > 0 || mistaken == 0 {
        writeln!(out, "{}", total(tests, failed)).map_err(stdout)?;
    }
    Ok(match (mistaken, failed) {
        (0, 0) if tests == 0 => 2,
        (0, 0) => 0,
        (0, _) => 1,
        _ => 2,
    })
}

fn total(tests: usize, failed: usize) -> String {
    match (tests, failed) {
        (0, _) => "no test: a pipeline's tests stand in its section `tests`, see `voxstream schema pipeline`".to_owned(),
        (n, 0) => format!("{} {}", counted(n, "test"), agreeing(n, "holds", "hold")),
        (n, failed) => format!("{failed} of {} failed", counted(n, "test")),
    }
}

/// Tests one file; returns how many tests it has and how many of them failed.
fn file(path: &Path, update: bool, out: &mut dyn Write) -> Result<[usize; 2], Error> {
    let source = read(path, &[])?;
    let cases = planned(&source)?.pipeline.tests;
    writeln!(out, "{}", path.display()).map_err(stdout)?;
    if cases.is_empty() {
        writeln!(out, "  no tests").map_err(stdout)?;
    }
    let mut digests: Vec<(At, String)> = Vec::new();
    let mut failed = 0;
    for case in &cases {
        let name = &case.section.name;
        let mut outcome = match outcome(&source, case) {
            Ok(outcome) => outcome,
            Err(error @ Error::Pipeline { .. }) => return Err(error),
            Err(error) => {
                failed += 1;
                let causes = crate::run::chain::causes(&error);
                writeln!(out, "  FAILED  {name}\n    {causes}").map_err(stdout)?;
                continue;
            }
        };
        if update {
            let (stored, others): (Vec<_>, Vec<_>) = outcome
                .differences
                .into_iter()
                .partition(|d| d.digest.is_some());
            digests.extend(stored.into_iter().filter_map(|d| d.digest));
            outcome.differences = others;
        }
        failed += usize::from(!outcome.differences.is_empty());
        print(&source, name, &outcome, out).map_err(stdout)?;
    }
    if !digests.is_empty() {
        let text = with_digests(&source.text, digests.clone());
        write_whole(path, text.as_bytes())?;
        let n = digests.len();
        let many = if n == 1 { "digest" } else { "digests" };
        writeln!(out, "  {n} {many} updated").map_err(stdout)?;
    }
    Ok([cases.len(), failed])
}

/// Sends the subject of a test through the pipeline.
fn outcome(file: &SourceFile, case: &TestCase) -> Result<TestOutcome, Error> {
    let section = &case.section;
    let mut plan: Plan = planned(file)?.unoptimized();
    let pipeline = &mut plan.pipeline;
    if let Some(phantom) = &section.phantom {
        pipeline.source = SourceSpec {
            kind: SourceKind::Phantom(phantom.clone()),
            labels: pipeline.source.labels.clone(),
            registration: pipeline.source.registration.clone(),
        };
    }
    let cohort = pipeline.source.open(&file.folder(), pipeline.seed)?;
    // Behind the source: a phantom stays the one that the file names.
    pipeline.seed = section.seed.unwrap_or(pipeline.seed);
    let subject = super::view::choose(&*cohort, section.subject.as_deref())?;
    let memory = pipeline.memory.unwrap_or(MEMORY);
    Ok(expect(
        &Arc::new(plan),
        Arc::from(cohort),
        subject,
        case,
        memory,
    )?)
}

fn print(
    file: &SourceFile,
    name: &str,
    outcome: &TestOutcome,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let n = outcome.expected;
    let many = if n == 1 {
        "expectation"
    } else {
        "expectations"
    };
    if outcome.differences.is_empty() {
        return writeln!(out, "  ok      {name} ({n} {many})");
    }
    writeln!(out, "  FAILED  {name}")?;
    for Difference {
        at, place, problem, ..
    } in &outcome.differences
    {
        let (line, _) = file.line_column(at.start);
        writeln!(out, "    line {line}: {place}: {problem}")?;
    }
    Ok(())
}

/// A file's text with other digests at these places.
fn with_digests(text: &str, mut digests: Vec<(At, String)>) -> String {
    digests.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    let mut text = text.to_owned();
    for (at, digest) in digests {
        // In quotes, as a digest may look like a number.
        text.replace_range(at.start..at.end, &format!("\"{digest}\""));
    }
    text
}

#[cfg(test)]
mod tests;
