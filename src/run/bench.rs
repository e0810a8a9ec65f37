//! Runs a pipeline into nothing and measures it.

use super::context::{is_labelled, is_unlabelled};
use super::counters::{Counters, NodeCounts};
use super::options::RunOptions;
use super::prepare::{Preparer, Reading};
use super::stream::{Position, SampleStream, Viewer};
use crate::error::Error;
use crate::plan::Plan;
use crate::source::Cohort;
use crate::volume::Row;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// What a stretch of work took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cost {
    /// Rows or samples that came out.
    pub items: u64,
    /// Bytes of their voxels.
    pub bytes: u64,
    /// Seconds on the clock.
    pub wall_s: f64,
    /// Seconds of all cores together; `None` where the system does not tell.
    pub cpu_s: Option<f64>,
}

/// Time of one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepTime {
    /// Stage path.
    pub node: String,
    /// Rows that left it.
    pub rows: u64,
    /// Seconds at work, summed over threads.
    pub busy_s: f64,
}

/// A measured pipeline.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Worker threads.
    pub workers: usize,
    /// Preparing every subject once: loading and `stages`.
    pub preparation: Cost,
    /// Making views, where there is a `train` or a step of `views`: one sample is a weak view and every strong one.
    pub views: Option<Cost>,
    /// Time of every step.
    pub steps: Vec<StepTime>,
    /// Most bytes the process had resident; `None` where the system does not tell.
    pub peak_resident: Option<u64>,
}

/// Prepares subjects and draws `samples` of their views, keeping neither.
///
/// A pipeline without views prepares `samples` subjects, again from the first where there are
/// fewer.
///
/// **Errors** when the cohort has no subject, every subject fails, or no thread can be started.
pub fn bench(
    plan: Plan,
    cohort: Box<dyn Cohort>,
    options: &RunOptions,
    samples: u64,
) -> Result<Measured, Error> {
    let (plan, cohort): (Arc<Plan>, Arc<dyn Cohort>) = (Arc::new(plan), Arc::from(cohort));
    let counters = Counters::default();
    let memory = options.take_memory(&plan);
    let workers = options.workers.unwrap_or(1);
    let preparer = Arc::new(Preparer::new(&plan, cohort, memory, &counters)?);
    let wanted = training_or_all(&plan, &preparer, options.limit)?;
    let (preparation, views) = if plan.pipeline.makes_views() {
        let preparation = prepare_all(&preparer, &wanted)?;
        let views = draw(
            &plan,
            &preparer,
            &counters,
            wanted,
            samples,
            (workers, memory / 4),
        )?;
        (preparation, Some(views))
    } else {
        let round = wanted.iter().copied().cycle().take(samples as usize);
        (
            prepare_stream(&preparer, round.collect(), (workers, memory))?,
            None,
        )
    };
    let steps = counters
        .snapshot()
        .into_iter()
        .map(|n: NodeCounts| StepTime {
            node: n.node,
            rows: n.rows,
            busy_s: n.busy.as_secs_f64(),
        });
    Ok(Measured {
        workers,
        preparation,
        views,
        steps: steps.filter(|s| s.rows > 0).collect(),
        peak_resident: peak_resident(),
    })
}

/// Subjects a pipeline trains with; all of them where it trains nothing.
///
/// **Errors** when there is none.
pub(super) fn training_or_all(
    plan: &Plan,
    preparer: &Preparer,
    limit: Option<usize>,
) -> Result<Vec<usize>, Error> {
    let subjects = preparer.cohort().subjects();
    let trains = plan.pipeline.makes_views();
    let wanted: Vec<usize> = (0..subjects.len())
        .filter(|&i| !trains || is_labelled(&subjects[i]) || is_unlabelled(&subjects[i]))
        .take(limit.unwrap_or(usize::MAX))
        .collect();
    match wanted.is_empty() {
        true => Err(Error::run("the cohort has no subject to begin with")),
        false => Ok(wanted),
    }
}

/// Prepares subjects as training does: what was kept earlier is found again.
fn prepare_all(preparer: &Preparer, subjects: &[usize]) -> Result<Cost, Error> {
    measured(|cost| {
        for &index in subjects {
            // As training does, which reads patches: their voxels are counted there.
            let bytes = |row: Row| Ok(row.bytes() as u64);
            if let Ok(Some(bytes)) = preparer.with_prepared(index, 0, Reading::Parts, bytes) {
                cost.items += 1;
                cost.bytes += bytes;
            }
        }
        failed_all(preparer, cost.items)
    })
}

fn prepare_stream(
    preparer: &Arc<Preparer>,
    subjects: Vec<usize>,
    (workers, memory): (usize, u64),
) -> Result<Cost, Error> {
    measured(|cost| {
        let results = super::prepared_rows::prepared_rows(preparer, subjects, workers, memory);
        for rows in results.map_err(no_thread)? {
            for row in rows.into_iter().flatten() {
                cost.items += 1;
                cost.bytes += row.bytes() as u64;
            }
        }
        failed_all(preparer, cost.items)
    })
}

fn draw(
    plan: &Arc<Plan>,
    preparer: &Arc<Preparer>,
    counters: &Counters,
    subjects: Vec<usize>,
    samples: u64,
    budget: (usize, u64),
) -> Result<Cost, Error> {
    let viewer = Arc::new(Viewer::new(plan, preparer, counters));
    let (seed, position) = (plan.pipeline.seed, Position::default());
    measured(|cost| {
        let stream =
            SampleStream::start("bench", &viewer, subjects, seed, position, budget, counters);
        let mut stream = stream.map_err(no_thread)?;
        for _ in 0..samples {
            let Some(sample) = stream.take(1).and_then(|mut taken| taken.pop()) else {
                return failed_all(preparer, 0);
            };
            for view in sample.views() {
                let row = Row::from_batch(view, 0).map_err(crate::sink::SinkError::from)?;
                cost.bytes += row.bytes() as u64;
            }
            cost.items += 1;
        }
        Ok(())
    })
}

pub(super) fn no_thread(source: std::io::Error) -> Error {
    Error::Io {
        path: "worker".into(),
        action: "starting worker threads",
        source,
    }
}

pub(super) fn failed_all(preparer: &Preparer, items: u64) -> Result<(), Error> {
    match (items, preparer.failures().into_iter().next()) {
        (0, Some(first)) => Err(Error::run(format!(
            "every subject failed; the first, {} in {}: {}",
            first.subject, first.stage, first.cause
        ))),
        _ => Ok(()),
    }
}

fn measured(work: impl FnOnce(&mut Cost) -> Result<(), Error>) -> Result<Cost, Error> {
    let mut cost = Cost::default();
    let (start, before) = (Instant::now(), cpu_seconds());
    work(&mut cost)?;
    cost.wall_s = start.elapsed().as_secs_f64();
    cost.cpu_s = cpu_seconds()
        .zip(before)
        .map(|(after, before)| after - before);
    Ok(cost)
}

/// CPU time of this process so far, user and system, from the clock of the process: the ticks of `/proc/self/stat`
/// are too coarse for a few items.
#[cfg(unix)]
fn cpu_seconds() -> Option<f64> {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Some(now.tv_sec as f64 + 1e-9 * now.tv_nsec as f64)
}

#[cfg(not(unix))]
fn cpu_seconds() -> Option<f64> {
    None
}

fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}
