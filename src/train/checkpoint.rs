//! Checkpoints: folders that appear whole, from which training continues with the same numbers.
//!
//! `checkpoints/step-00000200/` holds `student.safetensors`, `teacher.safetensors`,
//! `optimizer.safetensors`, `model.json` (how to build the network) and `state.json` (step, stream
//! positions, thresholds, class statistics); with CPS also `peer.safetensors` and
//! `peer-optimizer.safetensors`. `checkpoints/best.json` names the folder that validated best.
//! In a store `state.json` is put last: a folder without it is no checkpoint.

mod find;
mod folders;
mod json;

pub use find::{find, find_all};
pub use folders::last;
pub use json::{read_json, write_json};

use super::TrainError;
use super::learner::Learner;
use super::model::{Model, ModelSpec};
use super::objective::class_statistics::ClassStatistics;
use super::objective::threshold::Thresholds;
use super::postprocessing::PostProcessing;
use super::trainer::Trainer;
use crate::nn::tensor_file::{read_tensors, write_tensors};
use crate::store;
use candle_core::{Device, Tensor};
use json::refuse;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What a prediction needs beside the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// How to build the network.
    pub model: ModelSpec,
    /// Sliding window it was validated with: x, y, z.
    pub window: [usize; 3],
    /// Overlap of that window.
    pub overlap: f64,
    /// Axes x, y, z along which it was mirrored.
    #[serde(default)]
    pub flips: [bool; 3],
    /// Preparation it was trained behind, as JSON: prediction must prepare alike.
    pub stages: serde_json::Value,
    /// Version that wrote it.
    pub version: String,
    /// Which weights predict: `teacher` or `student`.
    pub predictor: String,
    /// What is done to predicted label maps, chosen on the validation subjects at the end of training.
    #[serde(default, skip_serializing_if = "PostProcessing::is_none")]
    pub postprocessing: PostProcessing,
}

/// Which checkpoint validated best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its step.
    pub step: u64,
    /// Mean Dice over validation subjects, heads and classes, or regions where there are any; `None` before the first validation with truth.
    pub score: Option<f64>,
}

/// State of a run beside its weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State<P> {
    /// Steps done.
    pub step: u64,
    /// Where the streams stand.
    pub positions: P,
    /// Running thresholds.
    pub thresholds: Option<Thresholds>,
    /// What unpaired modalities show of each class.
    #[serde(default)]
    pub statistics: ClassStatistics,
    /// Best validation so far.
    pub best: Option<Best>,
}

/// Files of the network that predicts, and of the second one of CPS: weights, then optimiser.
const STUDENT: [&str; 2] = ["student.safetensors", "optimizer.safetensors"];
const PEER: [&str; 2] = ["peer.safetensors", "peer-optimizer.safetensors"];

fn save_learner(folder: &Path, learner: &Learner, files: [&str; 2]) -> Result<(), TrainError> {
    let (none, [weights, optimizer]) = (HashMap::new(), files.map(|f| folder.join(f)));
    learner.model.params.save(&weights, &none)?;
    write_tensors(&optimizer, &learner.optimizer.state()?, &none)?;
    Ok(())
}

fn load_learner(folder: &Path, learner: &mut Learner, files: [&str; 2]) -> Result<(), TrainError> {
    let [weights, optimizer] = files.map(|f| folder.join(f));
    learner.model.params.load(&weights)?;
    let (state, _) = read_tensors(&optimizer, &Device::Cpu)?;
    learner.optimizer.load_state(&state)?;
    Ok(())
}

/// Writes a checkpoint; the folder appears whole. `beside` writes further files into it.
///
/// **Errors** name the file; nothing is left under the final name then.
pub fn save<P: Serialize>(
    checkpoints: &Path,
    trainer: &Trainer,
    state: &State<P>,
    model: &ModelFile,
    beside: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<PathBuf, TrainError> {
    let draft = folders::draft(checkpoints)?;
    let none = HashMap::new();
    save_learner(draft.path(), &trainer.student, STUDENT)?;
    if let Some(peer) = &trainer.peer {
        save_learner(draft.path(), peer, PEER)?;
    }
    if let Some(teacher) = &trainer.teacher {
        teacher
            .params
            .save(&draft.path().join("teacher.safetensors"), &none)?;
    }
    write_json(&draft.path().join("model.json"), model)?;
    write_json(&draft.path().join(folders::STATE), state)?;
    beside(draft.path())?;
    let folder = folders::publish(draft, checkpoints, state.step)?;
    if let Some(best) = &state.best {
        write_json(&checkpoints.join("best.json"), best)?;
    }
    folders::prune(checkpoints, state.step, state.best.as_ref().map(|b| b.step))?;
    Ok(folder)
}

/// The folder of the best checkpoint.
///
/// **Errors** when there is none.
pub fn best(checkpoints: &Path) -> Result<PathBuf, TrainError> {
    let best: Best = read_json(&checkpoints.join("best.json"))?;
    Ok(folders::step_folder(checkpoints, best.step))
}

/// Restores a trainer and the state beside it.
///
/// **Errors** when weights are missing or of another shape.
pub fn restore<P: DeserializeOwned>(
    folder: &Path,
    trainer: &mut Trainer,
) -> Result<State<P>, TrainError> {
    let state: State<P> = read_json(&folder.join(folders::STATE))?;
    load_learner(folder, &mut trainer.student, STUDENT)?;
    if let Some(peer) = &mut trainer.peer {
        load_learner(folder, peer, PEER)?;
    }
    if let Some(teacher) = &trainer.teacher {
        teacher.params.load(&folder.join("teacher.safetensors"))?;
    }
    trainer.thresholds.clone_from(&state.thresholds);
    trainer.statistics.clone_from(&state.statistics);
    trainer.step = state.step;
    Ok(state)
}

/// Weights to begin a training with: those of a safetensors file, as `voxstream convert` writes, or
/// those that predict in a checkpoint, a run folder or a folder of runs.
///
/// **Errors** say what was looked for, or name the file.
pub fn weights(path: &Path) -> Result<Vec<(String, Tensor)>, TrainError> {
    let is_file = match store::is_url(path) {
        true => path.extension().is_some_and(|e| e == "safetensors"),
        false => path.is_file(),
    };
    let file = match is_file {
        true => path.to_owned(),
        false => {
            let folder = find(path)?;
            let model: ModelFile = read_json(&folder.join("model.json"))?;
            folder.join(format!("{}.safetensors", model.predictor))
        }
    };
    Ok(read_tensors(&file, &Device::Cpu)?.0)
}

/// BLAKE3 over what a checkpoint predicts with: the same digest, the same predictions.
///
/// **Errors** when files are missing or cannot be read.
pub fn digest(folder: &Path) -> Result<String, TrainError> {
    let description = folder.join("model.json");
    let file: ModelFile = read_json(&description)?;
    let mut hasher = blake3::Hasher::new();
    for path in [
        description,
        folder.join(format!("{}.safetensors", file.predictor)),
    ] {
        let read = store::open(&path).and_then(|f| hasher.update_reader(f).map(drop));
        read.map_err(|e| refuse(&path, format!("cannot be read: {e}")))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Notes in a checkpoint what is done to the label maps that it predicts.
///
/// **Errors** name the file.
pub fn note_postprocessing(folder: &Path, chosen: &PostProcessing) -> Result<(), TrainError> {
    let path = folder.join("model.json");
    let mut file: ModelFile = read_json(&path)?;
    if file.postprocessing == *chosen {
        return Ok(());
    }
    file.postprocessing.clone_from(chosen);
    write_json(&path, &file)
}

/// What a checkpoint says of its training beside the weights.
///
/// **Errors** name the file.
pub fn state<P: DeserializeOwned>(folder: &Path) -> Result<State<P>, TrainError> {
    read_json(&folder.join(folders::STATE))
}

/// Opens a checkpoint for prediction.
///
/// **Errors** when files are missing or do not fit each other.
pub fn open(folder: &Path, device: &Device) -> Result<(Model, ModelFile), TrainError> {
    let description = folder.join("model.json");
    let file: ModelFile = read_json(&description)?;
    (file.model.check()).map_err(|problem| {
        let problem = format!("{problem}; `classes` and `regions` are not those of one training");
        refuse(&description, problem)
    })?;
    let model = Model::new(&file.model, 0, device)?;
    model
        .params
        .load(&folder.join(format!("{}.safetensors", file.predictor)))?;
    Ok((model, file))
}
