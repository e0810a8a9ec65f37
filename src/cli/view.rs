//! `view`: pictures of what a pipeline does to a subject, and of what a run predicted for it.

mod args;
mod nothing;
pub(super) mod predicted;
mod subject;
pub(super) mod traced;
mod unscored;

pub use args::ViewArgs;
pub(super) use subject::choose;

use super::file::checked_path;
use super::{open, read, say, stdout};
use crate::error::Error;
use crate::plan::Plan;
use crate::run::chain::causes;
use crate::run::prepare::Preparer;
use crate::run::{counters::Counters, trace::trace};
use crate::sink::parquet::write_whole;
use crate::sink::prepared::file_stem;
use crate::store;
use crate::view::Canvas;
use crate::view::terminal::{self, Protocol};
use args::MEMORY;
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Draws the pictures, writes them as PNG, and shows them in a terminal that can. Returns 1 if
/// the subject failed on its way; the pictures show how far it came.
///
/// **Errors** every mistake in the file; an unknown subject or step; a subject that cannot be read;
/// a picture that cannot be written.
pub fn view(args: &ViewArgs, out: &mut dyn Write) -> Result<u8, Error> {
    checked_path(&args.target)?;
    let is_run = store::is_dir(&args.target).map_err(|source| Error::Io {
        path: args.target.clone(),
        action: "looking for the run",
        source,
    })?;
    if is_run {
        let (page, name) = predicted::page(args)?;
        deliver(&page.draw(), args.out.as_deref(), &name, out)?;
        return Ok(0);
    }
    let (mut plan, cohort) = open(&read(&args.target, &args.set)?)?;
    // Behind the source: a phantom stays the one that the file names.
    plan.pipeline.seed = args.seed.unwrap_or(plan.pipeline.seed);
    let stage = args.stage.as_deref().map(|stage| find_stage(&plan, stage));
    let stage = stage.transpose()?;
    let subject = choose(&*cohort, args.subject.as_deref())?;
    let plan = Arc::new(plan.unoptimized());
    let memory = plan.pipeline.memory.unwrap_or(MEMORY);
    let preparer = Preparer::new(&plan, Arc::from(cohort), memory, &Counters::default())?;
    let preparer = Arc::new(preparer);
    let trace = trace(&plan, &preparer, subject, args.epoch).map_err(|failure| {
        let (subject, stage, cause) = (failure.subject, failure.stage, failure.cause);
        Error::run(format!("{subject}: {stage}: {cause}"))
    })?;
    let page = match &stage {
        Some(path) => traced::stage_page(&plan, preparer.subject(subject), &trace, path)?,
        None => traced::page(&plan, preparer.subject(subject), &trace),
    };
    let mut name = format!("{}-{}", plan.pipeline.name, preparer.subject(subject).id);
    if let Some(path) = &stage {
        name = format!("{name}-{path}");
    }
    deliver(&page.draw(), args.out.as_deref(), &name, out)?;
    Ok(match &trace.failure {
        Some(failure) => {
            let problem = format!("{}: {}: {}", failure.subject, failure.stage, failure.cause);
            super::show_error(&Error::run(problem));
            1
        }
        None => 0,
    })
}

/// The path of the step that was asked for by its path, a beginning of it up to the name, or the
/// name alone.
///
/// **Errors** if no step or several are meant, with those there are.
fn find_stage(plan: &Plan, wanted: &str) -> Result<String, Error> {
    let pipeline = &plan.pipeline;
    let chains = pipeline.chains().into_iter();
    let paths: Vec<&str> = chains
        .flat_map(|chain| pipeline.steps(chain).iter().map(|s| &*s.path))
        .collect();
    let unique: BTreeSet<&str> = paths.iter().copied().collect();
    if unique.contains(wanted) {
        return Ok(wanted.to_owned());
    }
    let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let meant: Vec<&str> = (unique.iter().copied())
        .filter(|path| {
            name(path) == wanted || path.strip_suffix(&format!(".{}", name(path))) == Some(wanted)
        })
        .collect();
    match meant.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] if paths.is_empty() => Err(Error::run(format!(
            "unknown step `{wanted}`; the pipeline has no steps"
        ))),
        [] => Err(Error::run(format!(
            "unknown step `{wanted}`; the steps are {}",
            paths.join(", ")
        ))),
        several => Err(Error::run(format!(
            "`{wanted}` names {} steps: {}; write the path of one",
            several.len(),
            several.join(", ")
        ))),
    }
}

/// Writes the picture where it was asked for, and shows it in a terminal that can.
///
/// **Errors** if it cannot be written, or was to go to a terminal that shows no pictures.
fn deliver(
    canvas: &Canvas,
    to: Option<&Path>,
    name: &str,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let terminal = std::io::stdout().is_terminal();
    let protocol = terminal::protocol(|name| std::env::var(name).ok()).filter(|_| terminal);
    let mut png = Vec::new();
    canvas
        .write_png(&mut png)
        .map_err(|e| Error::run(format!("the picture cannot be encoded: {}", causes(&e))))?;
    let show = |protocol: Protocol, out: &mut dyn Write| {
        terminal::show(canvas, protocol, out).map_err(stdout)
    };
    if to == Some(Path::new("-")) {
        return match protocol {
            Some(protocol) => show(protocol, out),
            None if terminal => Err(Error::run(
                "this terminal is not known to show pictures (kitty, iTerm2 or sixel); write to a file with `-o view.png`",
            )),
            None => out.write_all(&png).map_err(stdout),
        };
    }
    let default = PathBuf::from(format!(
        "{}.png",
        file_stem(name).replace("+5B", "-").replace("+5D", "")
    ));
    let path = to.unwrap_or(&default);
    write_whole(path, &png)?;
    if let Some(protocol) = protocol {
        show(protocol, out)?;
    }
    say(
        out,
        &format!(
            "{} ({}x{})\n",
            path.display(),
            canvas.width(),
            canvas.height()
        ),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
