//! A training reported to programs that follow trainings: TensorBoard and MLflow.
//!
//! Trackers get the rows of the table `metrics`, which holds all of them. A run that is resumed reports
//! every row again, those before its checkpoint included, so that nothing of a lost step stays.

mod mlflow;
mod tensorboard;
mod tracker;

use super::context::RunContext;
use crate::error::Error;
use crate::sink::MetricRow;
use crate::source::new_path;
use mlflow::Mlflow;
use tensorboard::Tensorboard;
use tracker::Tracker;

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
