//! Rebuilds rows that a run recorded, from the draws it noted, and compares the voxels.
//!
//! Two tables record rows: `prepared` has the draws and the voxels of a row, `views` the draws and a digest of
//! each volume. A row is made again by the plan that the run kept, from the subject's files as they are now;
//! steps that draw take the recorded draw. **Law** (of [`Augment`](crate::stage::Augment)): the same draw on
//! the same row produces the same bytes; so where bytes differ, the files, the plan or the program changed.

mod compare;
mod find;

pub use compare::{Difference, compare};
pub use find::{Kept, RecordedRow, RowFilter, visit};

use super::counters::Counters;
use super::ledger::{difference, pipeline_alone};
use super::prepare::Preparer;
use super::recorded::Recorded;
use super::stream::{RecordedView, Viewer};
use crate::error::Error;
use crate::plan::{Optimized, Plan, explain};
use crate::sink::{SubjectRow, read_run_table};
use crate::source::Cohort;
use crate::spec::suggest;
use crate::store;
use crate::volume::Row;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Makes recorded rows of one run again.
pub struct Replayer {
    run: PathBuf,
    /// `plan.json` of the run.
    ledger: Value,
    plan: Arc<Plan>,
    preparer: Arc<Preparer>,
    viewer: Viewer,
}

impl Replayer {
    /// For the run in a folder; `plan` is that of its `pipeline.yaml`. A run that was started with
    /// `--no-optimize` is replayed step by step, too.
    ///
    /// **Errors** if the run kept no readable plan, or the cache folder cannot be used.
    pub fn open(
        run: &Path,
        plan: Plan,
        cohort: Arc<dyn Cohort>,
        memory: u64,
    ) -> Result<Self, Error> {
        let file = run.join("plan.json");
        let text = store::read_to_string(&file);
        let text = text.map_err(Error::io(&file, "reading the plan of the run"))?;
        let ledger: Value = serde_json::from_str(&text)
            .map_err(|e| Error::run(format!("{}: {e}; the file is damaged", file.display())))?;
        let as_written = serde_json::to_value(Optimized::none(&plan.pipeline)).ok();
        let plan = Arc::new(match as_written.as_ref() == Some(&ledger["optimized"]) {
            true => plan.unoptimized(),
            false => plan,
        });
        let counters = Counters::default();
        let preparer = Arc::new(Preparer::new(&plan, cohort, memory, &counters)?);
        Ok(Self {
            run: run.to_owned(),
            viewer: Viewer::new(&plan, &preparer, &counters),
            ledger,
            plan,
            preparer,
        })
    }

    /// The plan, as it is carried out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Makes a row again, with the recorded draws.
    ///
    /// **Errors** if the cohort has no such subject, the pipeline no such step or view, or the subject cannot
    /// be read or prepared any more.
    pub fn replay(&self, row: &RecordedRow) -> Result<Row, Error> {
        let subjects = self.preparer.cohort().subjects();
        let index = subjects.iter().position(|s| s.id == row.subject);
        let index = index.ok_or_else(|| {
            let ids: Vec<&str> = subjects.iter().map(|s| &*s.id).collect();
            Error::run(format!(
                "{row}: the run's cohort does not have this subject any more; {}",
                suggest(&row.subject, &ids)
            ))
        })?;
        self.check_steps(row)?;
        let made = match row.view.as_str() {
            "" => {
                let recorded = Recorded {
                    draws: &row.draws,
                    partner: None,
                };
                let rows = self.preparer.recorded_rows(index, row.epoch, &recorded);
                rows.map(|rows| rows.into_iter().find(|made| made.sample == row.sample))
            }
            view => self.viewer.replayed(RecordedView {
                subject: index,
                epoch: row.epoch,
                sample: row.sample,
                view,
                draws: &row.draws,
            }),
        };
        let made = made.map_err(|failure| {
            Error::run(format!(
                "{row}: it cannot be made again: {}: {}",
                failure.stage, failure.cause
            ))
        })?;
        made.ok_or_else(|| {
            Error::run(format!(
                "{row}: the steps make no such sample of the subject now{}",
                self.causes(row)
            ))
        })
    }

    /// Refuses a record whose steps the pipeline does not have.
    fn check_steps(&self, row: &RecordedRow) -> Result<(), Error> {
        let pipeline = &self.plan.pipeline;
        let chains = pipeline.chains().into_iter();
        let steps = chains.flat_map(|chain| pipeline.steps(chain));
        let paths: Vec<&str> = steps.map(|step| &*step.path).collect();
        let placed = format!("views.{}", row.view);
        let unknown = row.draws.iter().map(|draw| &*draw.stage);
        let mut unknown = unknown.filter(|stage| !paths.contains(stage) && *stage != placed);
        match unknown.next() {
            None => Ok(()),
            Some(stage) => Err(Error::run(format!(
                "{row}: the record has a draw of `{stage}`, a step that the run's pipeline.yaml does not have; {}",
                suggest(stage, &paths)
            ))),
        }
    }

    /// What changed since the run and may be why a row differs, as the end of a sentence; empty if nothing
    /// is known.
    pub fn causes(&self, row: &RecordedRow) -> String {
        let mut causes = Vec::new();
        if self.source_changed(&row.subject) {
            causes.push("the subject's files changed since the run".to_owned());
        }
        let now = explain::json(&self.plan);
        let version = |ledger: &Value| ledger["version"].as_str().unwrap_or("?").to_owned();
        if version(&self.ledger) != version(&now) {
            causes.push(format!(
                "the run was made by version {}, this is {}",
                version(&self.ledger),
                version(&now)
            ));
        }
        let (old, new) = (pipeline_alone(&self.ledger), pipeline_alone(&now));
        let place = (difference("seed", &old["seed"], &new["seed"]))
            .or_else(|| difference("chains", &old["chains"], &new["chains"]))
            .or_else(|| difference("optimized", &self.ledger["optimized"], &now["optimized"]));
        causes.extend(place.map(|place| format!("the plan differs from plan.json at `{place}`")));
        match causes.is_empty() {
            true => String::new(),
            false => format!("; {}", causes.join("; ")),
        }
    }

    /// Returns `true` if the files of a subject are known to have changed since the run.
    fn source_changed(&self, subject: &str) -> bool {
        let cohort = self.preparer.cohort();
        let record = cohort.subjects().iter().find(|s| s.id == subject);
        let Some(Ok(now)) = record.map(|record| cohort.digest(record)) else {
            return false;
        };
        let noted = self.ledger["subjects"][subject][2].as_str();
        let noted = noted.map(str::to_owned).or_else(|| {
            let rows: Vec<SubjectRow> = read_run_table(&self.run).ok()?;
            let row = rows.into_iter().find(|row| row.subject_id == subject)?;
            Some(row.digest)
        });
        noted.is_some_and(|noted| !noted.is_empty() && noted != now)
    }
}

#[cfg(test)]
mod tests;
