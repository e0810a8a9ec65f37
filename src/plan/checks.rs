//! Checks of a pipeline's sections against each other.

mod training;
mod window;

use super::edges::Edges;
use super::pipeline::Pipeline;
use super::step::Step;
use super::unread;
use crate::spec::{At, Node, SpecError};
use crate::stage::cache::Cache;
use crate::stage::{EdgeSchema, Effect, Mixing, Stage as _};
use training::training;
use window::window;

/// Checks the sections of a pipeline against each other and against what reaches them; `root` says
/// their places.
pub(super) fn sections(
    pipeline: &Pipeline,
    edges: &Edges,
    root: Node<'_>,
    errors: &mut Vec<SpecError>,
) {
    let whole = !is_cut_short(root, errors);
    let trained = pipeline.makes_views() || pipeline.predict.is_some();
    if let (Some(_), Some((_, at))) = (&pipeline.train, &pipeline.predict) {
        errors.push(
            SpecError::new(*at, "both `train` and `predict` are given")
                .with_help("keep one; predict in a second file from the checkpoint"),
        );
    }
    if trained {
        shared_stages(pipeline, edges, errors);
    }
    caches(pipeline, trained, errors);
    moves_of_one_view(pipeline, errors);
    mixing(pipeline, trained, errors);
    relabelling_views(pipeline, errors);
    prediction(pipeline, root, errors);
    if let Some((train, at)) = &pipeline.train {
        training(pipeline, (train, *at), root, (edges, whole), errors);
    }
    unread::refuse(pipeline, root, errors);
    let place = |section: &str, field: &str, at: At| {
        let field = root.given(section).and_then(|node| node.get(field));
        field.map_or(at, Node::at)
    };
    if let Some((section, at)) = &pipeline.score
        && let Err(problem) = section.check()
    {
        let at = place("score", "nsd_tolerance_mm", *at);
        errors.push(SpecError::new(at, format!("`score`: {problem}")));
    }
    if let Some((section, at)) = &pipeline.pseudo_label {
        if !(0.0..1.0).contains(&section.ema) {
            errors.push(SpecError::new(
                place("pseudo_label", "ema", *at),
                format!(
                    "`pseudo_label.ema` is {}, expected a decay from 0 to below 1",
                    section.ema
                ),
            ));
        }
        if let Err(problem) = section.threshold.check() {
            let at = place("pseudo_label", "threshold", *at);
            let problem = format!("`pseudo_label.threshold`: {problem}");
            errors.push(SpecError::new(at, problem));
        }
    }
}

/// Returns `true` if a step was left out for a mistake in it, so that what follows is not known whole.
fn is_cut_short(root: Node<'_>, errors: &[SpecError]) -> bool {
    let chains = ["stages", "views"].map(|key| root.given(key).map(Node::at));
    errors.iter().filter_map(|e| e.at).any(|at| {
        let within = |chain: &At| (chain.start..=chain.end).contains(&at.start);
        chains.iter().flatten().any(within)
    })
}

/// Steps that training, validation and test share draw nothing, and make one row of a subject.
fn shared_stages(pipeline: &Pipeline, edges: &Edges, errors: &mut Vec<SpecError>) {
    for step in pipeline.stages.iter().filter(|s| s.stage.is_random()) {
        errors.push(
            SpecError::new(
                step.at,
                format!(
                    "`{}` draws, but `stages` are shared by training, validation and test",
                    step.stage.name()
                ),
            )
            .with_help("move it to `views.shared`, `views.weak` or `views.strong`"),
        );
    }
    let many = |edge: &EdgeSchema| edge.rows_per_subject.filter(|rows| *rows != 1);
    let mut making = (pipeline.stages.iter().zip(&edges.stages))
        .filter(|(step, _)| !step.stage.is_random())
        .filter_map(|(step, edge)| Some((step, many(edge)?)));
    if let Some((step, rows)) = making.next() {
        errors.push(
            SpecError::new(
                step.at,
                format!(
                    "`{}` makes {rows} rows of a subject, but training and prediction prepare one",
                    step.stage.name()
                ),
            )
            .with_help("move it to `views.shared`"),
        );
    }
}

/// One `cache`, and only where subjects are used more than once.
fn caches(pipeline: &Pipeline, trained: bool, errors: &mut Vec<SpecError>) {
    let mut caches = (pipeline.stages.iter()).filter(|step| step.stage.name() == Cache::NAME);
    if let (Some(first), false) = (caches.clone().next(), trained) {
        errors.push(
            SpecError::new(
                first.at,
                "`cache` keeps subjects for training and prediction; here each is prepared once",
            )
            .with_help(
                "leave it out; `sinks: { prepared: { nifti: true } }` keeps what is prepared",
            ),
        );
    }
    if let Some(second) = caches.nth(1) {
        errors.push(
            SpecError::new(second.at, "`cache` stands here a second time")
                .with_help("keep the later one: it holds what the earlier would"),
        );
    }
}

/// What moves voxels moves them in every view: a pseudo-label of one is learnt on another.
fn moves_of_one_view(pipeline: &Pipeline, errors: &mut Vec<SpecError>) {
    use Effect::{Crops, DataDependentCrop, Permutes, Resamples};
    let views = &pipeline.views;
    let alone = views.strong.iter().flat_map(|view| &view.steps);
    for step in views.weak.iter().chain(alone) {
        if matches!(
            step.stage.effect(),
            Some(Permutes | Resamples | Crops | DataDependentCrop)
        ) {
            errors.push(
                SpecError::new(
                    step.at,
                    format!(
                        "`{}` moves voxels in one view only; a pseudo-label would not fit the others",
                        step.stage.name()
                    ),
                )
                .with_help("move it to `views.shared`, whose draws all views share"),
            );
        }
    }
}

/// Classes get other numbers before views, so that scoring sees the same ones.
fn relabelling_views(pipeline: &Pipeline, errors: &mut Vec<SpecError>) {
    for step in (pipeline.views.steps()).filter(|s| s.stage.relabels()) {
        errors.push(
            SpecError::new(
                step.at,
                format!(
                    "`{}` gives classes other numbers in a view, where scoring does not see it",
                    step.stage.name()
                ),
            )
            .with_help("move it to `stages`; the truth is changed alike there"),
        );
    }
}

/// A prediction makes no views, and names its checkpoints and window.
fn prediction(pipeline: &Pipeline, root: Node<'_>, errors: &mut Vec<SpecError>) {
    let node = root.given("predict");
    if let (Some(_), Some(step)) = (node, pipeline.views.steps().next()) {
        errors.push(
            SpecError::new(
                step.at,
                "views are made in training, and `predict` makes none",
            )
            .with_help("remove `views:`"),
        );
    }
    if let Some((predict, at)) = &pipeline.predict {
        let node = node.and_then(|predict| predict.get("checkpoint"));
        predict.checkpoint.check(*at, node, errors);
        window(
            predict.window.as_ref().map(|w| (w.size, w.overlap)),
            *at,
            errors,
        );
    }
}

/// Mixing needs the training stream; boxes of another subject must be the same in every view.
fn mixing(pipeline: &Pipeline, trained: bool, errors: &mut Vec<SpecError>) {
    let mixes = |step: &&Step| step.stage.mixing().is_some();
    // Where something is trained, a step of `stages` that draws was refused before.
    for step in pipeline.stages.iter().filter(mixes).filter(|_| !trained) {
        let problem = format!(
            "`{}` mixes rows, which only training views can",
            step.stage.name()
        );
        errors.push(SpecError::new(step.at, problem).with_help("move it to `views.shared`"));
    }
    let views = &pipeline.views;
    let alone = views.strong.iter().flat_map(|view| &view.steps);
    for step in views.weak.iter().chain(alone) {
        if step.stage.mixing() == Some(Mixing::Anatomy) {
            let problem = format!(
                "`{}` takes another subject's anatomy into one view only; a pseudo-label would not fit the others",
                step.stage.name()
            );
            errors.push(SpecError::new(step.at, problem).with_help(
                "move it to `views.shared`, or mix strong views with their pseudo-labels: `train.objective.pseudo_label.cutmix`",
            ));
        }
    }
}
