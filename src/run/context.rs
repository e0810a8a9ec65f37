//! What every part of a run shares.

pub use super::attempts::cancel;
pub use super::cancelled::CANCELLED;
use super::counters::Counters;
use super::display::screen;
use super::evaluate::{HeadResult, subject};
use super::folder::RunFolder;
use super::guard::{guarded, written};
use super::inference::Inference;
use super::outcome::Used;
use super::prepare::Preparer;
use crate::error::Error;
use crate::metric::{ClassUnion, Wanted};
use crate::plan::Plan;
use crate::plan::sections::{FileFormats, ScoreSection, TrainSection};
use crate::sink::{ScoreRow, write_table};
use crate::source::SubjectRecord;
use crate::spec::counted;
use crate::store;
use crate::train::infer::Window;
use crate::volume::Split;
use candle_core::Device;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A run under way.
#[derive(Clone)]
pub struct RunContext {
    /// What runs.
    pub plan: Arc<Plan>,
    /// Loads and prepares subjects.
    pub preparer: Arc<Preparer>,
    /// Counters of every node.
    pub counters: Counters,
    /// Where outputs go.
    pub folder: RunFolder,
    /// Where tensors lie.
    pub device: Device,
    /// Every device that trains; the first one is `device`.
    pub devices: Vec<Device>,
    /// Worker threads.
    pub workers: usize,
    /// Bytes for volumes in flight and cached.
    pub memory: u64,
    /// At most so many subjects of each split and label state.
    pub limit: Option<usize>,
    /// Whether parts in which a subject failed are made again.
    pub retry_failed: bool,
    /// Whether progress is drawn.
    pub progress: bool,
    /// Set when nobody wants the part any more that is made with this context.
    pub stop: Arc<AtomicBool>,
}

impl RunContext {
    /// Positions of the subjects that `pick` selects, at most `limit`.
    pub fn subjects(&self, pick: impl Fn(&SubjectRecord) -> bool) -> Vec<usize> {
        let all = self.preparer.cohort().subjects().iter().enumerate();
        all.filter(|(_, s)| pick(s))
            .map(|(i, _)| i)
            .take(self.limit.unwrap_or(usize::MAX))
            .collect()
    }

    /// Stops the run when a signal asked for it, or too many subjects failed.
    ///
    /// **Errors** say which.
    pub fn check(&self) -> Result<(), Error> {
        self.check_with(0)
    }

    /// As [`RunContext::check`], where so many subjects failed in an earlier start of the run.
    ///
    /// **Errors** say which.
    pub fn check_with(&self, earlier: u64) -> Result<(), Error> {
        if CANCELLED.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let (failed, last) = self.preparer.noted().failed();
        let failed = earlier + failed as u64;
        match self.plan.pipeline.max_failures {
            Some(limit) if failed > limit => {
                let last = last.map_or_else(String::new, |last| {
                    format!(
                        "; the last: {} in {}: {}",
                        last.subject, last.stage, last.cause
                    )
                });
                Err(Error::run(format!(
                    "{} failed, `max_failures` allows {limit}{last}",
                    counted(failed, "subject")
                )))
            }
            _ => Ok(()),
        }
    }

    /// A progress bar over `length` items, hidden when nobody watches.
    pub fn bar(&self, length: u64, what: &'static str) -> ProgressBar {
        let style = ProgressStyle::with_template(
            "{prefix:>10} {wide_bar} {pos}/{len} {per_sec}  {eta} left  {msg}",
        )
        .expect("the template is a constant");
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden())
            .with_style(style)
            .with_prefix(what);
        match self.progress {
            true => screen().add(bar),
            false => bar,
        }
    }

    /// Predicts and scores subjects one after the other; failures are noted and left out.
    ///
    /// **Errors** when the run is stopped, or `each` fails.
    pub fn evaluate(
        &self,
        inference: Inference<'_>,
        wanted: &Wanted,
        subjects: &[usize],
        what: &'static str,
        mut each: impl FnMut(&SubjectRecord, &[HeadResult]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let bar = self.bar(subjects.len() as u64, what);
        let node = self.counters.node(what);
        self.preparer.expect(what, subjects.iter().copied());
        for &index in subjects {
            self.check()?;
            let record = self.preparer.subject(index);
            let mut used = Used::default();
            let results = guarded(&record.id, what, || {
                node.busy(|| subject(inference, &self.preparer, index, wanted, &mut used))
            });
            self.preparer.note_warnings(index, &used.warnings);
            match &used.prepared {
                Some(prepared) => self.preparer.noted().prepared(index, prepared),
                None if results.is_ok() => self.preparer.noted().left_out(index),
                None => {}
            }
            match results {
                Ok(results) => {
                    node.passed(results.len(), results.iter().map(|r| r.label.bytes()).sum());
                    self.write_for(&record.id, what, || each(record, &results))?;
                }
                Err(failure) => {
                    node.failed();
                    self.preparer.note(failure);
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Writes what belongs to one subject; its failure is noted.
    ///
    /// **Errors** as `write`, if the disk or the run is at fault.
    pub fn write_for(
        &self,
        subject: &str,
        stage: &str,
        write: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Err(failure) = written(subject, stage, write)? else {
            return Ok(());
        };
        self.counters.node(stage).failed();
        self.preparer.note(failure);
        Ok(())
    }

    fn score_section(&self) -> ScoreSection {
        let section = self.plan.pipeline.score.clone();
        section.map(|(section, _)| section).unwrap_or_default()
    }

    /// What is measured of subjects at the end; `unions` are scored beside what the network was trained on.
    pub(super) fn wanted(&self, unions: Vec<ClassUnion>) -> Wanted {
        self.score_section().wanted(unions)
    }

    /// Positions of the subjects that are scored.
    pub(super) fn scored(&self) -> Vec<usize> {
        let ScoreSection { splits: named, .. } = self.score_section();
        let of = |splits: &[Split]| self.subjects(|s| splits.contains(&s.split));
        let mut subjects = of(named.as_deref().unwrap_or(&[Split::Test]));
        if subjects.is_empty() && named.is_none() && self.plan.pipeline.predict.is_some() {
            // Of images without labels nobody says which are for testing; all are to be predicted.
            subjects = self.subjects(|_| true);
        }
        if subjects.is_empty() {
            let splits = named.as_deref().unwrap_or(&[Split::Test]).iter();
            let splits: Vec<&str> = splits.map(|s| s.name()).collect();
            tracing::warn!(
                "no subject is in the splits that are scored ({})",
                splits.join(", ")
            );
        }
        subjects
    }

    /// Predicts, scores and keeps the predictions of the splits that are scored; `unions` as for `wanted`.
    ///
    /// **Errors** when the run is stopped or an output cannot be written.
    pub fn score(
        &self,
        inference: Inference<'_>,
        unions: &[ClassUnion],
        epoch: u64,
        checkpoint: &str,
    ) -> Result<Vec<ScoreRow>, Error> {
        let (subjects, wanted) = (self.scored(), self.wanted(unions.to_vec()));
        let (mut scores, formats) = (Vec::new(), self.plan.pipeline.sinks.predictions.clone());
        self.evaluate(inference, &wanted, &subjects, "score", |record, results| {
            let rows: Vec<_> = results
                .iter()
                .map(|r| r.prediction_row(&record.id, record.split.name(), epoch, checkpoint))
                .collect();
            for result in results {
                scores.extend(result.score_rows(&record.id, record.split.name(), checkpoint));
            }
            let Some(formats) = &formats else {
                return Ok(());
            };
            let place = self.join_volume("predictions", checkpoint, &record.id);
            if formats.parquet && !rows.is_empty() {
                write_table(&place.with_added_extension("parquet"), &rows)?;
            }
            self.keep_nifti(formats, &place, record, results).map(drop)
        })?;
        Ok(scores)
    }

    pub(super) fn join_volume(&self, table: &str, part: &str, subject: &str) -> PathBuf {
        self.folder
            .join(table)
            .join(part)
            .join(crate::sink::file_stem(subject))
    }

    /// Writes the label maps of a subject as NIfTI, where they are wanted; returns the files.
    pub(super) fn keep_nifti(
        &self,
        formats: &FileFormats,
        place: &Path,
        record: &SubjectRecord,
        results: &[HeadResult],
    ) -> Result<Vec<PathBuf>, Error> {
        if !formats.nifti {
            return Ok(Vec::new());
        }
        let folder = place.parent().unwrap_or(place);
        if !store::is_url(folder) {
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
        }
        // The input's header lends its codes and units, so that a viewer overlays both.
        let like = record
            .images
            .iter()
            .find_map(|r| r.file())
            .and_then(|path| crate::volume::nifti::read_header(path).ok());
        let mut files = Vec::new();
        for HeadResult { head, label, .. } in results {
            let path = place.with_added_extension(format!("{head}.nii.gz"));
            crate::volume::nifti::write(&path, label, like.as_ref())
                .map_err(crate::sink::SinkError::from)?;
            files.push(path);
        }
        Ok(files)
    }
}

/// Returns `true` if a subject trains with its labels.
pub fn is_labelled(s: &SubjectRecord) -> bool {
    s.split == Split::Train && s.labelled
}

/// Returns `true` if a subject trains without labels.
pub fn is_unlabelled(s: &SubjectRecord) -> bool {
    s.split == Split::Train && !s.labelled
}

/// The window of the section, or the patch the views end with.
pub(super) fn training_window(cx: &RunContext, section: &TrainSection) -> Result<Window, Error> {
    if let Some(window) = &section.window {
        return Ok(window.window());
    }
    let shape = cx.plan.edges.patch().images().find_map(|c| c.shape_xyz);
    let size_xyz =
        shape.ok_or_else(|| Error::run("no patch size is known; set `train.window.size`"))?;
    Ok(Window {
        size_xyz,
        overlap: 0.5,
        flips: [false; 3],
    })
}
