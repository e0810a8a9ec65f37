//! A run that predicts: subjects of a cohort by the model of a checkpoint.

use super::attempts::Attempts;
use super::context::RunContext;
use super::cut::{Cut, Stretch, Weigh};
use super::evaluate::{HeadResult, subject};
use super::guard::{guarded, written};
use super::outcome::{Outcome, Used};
use super::parts::Parts;
use super::predictor::Predictor;
use crate::error::Error;
use crate::metric::Wanted;
use crate::plan::sections::FileFormats;
use crate::sink::{PartWriter, PredictionRow, PseudoLabelRow, TableRow as _};
use crate::source::SubjectRecord;
use indicatif::ProgressBar;
use std::path::Path;
use std::time::Instant;

/// The node of the run that predicts, and the stage of failures in it.
const WHAT: &str = "score";

/// Predicts and scores the subjects, part by part, as [`prepare`](super::preparation::prepare)
/// prepares them.
///
/// **Errors** when the run is stopped or an output cannot be written; committed parts stay.
pub(super) fn predict(
    cx: &RunContext,
    predictor: &Predictor,
    plan_digest: &str,
) -> Result<(), Error> {
    let mut parts = Parts::open(cx)?;
    let (subjects, wanted) = (cx.scored(), cx.wanted(predictor.unions.clone()));
    let bar = cx.bar(subjects.len() as u64, WHAT);
    let stretches = stretches(cx, subjects, plan_digest);
    let done = make_parts(cx, predictor, &wanted, stretches, &bar, &mut parts);
    parts.close(cx, done)
}

/// Cuts subjects into stretches of the size of a part.
pub(super) fn stretches(cx: &RunContext, subjects: Vec<usize>, plan_digest: &str) -> Cut {
    let sinks = &cx.plan.pipeline.sinks;
    // A label map is kept as it is; of a pseudo-label its confidence, too.
    let maps =
        u64::from(sinks.predictions.is_some()) + 2 * u64::from(sinks.pseudo_labels.is_some());
    let weigh: Weigh = match maps {
        0 => Box::new(|_, _| 0),
        maps => Box::new(move |preparer, index| maps * preparer.label_bytes(index)),
    };
    Cut::new(
        &cx.preparer,
        subjects,
        sinks.part_bytes(),
        weigh,
        plan_digest,
    )
}

/// Makes the parts of stretches, in order, unless they are committed already.
///
/// **Errors** as [`predict`].
pub(super) fn make_parts(
    cx: &RunContext,
    predictor: &Predictor,
    wanted: &Wanted,
    stretches: impl Iterator<Item = Stretch>,
    bar: &ProgressBar,
    parts: &mut Parts,
) -> Result<(), Error> {
    let (mut earlier, committed) = (0, parts.committed());
    for stretch in stretches {
        if let Some(failures) = committed.get(&stretch.name) {
            earlier += failures;
            bar.inc(stretch.subjects.len() as u64);
            parts.keep([stretch.name]);
            continue;
        }
        let attempts = parts.attempts();
        attempts.expect(&stretch.name, stretch.ids(&cx.preparer));
        for &index in &stretch.subjects {
            cx.check_with(earlier)?;
            let part = parts.writer(cx, &stretch)?;
            predict_into(cx, predictor, wanted, index, &attempts, part)?;
            bar.inc(1);
        }
        parts.commit(cx, &stretch)?;
    }
    bar.finish_and_clear();
    cx.check_with(earlier)
}

/// Predicts and scores one subject into its part.
fn predict_into(
    cx: &RunContext,
    predictor: &Predictor,
    wanted: &Wanted,
    index: usize,
    attempts: &Attempts,
    part: &mut PartWriter,
) -> Result<(), Error> {
    let (start, node) = (Instant::now(), cx.counters.node(WHAT));
    let (preparer, record) = (&cx.preparer, cx.preparer.subject(index));
    let mut used = Used::default();
    let attempt = attempts.begin(&record.id);
    let results = guarded(&record.id, WHAT, || {
        attempt.as_ref().map_err(Clone::clone)?;
        node.busy(|| subject(predictor.inference(), preparer, index, wanted, &mut used))
    });
    let (results, failure) = match results {
        Ok(results) => (results, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let seconds = start.elapsed().as_secs_f64();
    let cohort = preparer.cohort();
    let mut outcome = Outcome::new(&**cohort, record, &used, failure, seconds);
    if !results.is_empty() {
        let keep = || keep(cx, predictor, record, &results, part);
        if let Err(failure) = written(&record.id, WHAT, keep)? {
            outcome.fail(failure);
        }
    }
    match &outcome.failure {
        Some(failure) => {
            node.failed();
            preparer.note(failure.clone());
        }
        None => node.passed(results.len(), results.iter().map(|r| r.label.bytes()).sum()),
    }
    outcome.add_to(part);
    preparer.forget(index);
    Ok(())
}

/// Keeps the predictions and scores of a subject.
fn keep(
    cx: &RunContext,
    predictor: &Predictor,
    record: &SubjectRecord,
    results: &[HeadResult],
    part: &mut PartWriter,
) -> Result<(), Error> {
    let (id, split) = (&record.id, record.split.name());
    let checkpoint = predictor.name();
    let sinks = &cx.plan.pipeline.sinks;
    let files = |formats: &FileFormats, table: &str, part: &mut PartWriter| {
        let place = cx.join_volume(table, checkpoint, id);
        for file in cx.keep_nifti(formats, &place, record, results)? {
            let below = file.strip_prefix(&cx.folder.path).map(Path::to_owned);
            part.add_file(below.unwrap_or(file));
        }
        Ok::<_, Error>(())
    };
    if let Some(formats) = &sinks.predictions {
        if formats.parquet {
            let rows: Vec<PredictionRow> = (results.iter())
                .map(|result| result.prediction_row(id, split, 0, checkpoint))
                .collect();
            part.write_volumes(PredictionRow::TABLE.name, id, &PredictionRow::batch(&rows)?)?;
        }
        files(formats, PredictionRow::TABLE.name, part)?;
    }
    if let (Some(formats), Some(drawing)) = (&sinks.pseudo_labels, &predictor.drawing) {
        if formats.parquet {
            let rows = PseudoLabelRow::batch(&drawing.rows(id, results)?)?;
            part.write_volumes(PseudoLabelRow::TABLE.name, id, &rows)?;
        }
        files(formats, PseudoLabelRow::TABLE.name, part)?;
    }
    let scores = results.iter();
    part.add_scores(
        scores
            .flat_map(|r| r.score_rows(id, split, checkpoint))
            .collect(),
    );
    Ok(())
}
