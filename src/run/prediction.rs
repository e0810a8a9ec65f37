//! A run that predicts: subjects of a cohort by the model of a checkpoint.

use super::context::RunContext;
use super::cut::{Cut, Stretch, Weigh};
use super::evaluate::{HeadResult, subject};
use super::guard::{guarded, written};
use super::outcome::{Outcome, Used};
use super::parts::Parts;
use super::prepare::Preparer;
use crate::error::Error;
use crate::metric::Wanted;
use crate::plan::Plan;
use crate::plan::compile::prepare_alike;
use crate::plan::sections::PredictSection;
use crate::sink::{PartWriter, PredictionRow, TableRow as _};
use crate::source::SubjectRecord;
use crate::train::checkpoint;
use crate::train::infer::Window;
use crate::train::model::Model;
use candle_core::Device;
use indicatif::ProgressBar;
use std::path::Path;
use std::time::Instant;

/// The node of the run that predicts, and the stage of failures in it.
const WHAT: &str = "score";
/// The name of the checkpoint in the tables.
const CHECKPOINT: &str = "best";

/// What predicts.
pub(super) struct Predictor {
    /// The checkpoint's model.
    pub(super) model: Model,
    /// How a volume is covered.
    pub(super) window: Window,
    /// BLAKE3 over the files of the checkpoint.
    pub(super) digest: String,
}

/// The checkpoint's model, and the window it predicts with.
///
/// **Errors** when the checkpoint cannot be read, or was trained behind other steps, on other
/// modalities or with windows of another kind.
pub(super) fn predictor(
    plan: &Plan,
    section: &PredictSection,
    modalities: &[String],
    device: &Device,
) -> Result<Predictor, Error> {
    let path = crate::source::resolve_path(&section.checkpoint, &plan.file.folder())?;
    let folder = checkpoint::find(&path)?;
    let (model, file) = checkpoint::open(&folder, device)?;
    let refuse = |problem: String| Err(Error::run(format!("{}: {problem}", folder.display())));
    if !prepare_alike(&plan.stages_json(), &file.stages) {
        return refuse(format!(
            "`stages` differ from those the network was trained behind ({}); write the same preparation",
            file.stages
        ));
    }
    let known = &model.spec.modalities;
    if let Some(stranger) = modalities.iter().find(|m| !known.contains(m)) {
        return refuse(format!(
            "the network knows {}, but the source has `{stranger}`; name its modalities as in training, and leave out others",
            known.join(", ")
        ));
    }
    let window = match &section.window {
        Some(section) => section.window(),
        None => Window {
            size_xyz: file.window,
            overlap: file.overlap,
            flips: file.flips,
        },
    };
    let stride = model.spec.network.stride();
    if window.size_xyz.iter().any(|n| n % stride != 0) {
        return refuse(format!(
            "a window of {:?} voxels (x, y, z) cannot be halved by a network that needs multiples of {stride}; change `predict.window.size`",
            window.size_xyz
        ));
    }
    Ok(Predictor {
        model,
        window,
        digest: checkpoint::digest(&folder)?,
    })
}

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
    let (subjects, wanted) = cx.scored();
    let bar = cx.bar(subjects.len() as u64, WHAT);
    let stretches = stretches(cx, subjects, plan_digest);
    let done = make_parts(cx, predictor, &wanted, stretches, &bar, &mut parts);
    parts.close(done)
}

/// Cuts subjects into stretches of the size of a part.
pub(super) fn stretches(cx: &RunContext, subjects: Vec<usize>, plan_digest: &str) -> Cut {
    let sinks = &cx.plan.pipeline.sinks;
    let weigh: Weigh = match sinks.predictions {
        Some(_) => Box::new(Preparer::label_bytes),
        None => Box::new(|_, _| 0),
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
    let network = (&predictor.model, predictor.window);
    for stretch in stretches {
        if let Some(failures) = committed.get(&stretch.name) {
            earlier += failures;
            bar.inc(stretch.subjects.len() as u64);
            parts.keep([stretch.name]);
            continue;
        }
        for &index in &stretch.subjects {
            cx.check_with(earlier)?;
            let part = parts.writer(cx, &stretch)?;
            predict_into(cx, network, wanted, index, part)?;
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
    (model, window): (&Model, Window),
    wanted: &Wanted,
    index: usize,
    part: &mut PartWriter,
) -> Result<(), Error> {
    let (start, node) = (Instant::now(), cx.counters.node(WHAT));
    let (preparer, record) = (&cx.preparer, cx.preparer.subject(index));
    let mut used = Used::default();
    let results = guarded(&record.id, WHAT, || {
        node.busy(|| subject(model, preparer, index, window, wanted, &mut used))
    });
    let (results, failure) = match results {
        Ok(results) => (results, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let seconds = start.elapsed().as_secs_f64();
    let cohort = preparer.cohort();
    let mut outcome = Outcome::new(&**cohort, record, &used, failure, seconds);
    if !results.is_empty() {
        let keep = || keep(cx, model, record, &results, part);
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
    model: &Model,
    record: &SubjectRecord,
    results: &[HeadResult],
    part: &mut PartWriter,
) -> Result<(), Error> {
    let (id, split) = (&record.id, record.split.name());
    if let Some(formats) = &cx.plan.pipeline.sinks.predictions {
        if formats.parquet {
            let rows: Vec<PredictionRow> = (results.iter())
                .map(|result| result.prediction_row(id, split, 0, CHECKPOINT))
                .collect();
            part.write_volumes(PredictionRow::TABLE.name, id, &PredictionRow::batch(&rows)?)?;
        }
        let place = cx.join_volume("predictions", CHECKPOINT, id);
        for file in cx.keep_nifti(formats, &place, record, results)? {
            let below = file.strip_prefix(&cx.folder.path).map(Path::to_owned);
            part.add_file(below.unwrap_or(file));
        }
    }
    let scores = results.iter();
    part.add_scores(
        scores
            .flat_map(|r| r.score_rows(&model.spec.classes, id, split, CHECKPOINT))
            .collect(),
    );
    Ok(())
}
