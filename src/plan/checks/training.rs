//! Checks of the section `train` against the network, the objective and the rows that reach it.

use super::window::window;
use crate::plan::edges::Edges;
use crate::plan::pipeline::Pipeline;
use crate::plan::sections::TrainSection;
use crate::spec::{At, Node, SpecError, counted};
use crate::train::objective::Term;

/// Checks the section, each mistake at the entry that it names; `whole`: no step was left out for a mistake in it.
pub(super) fn training(
    pipeline: &Pipeline,
    (train, at): (&TrainSection, At),
    root: Node<'_>,
    (edges, whole): (&Edges, bool),
    errors: &mut Vec<SpecError>,
) {
    let mut found = Vec::new();
    check(pipeline, (train, at), edges, whole, &mut found);
    if let Some(section) = root.given("train") {
        for error in &mut found {
            let problem = error.message.replacen("`train.", "`", 1);
            error.at = Some(section.named(&problem).unwrap_or(section).at());
        }
    }
    errors.append(&mut found);
}

fn check(
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
            format!(
                "`train.classes` lists {}",
                counted(train.classes.len(), "name")
            ),
            "list the background and 1 to 254 more: `[background, liver]`",
        );
    }
    let counts = [
        ("steps", train.steps),
        ("accumulate", train.accumulate.into()),
        ("validate.every", train.validate.every),
    ];
    for (name, _) in counts.iter().filter(|(_, count)| *count == 0) {
        refuse(
            format!("`train.{name}` is 0, expected 1 or more"),
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
    if objective.first(Term::learns_labels).is_none() {
        refuse(
            "no term of `train.objective` learns the labels".to_owned(),
            "add `supervised: {}`; an objective that is written names all of its terms",
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
    // That of a network with a mistake says nothing of patches.
    let stride = match train.network.check() {
        Ok(()) => train.network.stride(),
        Err(_) => 1,
    };
    match edges.patch().images().find_map(|c| c.shape_xyz) {
        Some(shape) if shape.iter().any(|n| n % stride != 0) => refuse(
            format!(
                "patches of {shape:?} voxels (x, y, z) cannot be halved by a `network` that needs multiples of {stride}"
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
        errors.push(SpecError::new(at, format!("a `window` of {:?} voxels cannot be halved by a network that needs multiples of {stride}", w.size)));
    }
}
