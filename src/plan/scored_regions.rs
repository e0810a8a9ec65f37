//! The regions of `score`: unions of classes that are scored beside what a network was trained on.
//!
//! **Source** Brain tumour segmentation challenge (Menze et al., IEEE TMI 34, 2015): networks may learn classes,
//! and unions of them are compared.

use super::regions::{
    self, ClassName, Place, Problem, RegionSection, name_problem, numbers, placed,
};
use crate::metric::ClassUnion;
use crate::source::Named;
use crate::spec::diagnostic::diagnostics;
use crate::spec::node::Document;
use crate::spec::{Diagnostic, Node, SourceFile, SpecError};
use crate::volume::LabelRegion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The classes of a region that is scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected the classes of a region, such as [edema, enhancing], or one class"
)]
pub enum ScoredRegion {
    /// Names or numbers of classes.
    Classes(Vec<ClassName>),
    /// A single class.
    Class(ClassName),
}

impl ScoredRegion {
    fn classes(&self) -> &[ClassName] {
        match self {
            Self::Classes(classes) => classes,
            Self::Class(class) => std::slice::from_ref(class),
        }
    }
}

/// The regions by the numbers of `classes`, and everything that is wrong with them. A region that the network
/// was trained on under the same name is scored already and left out; `trained` are those.
fn resolve(
    regions: &[(String, ScoredRegion)],
    classes: &[String],
    trained: &[LabelRegion],
) -> (Vec<ClassUnion>, Vec<Problem>) {
    let (mut unions, mut problems) = (Vec::new(), Vec::new());
    for (position, (name, region)) in regions.iter().enumerate() {
        problems.extend(name_problem(position, name, classes));
        let before = problems.len();
        let numbers = numbers(position, region.classes(), classes, &mut problems);
        match trained.iter().find(|t| t.name == *name) {
            Some(same) if same.classes == numbers => {}
            // What the classes are is not known where one of them is wrong.
            Some(_) if problems.len() > before => {}
            Some(other) => problems.push(Problem {
                region: Some(position),
                place: Place::Region,
                message: format!("the network is trained on a region `{name}` of other classes"),
                help: format!(
                    "give it another name, or its classes: `{name}: [{}]`",
                    listed(&other.classes, classes)
                ),
            }),
            None => unions.push(ClassUnion {
                name: name.clone(),
                classes: numbers,
            }),
        }
    }
    (unions, problems)
}

/// Names of classes by their numbers.
fn listed(numbers: &[u8], classes: &[String]) -> String {
    let names = numbers.iter().map(|n| classes[usize::from(*n)].as_str());
    names.collect::<Vec<_>>().join(", ")
}

/// The node of the section in a file.
fn node(root: Node<'_>) -> Option<Node<'_>> {
    root.given("score")?.get("regions")
}

/// Classes and regions that are trained on.
pub(super) type Trained<'a> = (&'a [String], Option<&'a Named<RegionSection>>);

/// Checks the regions that are scored, those of a training against its classes; `root` says their places.
pub(super) fn check(
    section: &Named<ScoredRegion>,
    train: Option<Trained<'_>>,
    root: Node<'_>,
    errors: &mut Vec<SpecError>,
) {
    let Some(node) = node(root) else { return };
    let Named(regions) = section;
    if regions.is_empty() {
        errors.push(
            SpecError::new(node.at(), "`score.regions` names no region")
                .with_help("remove it, or write `regions: { whole_tumour: [edema, enhancing] }`"),
        );
    }
    // Classes of a prediction are those of its checkpoint. Fewer are refused with the classes.
    if let Some((classes, trained)) = train.filter(|(classes, _)| classes.len() >= 2) {
        let trained = trained.map(|Named(trained)| regions::resolve(trained, classes).0);
        let (_, problems) = resolve(regions, classes, &trained.unwrap_or_default());
        errors.extend(problems.into_iter().map(|problem| placed(problem, node)));
    }
}

/// The regions of `score.regions` beside those that a network was trained on, by the numbers of the network's
/// classes; none without the section. `file` says their places.
///
/// **Errors** every name that does not fit the network, at its place in the file.
pub(super) fn scored(
    file: &SourceFile,
    section: Option<&Named<ScoredRegion>>,
    classes: &[String],
    trained: &[LabelRegion],
) -> Result<Vec<ClassUnion>, Vec<Diagnostic>> {
    let Some(Named(regions)) = section else {
        return Ok(Vec::new());
    };
    let (unions, problems) = resolve(regions, classes, trained);
    if problems.is_empty() {
        return Ok(unions);
    }
    let document = Document::parse(&file.text);
    let document = document.map_err(|error| diagnostics(file, vec![error]))?;
    let place = |problem: Problem| match node(document.root()) {
        Some(node) => placed(problem, node),
        None => SpecError::new(None, problem.message).with_help(problem.help),
    };
    let errors = problems.into_iter().map(place).collect();
    Err(diagnostics(file, errors))
}

#[cfg(test)]
mod tests;
