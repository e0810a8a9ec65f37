//! The section `train.regions`: overlapping unions of classes, as written, and resolved to class numbers.

use crate::source::Named;
use crate::spec::{Node, SpecError};
use crate::volume::LabelRegion;
use crate::volume::region::paint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A class by its name or number in `train.classes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected the name or number of a class")]
pub enum ClassName {
    /// Its number; the background is 0.
    Number(i64),
    /// Its name.
    Name(String),
}

/// The classes of a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected the classes of a region, such as [necrosis, enhancing], or { classes: [necrosis, enhancing], paints: necrosis }"
)]
pub enum RegionSection {
    /// Names or numbers of classes.
    Classes(Vec<ClassName>),
    /// A single class.
    Class(ClassName),
    /// Classes, and which of them the region paints.
    Painted(PaintedRegion),
}

/// A region that says what it paints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaintedRegion {
    /// Names or numbers of classes.
    pub classes: Vec<ClassName>,
    /// The class that voxels of the region get in a label map; needed only where later regions hold all of its classes.
    pub paints: ClassName,
}

impl RegionSection {
    pub(super) fn classes(&self) -> &[ClassName] {
        match self {
            Self::Classes(classes) | Self::Painted(PaintedRegion { classes, .. }) => classes,
            Self::Class(class) => std::slice::from_ref(class),
        }
    }

    fn paints(&self) -> Option<&ClassName> {
        match self {
            Self::Painted(region) => Some(&region.paints),
            Self::Classes(_) | Self::Class(_) => None,
        }
    }
}

/// What is wrong with a region.
#[derive(Debug)]
pub(super) struct Problem {
    /// Position of the region; `None` for all of them.
    pub(super) region: Option<usize>,
    pub(super) place: Place,
    /// What was found.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
}

/// Part of a region that a problem concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Region,
    /// Class at this position in the list.
    Class(usize),
    Paints,
}

/// A problem at the innermost node it concerns.
pub(super) fn placed(problem: Problem, regions: Node<'_>) -> SpecError {
    let entry = problem.region.and_then(|i| regions.entries().nth(i));
    let at = match (entry, problem.place) {
        (None, _) => regions.at(),
        (Some((key, _)), Place::Region) => key.at(),
        (Some((_, node)), Place::Class(i)) => {
            let list = node.get("classes").unwrap_or(node);
            list.items().nth(i).unwrap_or(list).at()
        }
        (Some((_, node)), Place::Paints) => node.get("paints").unwrap_or(node).at(),
    };
    SpecError::new(at, problem.message).with_help(problem.help)
}

/// The regions of `train.regions` by the numbers of `train.classes`, in the order in which they are painted;
/// none without a section.
///
/// **Panics** if the section was not checked: every plan's was.
pub fn resolved(section: Option<&Named<RegionSection>>, classes: &[String]) -> Vec<LabelRegion> {
    let Some(Named(regions)) = section else {
        return Vec::new();
    };
    let (resolved, problems) = resolve(regions, classes);
    assert!(
        problems.is_empty(),
        "a plan holds checked regions: {problems:?}"
    );
    resolved
}

/// What is wrong with the name of the region at a position.
pub(super) fn name_problem(position: usize, name: &str, classes: &[String]) -> Option<Problem> {
    let message = match name.trim().is_empty() {
        true => "a region without a name".to_owned(),
        false if classes.iter().any(|class| class == name) => {
            format!("`{name}` is also the name of a class")
        }
        false => return None,
    };
    Some(Problem {
        region: Some(position),
        place: Place::Region,
        message,
        help: "scores are listed by name; name regions and classes differently, such as `enhancing_tumour` and `enhancing`".to_owned(),
    })
}

/// The class numbers of a region, ascending, and what is wrong with them.
pub(super) fn numbers(
    position: usize,
    region: &[ClassName],
    classes: &[String],
    problems: &mut Vec<Problem>,
) -> Vec<u8> {
    let mut numbers = BTreeSet::new();
    let mut refuse = |place, message: String, help: String| {
        problems.push(Problem {
            region: Some(position),
            place,
            message,
            help,
        });
    };
    for (i, class) in region.iter().enumerate() {
        match number(class, classes) {
            Err((message, help)) => refuse(Place::Class(i), message, help),
            Ok(0) => refuse(
                Place::Class(i),
                "the background is in no region".to_owned(),
                "leave it out: what is in no region is background".to_owned(),
            ),
            Ok(number) if !numbers.insert(number) => refuse(
                Place::Class(i),
                format!("class `{}` is listed twice", classes[usize::from(number)]),
                "list each class of a region once".to_owned(),
            ),
            Ok(_) => {}
        }
    }
    if region.is_empty() {
        refuse(
            Place::Region,
            "a region without a class".to_owned(),
            format!("list classes: `[{}]`", classes[1..].join(", ")),
        );
    }
    numbers.into_iter().collect()
}

/// Number of a class; message and help if there is none of that name or number.
fn number(class: &ClassName, classes: &[String]) -> Result<u8, (String, String)> {
    let names: Vec<&str> = classes.iter().map(String::as_str).collect();
    let found = match class {
        ClassName::Name(name) => classes.iter().position(|class| class == name),
        ClassName::Number(number) => usize::try_from(*number).ok().filter(|n| *n < classes.len()),
    };
    let unknown = || match class {
        ClassName::Name(name) => (
            format!("unknown class `{name}`"),
            crate::spec::suggest(name, &names),
        ),
        ClassName::Number(number) => (
            format!("there is no class {number}"),
            format!("the classes have the numbers 0 to {}", classes.len() - 1),
        ),
    };
    found.and_then(|n| u8::try_from(n).ok()).ok_or_else(unknown)
}

/// Regions with their numbers, and everything that is wrong with them.
pub(super) fn resolve(
    regions: &[(String, RegionSection)],
    classes: &[String],
) -> (Vec<LabelRegion>, Vec<Problem>) {
    let mut problems = Vec::new();
    for (position, (name, _)) in regions.iter().enumerate() {
        problems.extend(name_problem(position, name, classes));
    }
    let all: Vec<Vec<u8>> = (regions.iter().enumerate())
        .map(|(position, (_, region))| numbers(position, region.classes(), classes, &mut problems))
        .collect();
    // Without a mistake so far every region has a class, and what it paints is defined.
    let mut resolved = Vec::new();
    if problems.is_empty() {
        for (position, (name, region)) in regions.iter().enumerate() {
            match paints(position, region, &all, classes) {
                Ok(paints) => resolved.push(LabelRegion {
                    name: name.clone(),
                    classes: all[position].clone(),
                    paints,
                }),
                Err((place, message, help)) => problems.push(Problem {
                    region: Some(position),
                    place,
                    message,
                    help,
                }),
            }
        }
    }
    if problems.is_empty() {
        problems.extend(left_out(&resolved, classes));
    }
    (resolved, problems)
}

/// The class that a region paints.
///
/// **Law** The class that no later region holds. Where two are left, a label map could not tell them apart;
/// where none is left, the author says which.
fn paints(
    position: usize,
    region: &RegionSection,
    all: &[Vec<u8>],
    classes: &[String],
) -> Result<u8, (Place, String, String)> {
    let later = |class: &u8| all[position + 1..].iter().any(|r| r.contains(class));
    let own: Vec<u8> = all[position]
        .iter()
        .copied()
        .filter(|c| !later(c))
        .collect();
    let name = |class: u8| &classes[usize::from(class)];
    let said = region.paints().map(|class| number(class, classes));
    let said = said.transpose();
    let said = said.map_err(|(message, help)| (Place::Paints, message, help))?;
    match (&own[..], said) {
        ([one, two, ..], _) => Err((
            Place::Region,
            format!(
                "this is the last region of both `{}` and `{}`, so a label map cannot tell them apart",
                name(*one),
                name(*two)
            ),
            "give one of them a region of its own behind this one, list regions that contain others first, or make them one class with `source.labels.map`".to_owned(),
        )),
        ([own], Some(said)) if *own != said => Err((
            Place::Paints,
            format!(
                "this is the last region of `{}`, so a voxel of it would be painted as `{}`",
                name(*own),
                name(said)
            ),
            format!("write `paints: {}`, or leave `paints` out", name(*own)),
        )),
        ([own], _) => Ok(*own),
        ([], Some(said)) if all[position].contains(&said) => Ok(said),
        ([], Some(said)) => Err((
            Place::Paints,
            format!("`{}` is not in the region", name(said)),
            "write one of its classes".to_owned(),
        )),
        ([], None) => Err((
            Place::Region,
            "every class of this region is in a later one, so what it paints is not defined".to_owned(),
            "list regions that contain others first; or write what voxels of this region alone become: `{ classes: […], paints: CLASS }`".to_owned(),
        )),
    }
}

/// Classes in no region: they would be learnt as background.
fn left_out(regions: &[LabelRegion], classes: &[String]) -> Option<Problem> {
    let is_out = |class: &usize| {
        let class = u8::try_from(*class).unwrap_or(u8::MAX);
        paint(regions, |position| regions[position].contains(class)) == 0
    };
    let out: Vec<String> = (1..classes.len())
        .filter(is_out)
        .map(|class| format!("`{}`", classes[class]))
        .collect();
    (!out.is_empty()).then(|| Problem {
        region: None,
        place: Place::Region,
        message: format!(
            "{} is in no region and would be learnt as background",
            out.join(", ")
        ),
        help: "add a region for it, or make it background with `source.labels.map: { VALUE: 0 }`"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests;
