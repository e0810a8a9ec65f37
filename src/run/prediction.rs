//! A run that predicts: subjects of a cohort by the model of a checkpoint.

use super::context::RunContext;
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::compile::prepare_alike;
use crate::plan::sections::PredictSection;
use crate::sink::{ScoreRow, write_table};
use crate::train::checkpoint;
use crate::train::infer::Window;
use crate::train::model::Model;
use candle_core::Device;

/// The checkpoint's model, and the window it predicts with.
///
/// **Errors** when the checkpoint cannot be read, or was trained behind other steps, on other
/// modalities or with windows of another kind.
pub(super) fn predictor(
    plan: &Plan,
    section: &PredictSection,
    modalities: &[String],
    device: &Device,
) -> Result<(Model, Window), Error> {
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
    Ok((model, window))
}

/// Predicts and scores the subjects, and writes their scores.
///
/// **Errors** when the run is stopped or an output cannot be written.
pub(super) fn predict(
    cx: &RunContext,
    model: &Model,
    window: Window,
) -> Result<Vec<ScoreRow>, Error> {
    let scores = cx.score(model, window, 0, "best")?;
    write_table(&cx.folder.join("scores.parquet"), &scores)?;
    Ok(scores)
}
