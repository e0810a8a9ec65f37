//! A training reported to programs that follow trainings: TensorBoard and MLflow.
//!
//! Trackers get the rows of the table `metrics`, which holds all of them. A run that is resumed reports
//! every row again, those before its checkpoint included, so that nothing of a lost step stays.

mod mlflow;
mod tensorboard;

use super::context::RunContext;
use crate::error::Error;
use crate::sink::MetricRow;
use crate::source::new_path;
use mlflow::Mlflow;
use std::time::{SystemTime, UNIX_EPOCH};
use tensorboard::Tensorboard;

/// One program's way to be told.
trait Tracker: Send {
    /// Reports rows that were recorded since the last call.
    ///
    /// **Errors** if they cannot be written.
    fn write(&mut self, rows: &[MetricRow]) -> Result<(), Error>;

    /// Says how the training ended.
    ///
    /// **Errors** if that cannot be written.
    fn end(&mut self, is_finished: bool) -> Result<(), Error>;
}

/// The trackers of a run.
#[derive(Default)]
pub(super) struct Trackers {
    all: Vec<Box<dyn Tracker>>,
    reported: usize,
}

impl Trackers {
    /// Those that the pipeline asks for.
    ///
    /// **Errors** if what an earlier start reported cannot be removed, or a place cannot be written.
    pub(super) fn start(cx: &RunContext) -> Result<Self, Error> {
        let sinks = &cx.plan.pipeline.sinks;
        let mut all: Vec<Box<dyn Tracker>> = Vec::new();
        if sinks.tensorboard {
            all.push(Box::new(Tensorboard::start(&cx.folder.path)?));
        }
        if let Some(section) = &sinks.mlflow {
            let store = new_path(&section.path, &cx.plan.file.folder())?;
            let experiment = section.experiment.as_deref();
            let experiment = experiment.unwrap_or(&cx.plan.pipeline.name);
            all.push(Box::new(Mlflow::start(&store, experiment, cx)?));
        }
        Ok(Self { all, reported: 0 })
    }

    /// Reports what is new among the rows of a training.
    ///
    /// **Errors** as [`Tracker::write`].
    pub(super) fn report(&mut self, rows: &[MetricRow]) -> Result<(), Error> {
        let new = &rows[self.reported.min(rows.len())..];
        for tracker in &mut self.all {
            tracker.write(new)?;
        }
        self.reported = rows.len();
        Ok(())
    }

    /// Says how the training ended.
    ///
    /// **Errors** as [`Tracker::end`].
    pub(super) fn end(&mut self, is_finished: bool) -> Result<(), Error> {
        self.all
            .iter_mut()
            .try_for_each(|tracker| tracker.end(is_finished))
    }
}

/// What a figure is called: `train/loss`, `validation/dice/ct/liver`.
fn tag(row: &MetricRow) -> String {
    let parts = [
        Some(&row.split),
        Some(&row.name),
        row.modality.as_ref(),
        row.class.as_ref(),
        row.subject_id.as_ref(),
    ];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    parts.join("/")
}

/// Seconds since 1970; 0 if the clock stands before.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;
