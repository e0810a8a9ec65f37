//! The networks of a run that predicts, and what they were trained behind.

use super::inference::Inference;
use super::pseudo_labels::Drawing;
use crate::error::Error;
use crate::metric::ClassUnion;
use crate::plan::Plan;
use crate::plan::compile::prepare_alike;
use crate::plan::sections::PredictSection;
use crate::store;
use crate::train::checkpoint::{self, ModelFile};
use crate::train::infer::Window;
use crate::train::model::{Model, ModelSpec};
use crate::train::postprocessing::PostProcessing;
use crate::volume::LabelRegion;
use candle_core::Device;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What predicts.
pub(super) struct Predictor {
    /// How pseudo-labels are drawn, where they are kept.
    pub(super) drawing: Option<Drawing>,
    /// The checkpoints' models, at least one.
    models: Vec<Model>,
    /// How a volume is covered.
    window: Window,
    /// What is done to label maps.
    postprocessing: PostProcessing,
    /// Each checkpoint with the BLAKE3 over its files.
    checkpoints: Vec<(PathBuf, String)>,
    /// BLAKE3 over the files of all checkpoints.
    pub(super) digest: String,
    /// Unions of classes that are scored beside what the networks were trained on.
    pub(super) unions: Vec<ClassUnion>,
}

impl Predictor {
    /// How it predicts.
    pub(super) fn inference(&self) -> Inference<'_> {
        Inference {
            postprocessing: &self.postprocessing,
            models: &self.models,
            ..Inference::of(&self.models[0], self.window)
        }
    }

    /// What is to be told of modalities that the networks were trained on and the source does not have.
    pub(super) fn absent(&self, modalities: &[String]) -> Option<String> {
        let known = &self.models.first()?.spec.modalities;
        let absent: Vec<&str> = (known.iter())
            .filter(|name| !modalities.contains(name))
            .map(String::as_str)
            .collect();
        (!absent.is_empty()).then(|| {
            format!(
                "the network was trained on {}, and the source has no {}: zeros take its place in every subject; name it in `source`, or trust this only where training left modalities out, too",
                known.join(", "),
                absent.join(", ")
            )
        })
    }

    /// The name of the weights in the tables.
    pub(super) fn name(&self) -> &'static str {
        match self.models.len() {
            1 => "best",
            _ => "ensemble",
        }
    }

    /// How many regions the networks were trained on.
    pub(super) fn regions(&self) -> usize {
        self.models[0].spec.regions.len()
    }

    /// What the run notes of it in `plan.json`.
    pub(super) fn record(&self) -> Value {
        let of =
            |(folder, digest): &(PathBuf, String)| json!({ "folder": folder, "digest": digest });
        let checkpoints: Vec<Value> = self.checkpoints.iter().map(of).collect();
        json!({ "checkpoints": checkpoints, "postprocessing": self.postprocessing })
    }
}

/// The models of the checkpoints, and the window they predict with.
///
/// **Errors** when a checkpoint cannot be read or is named twice, was trained behind other steps, on other
/// modalities or with windows of another kind, when checkpoints do not fit each other, or when `score.regions`
/// names a class that they do not have.
pub(super) fn predictor(
    plan: &Plan,
    section: &PredictSection,
    modalities: &[String],
    device: &Device,
) -> Result<Predictor, Error> {
    let mut members: Vec<Member> = Vec::new();
    for path in section.checkpoint.paths() {
        let path = crate::source::resolve_path(path, &plan.file.folder())?;
        for folder in checkpoint::find_all(&path)? {
            let folder = whole(folder);
            if members.iter().any(|m| m.folder == folder) {
                let problem =
                    "is named twice in `predict.checkpoint`, so it would count twice; name it once";
                return Err(refusal(&folder, problem));
            }
            let (model, file) = checkpoint::open(&folder, device)?;
            let digest = checkpoint::digest(&folder)?;
            let member = Member {
                folder,
                model,
                file,
                digest,
            };
            member.fits(plan, modalities)?;
            if let Some(first) = members.first() {
                member.fits_with(first)?;
            }
            members.push(member);
        }
    }
    let window = window(section, &members)?;
    let spec = &members[0].model.spec;
    let unions = plan
        .scored_regions(&spec.classes, &spec.regions)
        .map_err(|diagnostics| Error::Pipeline { diagnostics })?;
    let postprocessing = match section.postprocess {
        true => {
            let chosen: Vec<&PostProcessing> =
                members.iter().map(|m| &m.file.postprocessing).collect();
            PostProcessing::of_most(&chosen)
        }
        false => PostProcessing::NONE,
    };
    if members.len() > 1 {
        tracing::info!(networks = members.len(), "ensemble");
    }
    let digests: Vec<&str> = members.iter().map(|m| m.digest.as_str()).collect();
    let digest = match digests[..] {
        [one] => one.to_owned(),
        _ => blake3::hash(digests.concat().as_bytes())
            .to_hex()
            .to_string(),
    };
    let (mut models, mut checkpoints) = (Vec::new(), Vec::new());
    for member in members {
        models.push(member.model);
        checkpoints.push((member.folder, member.digest));
    }
    let drawing = match &plan.pipeline.sinks.pseudo_labels {
        None => None,
        Some(_) => {
            let folders: Vec<&Path> = checkpoints.iter().map(|(folder, _)| &**folder).collect();
            let classes = models.first().map_or(0, |m| m.spec.classes.len());
            let fixed = plan.pipeline.pseudo_label.as_ref();
            let fixed = fixed.map(|(section, _)| &section.threshold);
            Some(Drawing::of_checkpoints(&folders, classes, fixed)?)
        }
    };
    Ok(Predictor {
        drawing,
        models,
        window,
        postprocessing,
        checkpoints,
        digest,
        unions,
    })
}

/// A checkpoint that was opened.
struct Member {
    folder: PathBuf,
    model: Model,
    file: ModelFile,
    digest: String,
}

impl Member {
    /// **Errors** if it was trained behind other steps, or does not know a modality.
    fn fits(&self, plan: &Plan, modalities: &[String]) -> Result<(), Error> {
        if !prepare_alike(&plan.stages_json(), &self.file.stages) {
            let problem = format!(
                "`stages` differ from those the network was trained behind ({}); write the same preparation",
                self.file.stages
            );
            return Err(refusal(&self.folder, problem));
        }
        let known = &self.model.spec.modalities;
        match modalities.iter().find(|m| !known.contains(m)) {
            Some(stranger) => Err(refusal(
                &self.folder,
                format!(
                    "the network knows {}, but the source has `{stranger}`; name its modalities as in training, and leave out others",
                    known.join(", ")
                ),
            )),
            None => Ok(()),
        }
    }

    /// **Errors** if its probabilities are not about the same things as those of the first member.
    fn fits_with(&self, first: &Self) -> Result<(), Error> {
        let (own, other) = (&self.model.spec, &first.model.spec);
        let regions = |spec: &ModelSpec| spec.regions.iter().map(named).collect::<Vec<_>>();
        let pairs = [
            ("classes", own.classes.clone(), other.classes.clone()),
            ("regions", regions(own), regions(other)),
            (
                "modalities",
                own.modalities.clone(),
                other.modalities.clone(),
            ),
            ("heads", self.model.head_names(), first.model.head_names()),
        ];
        match pairs.into_iter().find(|(_, own, other)| own != other) {
            Some((what, own, other)) => Err(refusal(
                &self.folder,
                format!(
                    "its {what} are {}, those of {} are {}; an ensemble averages probabilities of the same {what}",
                    listed(&own),
                    first.folder.display(),
                    listed(&other)
                ),
            )),
            None => Ok(()),
        }
    }

    fn window(&self) -> Window {
        Window {
            size_xyz: self.file.window,
            overlap: self.file.overlap,
            flips: self.file.flips,
        }
    }
}

/// Names, or `none`.
fn listed(names: &[String]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// A region with its classes and what it paints.
fn named(region: &LabelRegion) -> String {
    let classes: Vec<String> = region.classes.iter().map(u8::to_string).collect();
    let (name, classes) = (&region.name, classes.join(" "));
    format!("{name} (classes {classes}, painted as {})", region.paints)
}

/// The window of the section, or the one that all members were validated with.
fn window(section: &PredictSection, members: &[Member]) -> Result<Window, Error> {
    let Some(first) = members.first() else {
        return Err(Error::run("`predict.checkpoint` names no checkpoint"));
    };
    let window = match &section.window {
        Some(section) => section.window(),
        None => first.window(),
    };
    if section.window.is_none()
        && let Some(other) = members.iter().find(|m| m.window() != window)
    {
        let shown = |w: Window| {
            format!(
                "{:?} voxels, overlap {}, flips {:?}",
                w.size_xyz, w.overlap, w.flips
            )
        };
        let problem = format!(
            "it was validated with another window ({}) than {} ({}); write `predict.window`",
            shown(other.window()),
            first.folder.display(),
            shown(window)
        );
        return Err(refusal(&other.folder, problem));
    }
    for member in members {
        let stride = member.model.spec.network.stride();
        if window.size_xyz.iter().any(|n| n % stride != 0) {
            let problem = format!(
                "a window of {:?} voxels (x, y, z) cannot be halved by a network that needs multiples of {stride}; change `predict.window.size`",
                window.size_xyz
            );
            return Err(refusal(&member.folder, problem));
        }
    }
    Ok(window)
}

/// The path of a checkpoint from anywhere, so that one that is named in two ways is found out.
fn whole(folder: PathBuf) -> PathBuf {
    match store::is_url(&folder) {
        true => folder,
        false => folder.canonicalize().unwrap_or(folder),
    }
}

fn refusal(folder: &Path, problem: impl std::fmt::Display) -> Error {
    Error::run(format!("{}: {problem}", folder.display()))
}
