//! Checks of `train.regions`: each mistake at its place, and what cannot learn regions by name.

use super::regions::{placed, resolve};
use super::sections::{PseudoLabelSection, TrainSection};
use crate::source::Named;
use crate::spec::{At, Node, SpecError};
use crate::train::objective::Term;

/// Checks the regions of a pipeline and what they are trained with; `root` says their places.
pub(super) fn check(
    train: &TrainSection,
    pseudo_label: Option<&(PseudoLabelSection, At)>,
    root: Node<'_>,
    errors: &mut Vec<SpecError>,
) {
    let node = root.given("train").and_then(|train| train.get("regions"));
    let (Some(Named(regions)), Some(node)) = (&train.regions, node) else {
        return;
    };
    if regions.is_empty() {
        errors.push(
            SpecError::new(node.at(), "`train.regions` names no region")
                .with_help("remove it, or write `regions: { whole_tumour: [edema, enhancing] }`"),
        );
    }
    // Fewer classes are refused with the classes.
    if train.classes.len() >= 2 {
        let (_, problems) = resolve(regions, &train.classes);
        errors.extend(problems.into_iter().map(|problem| placed(problem, node)));
    }
    trained_with(train, pseudo_label, root, errors);
}

/// Refuses what learns from probabilities over classes: regions have none.
fn trained_with(
    train: &TrainSection,
    pseudo_label: Option<&(PseudoLabelSection, At)>,
    root: Node<'_>,
    errors: &mut Vec<SpecError>,
) {
    const HELP: &str = "regions are learnt by `supervised`, also with `csc`; leave this out, or leave `regions` out and train on `classes`";
    let objective = root.given("train").and_then(|train| train.get("objective"));
    let ramps = train.objective.ramps();
    let given = Term::ALL.into_iter().filter(|term| ramps[*term].is_some());
    for term in given.filter(|term| !matches!(term, Term::Supervised | Term::Csc)) {
        let entries = objective.into_iter().flat_map(Node::entries);
        let key = entries
            .map(|(key, _)| key)
            .find(|key| key.text() == Some(term.name()));
        let problem = format!(
            "`objective.{}` compares probabilities of classes that exclude each other, and `train.regions` overlap",
            term.name()
        );
        errors.push(SpecError::new(key.map(Node::at), problem).with_help(HELP));
    }
    if let Some((_, at)) = pseudo_label {
        let problem =
            "`pseudo_label` draws one class a voxel by its threshold, and `train.regions` overlap";
        errors.push(SpecError::new(*at, problem).with_help(HELP));
    }
    let supervised = &train.objective.supervised;
    if supervised.as_ref().is_some_and(|s| s.include_background) {
        let node = objective.and_then(|o| o.get("supervised")?.get("include_background"));
        let problem = "`include_background` counts a class that no region has";
        errors.push(
            SpecError::new(node.map(Node::at), problem)
                .with_help("leave it out: each region is held against everything outside of it"),
        );
    }
    if supervised.is_none() {
        let problem =
            "`train.regions` are learnt by `objective.supervised` alone, which is not given";
        errors.push(
            SpecError::new(objective.map(Node::at), problem).with_help("add `supervised: {}`"),
        );
    }
}
