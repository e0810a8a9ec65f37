//! `top`: what runs on this machine are doing, from the tables that they write while they are under way.

use super::run::stop_on_signals;
use super::serve::{changed, state};
use super::stdout;
use crate::error::Error;
use crate::query::{Run, Runs};
use crate::run::context::CANCELLED;
use crate::run::counters::NodeCounts;
use crate::run::display::node_line;
use crate::sink::{EdgeRow, MetricRow, read_table};
use crate::store;
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// Options of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Run folders, or folders that hold runs.
    #[arg(default_value = "runs")]
    pub runs: Vec<PathBuf>,
    /// Print once what the runs are doing, and end.
    #[arg(long)]
    pub once: bool,
}

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Time between two looks at whether the user wants to end.
const PATIENCE: Duration = Duration::from_millis(100);

/// Shows the runs that are under way until none is left or the user stops it; where none is, the one
/// that wrote last. Once where standard output is no terminal.
///
/// **Errors** if a folder holds no run or cannot be read.
pub fn top(args: &TopArgs, out: &mut dyn Write) -> Result<u8, Error> {
    if let Some(url) = args.runs.iter().find(|run| store::is_url(run)) {
        return Err(Error::run(format!(
            "{}: `top` follows runs on this machine; `voxstream report` and `voxstream query` read a store",
            store::redacted(&url.to_string_lossy())
        )));
    }
    let mut watched = BTreeMap::new();
    if args.once || !std::io::stdout().is_terminal() {
        let (lines, _) = frame(&args.runs, &mut watched)?;
        return write_lines(&lines, out);
    }
    stop_on_signals();
    let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
    let mut bars: Vec<ProgressBar> = Vec::new();
    loop {
        let (lines, running) = frame(&args.runs, &mut watched)?;
        if !running {
            screen.clear().map_err(stdout)?;
            return write_lines(&lines, out);
        }
        draw(&screen, &mut bars, &lines);
        let mut waited = Duration::ZERO;
        while waited < PERIOD {
            if CANCELLED.load(Ordering::Relaxed) {
                screen.clear().map_err(stdout)?;
                return write_lines(&lines, out);
            }
            std::thread::sleep(PATIENCE);
            waited += PATIENCE;
        }
    }
}

fn write_lines(lines: &[String], out: &mut dyn Write) -> Result<u8, Error> {
    for line in lines {
        writeln!(out, "{line}").map_err(stdout)?;
    }
    Ok(0)
}

/// One bar a line; bars that are left over are removed.
fn draw(screen: &MultiProgress, bars: &mut Vec<ProgressBar>, lines: &[String]) {
    while bars.len() > lines.len() {
        if let Some(bar) = bars.pop() {
            bar.finish_and_clear();
            screen.remove(&bar);
        }
    }
    for (i, line) in lines.iter().enumerate() {
        if i == bars.len() {
            let style = ProgressStyle::with_template("{wide_msg}");
            let bar = ProgressBar::new(1).with_style(style.expect("the template is a constant"));
            bars.push(screen.add(bar));
        }
        bars[i].set_message(line.clone());
    }
}

/// Counters at the time they were written.
type Counted = (SystemTime, Vec<NodeCounts>);

/// What is remembered of a run between two looks.
#[derive(Default)]
struct Watched {
    now: Option<Counted>,
    before: Option<Counted>,
    metrics: Option<(SystemTime, Training)>,
}

/// How far a training is.
#[derive(Debug, Clone, Default, PartialEq)]
struct Training {
    step: i64,
    epoch: i64,
    loss: Option<f64>,
    /// Mean Dice of the last validation, and its step.
    mean_dice: Option<(f64, i64)>,
}

/// The lines of the runs that are under way, and whether there are some.
fn frame(
    folders: &[PathBuf],
    watched: &mut BTreeMap<PathBuf, Watched>,
) -> Result<(Vec<String>, bool), Error> {
    let runs = Runs::find(folders)?.all;
    let all = runs.iter().map(|run| {
        let changed = changed(run);
        (run, changed, state(run, changed))
    });
    let all: Vec<(&Run, Option<SystemTime>, &str)> = all.collect();
    let mut shown: Vec<_> = (all.iter().filter(|(.., state)| *state == "running")).collect();
    let running = !shown.is_empty();
    if !running {
        shown.extend(all.iter().max_by_key(|(_, changed, _)| *changed));
    }
    let mut lines = Vec::new();
    for (run, changed, state) in shown {
        let watched = watched.entry(run.path.clone()).or_default();
        watched.look(run);
        lines.push(watched.heading(run, *changed, state));
        lines.extend(watched.nodes(run));
    }
    Ok((lines, running))
}

impl Watched {
    /// Reads the tables that were written since the last look; one that is not there yet is left out.
    fn look(&mut self, run: &Run) {
        let written = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
        let edges = run.path.join("edges.parquet");
        if let Some(at) = written(&edges)
            && self.now.as_ref().is_none_or(|(seen, _)| *seen < at)
            && let Ok(rows) = read_table::<EdgeRow>(&edges)
        {
            let counts = rows.into_iter().map(NodeCounts::from).collect();
            self.before = self.now.replace((at, counts));
        }
        let metrics = run.path.join("metrics.parquet");
        if let Some(at) = written(&metrics)
            && self.metrics.as_ref().is_none_or(|(seen, _)| *seen < at)
            && let Ok(rows) = read_table::<MetricRow>(&metrics)
        {
            self.metrics = Some((at, training(&rows)));
        }
    }

    fn heading(&self, run: &Run, changed: Option<SystemTime>, state: &str) -> String {
        let mut parts = vec![run.name.clone(), state.to_owned()];
        parts.extend(run.fold.map(|fold| format!("fold {fold}")));
        if let Some((_, training)) = &self.metrics {
            let of = match steps(&run.path) {
                Some(steps) => format!("/{steps}"),
                None => String::new(),
            };
            parts.push(format!("step {}{of}", training.step));
            parts.push(format!("epoch {}", training.epoch));
            parts.extend(training.loss.map(|loss| format!("loss {loss:.4}")));
            let validated = training.mean_dice;
            parts
                .extend(validated.map(|(dice, step)| format!("mean Dice {dice:.4} (step {step})")));
        }
        let age = changed.and_then(|at| at.elapsed().ok());
        parts.extend(age.map(|age| format!("wrote {} s ago", age.as_secs())));
        parts.join("  ")
    }

    /// A line a node: since the last write where there was one before, else since the start.
    fn nodes(&self, run: &Run) -> Vec<String> {
        let Some((at, now)) = &self.now else {
            return Vec::new();
        };
        let started = || {
            let started = run.started.as_deref()?;
            let started = chrono::DateTime::parse_from_rfc3339(started).ok()?;
            Some(SystemTime::from(started))
        };
        let since = self.before.as_ref().map(|(at, _)| *at).or_else(started);
        let time = since.and_then(|since| at.duration_since(since).ok());
        let before: BTreeMap<&str, &NodeCounts> = (self.before.iter())
            .flat_map(|(_, nodes)| nodes)
            .map(|node| (node.node.as_str(), node))
            .collect();
        let lines = now.iter().map(|node| {
            let before = before.get(node.node.as_str()).copied();
            format!("  {}", node_line(node, before, time.unwrap_or_default()))
        });
        lines.collect()
    }
}

/// Where the figures of a training stand.
fn training(rows: &[MetricRow]) -> Training {
    let last = |name: &str, split: &str| {
        let mut of_name = rows.iter().rev();
        of_name.find(|r| r.name == name && r.split == split && r.class.is_none())
    };
    let newest = rows.last();
    Training {
        step: newest.map_or(0, |r| r.step),
        epoch: newest.map_or(0, |r| r.epoch),
        loss: last("loss", "train").map(|r| r.value),
        mean_dice: last("mean_dice", "validation").map(|r| (r.value, r.step)),
    }
}

/// Optimiser steps that a run is to make; `None` if it trains nothing.
fn steps(run: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(run.join("plan.json")).ok()?;
    let plan: Value = serde_json::from_str(&text).ok()?;
    plan["sections"]["train"]["steps"].as_u64()
}

#[cfg(test)]
mod tests;
