//! Checks of a pipeline's sections against each other.

use super::edges::Edges;
use super::pipeline::Pipeline;
use super::sections::TrainSection;
use super::step::Step;
use super::unread;
use crate::spec::{At, Node, SpecError};
use crate::stage::cache::Cache;
use crate::stage::{EdgeSchema, Effect, Mixing, Stage as _};
use crate::train::objective::Term;

/// Checks the sections of a pipeline against each other and against what reaches them; `root` says
/// their places.
pub(super) fn sections(
    pipeline: &Pipeline,
    edges: &Edges,
    root: Node<'_>,
    errors: &mut Vec<SpecError>,
) {
    let place = |section: &str, field: &str, at: At| {
        let field = root.get(section).and_then(|node| node.get(field));
        field.map_or(at, Node::at)
    };
    let chains = ["stages", "views"].map(|key| root.get(key).map(Node::at));
    let whole = !errors.iter().filter_map(|e| e.at).any(|at| {
        let within = |chain: &At| (chain.start..=chain.end).contains(&at.start);
        chains.iter().flatten().any(within)
    });
    let trained = pipeline.makes_views() || pipeline.predict.is_some();
    if let (Some(_), Some((_, at))) = (&pipeline.train, &pipeline.predict) {
        errors.push(
            SpecError::new(*at, "both `train` and `predict` are given")
                .with_help("keep one; predict in a second file from the checkpoint"),
        );
    }
    for step in pipeline
        .stages
        .iter()
        .filter(|s| trained && s.stage.is_random())
    {
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
    let making = pipeline.stages.iter().zip(&edges.stages);
    if trained
        && let Some((step, rows)) = making
            .filter(|(step, _)| !step.stage.is_random())
            .find_map(|(step, edge)| Some((step, many(edge)?)))
    {
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
    let views = &pipeline.views;
    let alone = views.strong.iter().flat_map(|view| &view.steps);
    for step in views.weak.iter().chain(alone) {
        use Effect::{Crops, DataDependentCrop, Permutes, Resamples};
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
    mixing(pipeline, trained, errors);
    for step in views.steps().filter(|s| s.stage.relabels()) {
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
    if root.get("predict").is_some()
        && let Some(step) = views.steps().next()
    {
        errors.push(
            SpecError::new(
                step.at,
                "views are made in training, and `predict` makes none",
            )
            .with_help("remove `views:`"),
        );
    }
    if let Some((predict, at)) = &pipeline.predict {
        let node = root.get("predict").and_then(|p| p.get("checkpoint"));
        predict.checkpoint.check(*at, node, errors);
        window(
            predict.window.as_ref().map(|w| (w.size, w.overlap)),
            *at,
            errors,
        );
    }
    if let Some((train, at)) = &pipeline.train {
        training(pipeline, (train, *at), edges, whole, errors);
    }
    unread::refuse(pipeline, root, errors);
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

fn window(window: Option<([usize; 3], f64)>, at: At, errors: &mut Vec<SpecError>) {
    if let Some((size, overlap)) = window
        && (size.contains(&0) || !(0.0..1.0).contains(&overlap))
    {
        let message = format!(
            "`window` of {size:?} voxels with overlap {overlap}: sizes start at 1, overlap lies from 0 to below 1"
        );
        errors.push(SpecError::new(at, message));
    }
}

/// `whole`: no step was left out for a mistake in it.
fn training(
    pipeline: &Pipeline,
    (train, at): (&TrainSection, At),
    edges: &Edges,
    whole: bool,
    errors: &mut Vec<SpecError>,
) {
    let mut refuse =
        |problem: String, help: &str| errors.push(SpecError::new(at, problem).with_help(help));
    if !(2..=255).contains(&train.classes.len()) {
        refuse(
            format!("`train.classes` lists {} names", train.classes.len()),
            "list the background and 1 to 254 more: `[background, liver]`",
        );
    }
    if train.steps == 0 || train.accumulate == 0 || train.validate.every == 0 {
        refuse(
            "`train.steps`, `accumulate` and `validate.every` start at 1".to_owned(),
            "write a positive number",
        );
    }
    if train.batch.labelled == 0 {
        refuse(
            "`train.batch.labelled` is 0; nothing would be supervised".to_owned(),
            "write at least 1",
        );
    }
    if let Err(problem) = train.network.check() {
        refuse(
            format!("`train.network`: {problem}"),
            "see `voxstream schema pipeline`",
        );
    }
    if let Err(problem) = train.optimizer.check() {
        refuse(
            format!("`train.optimizer`: {problem}"),
            "see `voxstream schema pipeline`",
        );
    }
    let objective = &train.objective;
    if let Err(problem) = objective.check(train.network.heads()) {
        refuse(
            format!("`train.objective`: {problem}"),
            "see `voxstream schema pipeline`",
        );
    }
    let of_unlabelled = objective.first(|term| term != Term::Supervised);
    let unlabelled = train.batch.unlabelled();
    if unlabelled > 0 && of_unlabelled.is_none() {
        refuse(
            format!("{unlabelled} unlabelled rows a step, but no objective uses them"),
            "add `pseudo_label`, `mean_teacher`, `bcp` or another term for unlabelled rows to `train.objective`, or set `batch.unlabelled: 0`",
        );
    }
    let asking = objective.first(Term::needs_teacher);
    if let (Some(term), None) = (asking, &pipeline.pseudo_label) {
        refuse(
            format!(
                "`objective.{}` needs to know how labels are drawn",
                term.name()
            ),
            "add the section `pseudo_label: { threshold: { fixed: 0.95 } }`",
        );
    }
    // An explicit 0 is the control of an experiment, but for the term that trains a second network.
    let waits = |term| train.batch.unlabelled == Some(0) && term != Term::Cps;
    let hungry = objective.first(|term| term.needs_unlabelled() && !waits(term));
    if let (Some(term), 0) = (hungry, unlabelled) {
        refuse(
            format!(
                "`objective.{}` learns from unlabelled rows, but there are none in a batch",
                term.name()
            ),
            "write `batch: { labelled: 2, unlabelled: 2 }`",
        );
    }
    let cutmix = (objective.pseudo_label.as_ref()).is_some_and(|spec| spec.cutmix.is_some());
    if cutmix && unlabelled == 1 {
        refuse(
            "`pseudo_label.cutmix` mixes unlabelled rows, but a batch has one".to_owned(),
            "write `batch: { labelled: 2, unlabelled: 2 }`",
        );
    }
    if let Some(limit) = (train.clip_norm).filter(|limit| !(limit.is_finite() && *limit > 0.0)) {
        refuse(
            format!("`train.clip_norm` is {limit}, expected a positive number"),
            "write `clip_norm: null` for no clipping",
        );
    }
    let halves = (objective.pseudo_label.as_ref()).is_some_and(|spec| spec.complementary_dropout);
    let strong = pipeline.views.strong.len();
    if halves && strong != 2 {
        refuse(
            format!(
                "`complementary_dropout` splits channels between two strong views, found {strong}"
            ),
            "write `views.strong` as a map of two: `{ first: [..], second: [..] }`",
        );
    }
    if edges.source.labels().next().is_none() {
        refuse(
            "the source declares no labels".to_owned(),
            "declare them in `source`: training is supervised in part at least",
        );
    }
    let stride = train.network.stride();
    match edges.patch().images().find_map(|c| c.shape_xyz) {
        Some(shape) if shape.iter().any(|n| n % stride != 0) => refuse(
            format!(
                "patches of {shape:?} voxels (x, y, z) cannot be halved by a network that needs multiples of {stride}"
            ),
            "change the size of `patch`, or the network's depth",
        ),
        None if whole && (train.batch.labelled + unlabelled > 1 || train.window.is_none()) => {
            refuse(
                "the rows that reach training have no known size".to_owned(),
                "end `views.shared` with `patch: { size: [x, y, z] }`",
            );
        }
        _ => {}
    }
    window(
        train.window.as_ref().map(|w| (w.size, w.overlap)),
        at,
        errors,
    );
    if let Some(w) = train
        .window
        .as_ref()
        .filter(|w| w.size.iter().any(|n| n % stride != 0))
    {
        errors.push(SpecError::new(at, format!("a window of {:?} voxels cannot be halved by a network that needs multiples of {stride}", w.size)));
    }
}
