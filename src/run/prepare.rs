//! Loads and prepares subjects: the part of a pipeline that training, validation and test share.

mod cached;
mod checks;
mod retries;
mod voxels;

pub use cached::Reading;

use super::attempts::Attempts;
use super::budget::Budget;
use super::chain::{Chain, MixMode, Traced};
use super::counters::{Counters, Node};
use super::failure::Failure;
use super::guard::guarded;
use super::kept::Kept;
use super::noted::Noted;
use super::recorded::Recorded;
use super::warnings::Warnings;
use crate::cache::CacheError;
use crate::plan::Plan;
use crate::source::{Cohort, RegistrationSpec, SubjectRecord};
use crate::stage::SubjectFacts;
use crate::volume::{Channel, Row, Warning};
use retries::{RETRIES, retried};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Loads subjects and runs `stages` on them; remembers failures so that each is reported once.
pub struct Preparer {
    cohort: Arc<dyn Cohort>,
    stages: Chain,
    kept: Kept,
    /// Steps of `stages` before the cut.
    cut: usize,
    /// Bytes one subject may take while it is decoded and prepared.
    subject_limit: u64,
    /// Bytes of the subjects that streams prepare for the cache at a time.
    preparing: Arc<Budget>,
    registration: RegistrationSpec,
    /// How often a subject is read again for a reason that may pass.
    retries: u32,
    source: Arc<Node>,
    counters: Counters,
    /// Subjects that cannot be prepared; they fail at once the next time.
    failed: Mutex<BTreeMap<String, Failure>>,
    noted: Noted,
    /// Bytes that subjects take.
    estimates: Mutex<BTreeMap<usize, u64>>,
    /// Classes that training names.
    classes: Option<usize>,
    /// Labels of training subjects that name these classes and no other.
    checked: Mutex<BTreeMap<usize, Labels>>,
    /// What is suspicious in the headers of subjects.
    header_warnings: Mutex<BTreeMap<usize, Vec<Warning>>>,
    /// Subjects of which `stages` left no row.
    left_out: Mutex<BTreeSet<usize>>,
    warnings: Warnings,
    /// Where attempts are written down at subjects that are prepared for the cache, and seen in views.
    attempts: OnceLock<Arc<Attempts>>,
}

/// What the label maps of a training subject hold.
#[derive(Debug, Default)]
struct Labels {
    /// Whether a 255 that nothing declares marks voxels.
    marked: bool,
    /// Classes that have a voxel.
    classes: BTreeSet<u16>,
}

impl Preparer {
    /// A preparer whose kept rows and subjects share `memory` bytes.
    ///
    /// **Errors** when the cache folder that the plan names cannot be used.
    pub fn new(
        plan: &Arc<Plan>,
        cohort: Arc<dyn Cohort>,
        memory: u64,
        counters: &Counters,
    ) -> Result<Self, CacheError> {
        let warnings = Warnings::default();
        for (subject, warning) in cohort.warnings() {
            warnings.add(subject.as_deref(), &warning);
        }
        Ok(Self {
            kept: Kept::open(plan, Arc::clone(&cohort), memory / 2)?,
            cut: plan.optimized.cut.unwrap_or(plan.pipeline.stages.len()),
            cohort,
            source: counters.node("source"),
            counters: counters.clone(),
            stages: Chain::new(plan, crate::plan::Chain::Stages, counters),
            subject_limit: memory,
            preparing: Budget::new(memory / 2),
            registration: plan.pipeline.source.registration.clone(),
            retries: plan.pipeline.retries.unwrap_or(RETRIES),
            failed: Mutex::default(),
            noted: Noted::default(),
            estimates: Mutex::default(),
            classes: (plan.pipeline.train.as_ref()).map(|(train, _)| train.classes.len()),
            checked: Mutex::default(),
            header_warnings: Mutex::default(),
            left_out: Mutex::default(),
            warnings,
            attempts: OnceLock::new(),
        })
    }

    /// Has attempts written down from now on at subjects that are prepared for the cache, and at views of
    /// them. A run in parts does it around all that it does with a subject instead.
    pub(super) fn write_down(&self, attempts: &Arc<Attempts>) {
        self.attempts.get_or_init(|| Arc::clone(attempts));
    }

    /// Says which subjects are prepared next, in their order, as [`Attempts::expect`].
    pub(super) fn expect(&self, list: &str, subjects: impl Iterator<Item = usize>) {
        if let Some(attempts) = self.attempts.get() {
            attempts.expect(list, subjects.map(|i| self.subject(i).id.clone()));
        }
    }

    /// The cohort.
    pub fn cohort(&self) -> &Arc<dyn Cohort> {
        &self.cohort
    }

    /// The chain of `stages`.
    pub fn stages(&self) -> &Chain {
        &self.stages
    }

    /// Counters of every node of the run.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A subject's record.
    pub fn subject(&self, index: usize) -> &SubjectRecord {
        &self.cohort.subjects()[index]
    }

    /// What is known of every subject before a voxel is read.
    pub fn facts(&self) -> Vec<SubjectFacts> {
        let subjects = self.cohort.subjects().iter();
        subjects.map(SubjectRecord::facts).collect()
    }

    /// The rows `stages` make of a subject.
    ///
    /// **Errors** are remembered: the same subject fails at once the next time.
    pub fn rows(&self, index: usize, epoch: u64) -> Result<Vec<Row>, Failure> {
        self.first_rows(index, epoch, self.stages.steps().len())
    }

    /// The rows `stages` make of a subject with the draws of one row that was recorded: those with other
    /// sample numbers have its draws, too. What failed is not remembered.
    ///
    /// **Errors** the subject's failure; a record that does not fit a step is one.
    pub fn recorded_rows(
        &self,
        index: usize,
        epoch: u64,
        recorded: &Recorded<'_>,
    ) -> Result<Vec<Row>, Failure> {
        let row = Traced::new(self.load(index, epoch)?);
        let all = 0..self.stages.steps().len();
        let rows = (self.stages).run_traced(row, all, MixMode::Recorded(recorded))?;
        Ok(rows.into_iter().map(|traced| traced.row).collect())
    }

    /// Forgets what was found in the headers of a subject that is not needed again, so that the
    /// memory of a preparation does not grow with the cohort.
    pub fn forget(&self, index: usize) {
        let estimates = self.estimates.lock();
        estimates
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&index);
        let warnings = self.header_warnings.lock();
        warnings
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&index);
        self.lock_left_out().remove(&index);
    }

    /// Adds the warnings of a subject's rows to those of the run.
    ///
    /// Behind [`Preparer::prepared`] it is for whoever uses the row: workers prepare more subjects
    /// than a training may reach, how many depends on timing.
    pub fn note_warnings<'a>(&self, index: usize, warnings: impl IntoIterator<Item = &'a Warning>) {
        let subject = &self.subject(index).id;
        for warning in warnings {
            self.warnings.add(Some(subject), warning);
        }
    }

    /// The warnings of the run.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// What the tables of the run say of its subjects.
    pub fn noted(&self) -> &Noted {
        &self.noted
    }

    /// The rows the first `steps` of `stages` make of a subject; failures are remembered.
    fn first_rows(&self, index: usize, epoch: u64, steps: usize) -> Result<Vec<Row>, Failure> {
        let record = self.subject(index);
        if let Some(failure) = self.lock_failed().get(&record.id) {
            return Err(failure.clone());
        }
        let rows = guarded(&record.id, "stages", || {
            let row = self.load(index, epoch)?;
            self.stages.run_steps(row, 0..steps)
        });
        if rows.as_ref().is_ok_and(Vec::is_empty) {
            self.lock_left_out().insert(index);
        }
        rows.or_else(|failure| self.fail(failure))
    }

    /// Reports a failure once and remembers it.
    fn fail<T>(&self, failure: Failure) -> Result<T, Failure> {
        let mut failed = self.lock_failed();
        if !failed.contains_key(&failure.subject) {
            tell(&failure);
            failed.insert(failure.subject.clone(), failure.clone());
        }
        Err(failure)
    }

    /// A subject as it is read, before its first step.
    ///
    /// **Errors** the subject's failure: files, headers that do not fit each other, or more bytes than
    /// the budget.
    pub fn load(&self, index: usize, epoch: u64) -> Result<Row, Failure> {
        let record = self.subject(index);
        let needed = self.estimate(index).inspect_err(|_| self.source.failed())?;
        if needed > self.subject_limit {
            self.source.failed();
            let show = |bytes: u64| bytesize::ByteSize(bytes).display().iec().to_string();
            let cause = format!(
                "needs {} to be decoded and prepared, the budget leaves {} for it; raise `memory` or `--memory`",
                show(needed),
                show(self.subject_limit)
            );
            return Err(Failure {
                may_pass: true,
                ..Failure::new(&record.id, "source", cause)
            });
        }
        let mut row = guarded(&record.id, "source", || {
            let read = || self.cohort.load(record);
            let row = self.source.busy(|| retried(&record.id, self.retries, read));
            row.map_err(|e| Failure::from_error(&record.id, "source", &e))
        })
        .inspect_err(|_| self.source.failed())?;
        self.source.passed(1, row.bytes());
        row.epoch = epoch;
        self.add_header_warnings(index, &mut row);
        voxels::warn_of_images(&mut row);
        row.attribute_warnings("source");
        self.source.tap().show([&row]);
        Ok(row)
    }

    /// A subject's label maps as stored, behind the steps of `stages` that give classes other
    /// numbers.
    ///
    /// **Errors** the subject's failure, with the step's path.
    pub fn relabelled(&self, index: usize, labels: Vec<Channel>) -> Result<Vec<Channel>, Failure> {
        let record = self.subject(index);
        let steps = self.stages.steps().iter();
        let row = Row {
            subject: record.id.clone(),
            cohort: record.cohort.clone(),
            split: record.split,
            labels,
            ..Row::default()
        };
        let mut rows = vec![row];
        for step in steps.filter(|s| s.stage.relabels()) {
            let Some(row) = rows.pop() else { break };
            // Such a step draws nothing, so its seed does not matter.
            let made = step.stage.run(&step.path, 0, row);
            rows = made.map_err(|e| Failure::from_error(&record.id, &step.path, &e))?;
        }
        Ok(rows.pop().map_or_else(Vec::new, |row| row.labels))
    }

    /// The one row that training and prediction need, or none.
    fn one(&self, index: usize, mut rows: Vec<Row>) -> Result<Option<Row>, Failure> {
        if rows.is_empty() {
            self.lock_left_out().insert(index);
        }
        match (rows.pop(), rows.is_empty()) {
            (row, true) => Ok(row),
            _ => Err(Failure::new(
                &self.subject(index).id,
                "stages",
                "`stages` made several rows of it; training and prediction need one",
            )),
        }
    }

    /// Returns `true` if a step of `stages` left a subject out.
    pub fn is_left_out(&self, index: usize) -> bool {
        self.lock_left_out().contains(&index)
    }

    fn lock_left_out(&self) -> std::sync::MutexGuard<'_, BTreeSet<usize>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the failure of a subject that was to be used; reports it unless it has been reported.
    pub fn note(&self, failure: Failure) {
        let told = self.lock_failed().contains_key(&failure.subject);
        self.noted.failure(failure, |first| {
            if !told {
                tell(first);
            }
        });
    }

    /// Every failure so far, one a subject, those of subjects that nobody asked for yet among them.
    pub fn failures(&self) -> Vec<Failure> {
        let mut all = self.noted.known().failures;
        all.extend(self.lock_failed().clone());
        all.into_values().collect()
    }

    fn lock_failed(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Failure>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says at once that a subject cannot be used.
fn tell(failure: &Failure) {
    tracing::warn!(subject = %failure.subject, stage = %failure.stage, cause = %failure.cause, "subject failed");
}
