//! Which subject is looked at, and the names of its classes.

use crate::error::Error;
use crate::plan::Plan;
use crate::source::{Cohort, SubjectRecord};
use crate::spec::suggest;
use crate::view::Page;
use crate::view::contour::{IGNORED_CLASS, colour};
use crate::volume::Split;
use std::collections::BTreeSet;

/// Position of the subject that was asked for, or of one that shows most.
///
/// **Errors** if there is no such subject, with the nearest name, or the cohort is empty.
pub(in crate::cli) fn choose(cohort: &dyn Cohort, wanted: Option<&str>) -> Result<usize, Error> {
    let subjects = cohort.subjects();
    match wanted {
        Some(id) => subjects.iter().position(|s| s.id == id).ok_or_else(|| {
            let ids: Vec<&str> = subjects.iter().map(|s| &*s.id).collect();
            unknown_subject(id, &ids)
        }),
        None => {
            let labelled = |s: &&SubjectRecord| {
                s.split == Split::Train
                    && s.labelled
                    && s.images.iter().all(|i| i.location.is_some())
            };
            let first = subjects.iter().find(labelled).or(subjects.first());
            let first = first.and_then(|first| subjects.iter().position(|s| s.id == first.id));
            first.ok_or_else(|| Error::run("the cohort has no subject; look at `source`"))
        }
    }
}

/// The error for a subject that is not there.
pub(super) fn unknown_subject(id: &str, ids: &[&str]) -> Error {
    const LISTED: usize = 12;
    let hint = suggest(id, ids);
    let hint = match hint.starts_with("did you mean") || ids.len() <= LISTED {
        true => hint,
        false => {
            let first = suggest("", &ids[..LISTED]);
            format!("{first} or {} more", ids.len() - LISTED)
        }
    };
    Error::run(format!("unknown subject `{id}`; {hint}"))
}

/// Names and colours of classes: those of `train.classes`, unless a step gives classes other
/// numbers on the way.
pub(super) fn legend(page: &mut Page, plan: &Plan, classes: &BTreeSet<u16>) {
    let renumbered = plan.pipeline.stages.iter().any(|s| s.stage.relabels());
    let train = plan.pipeline.train.as_ref().filter(|_| !renumbered);
    let names = train.map_or(&[][..], |(train, _)| &train.classes);
    for class in classes {
        let name = match names.get(usize::from(*class)) {
            Some(name) => name.clone(),
            None if *class == IGNORED_CLASS => "not annotated".to_owned(),
            None => format!("class {class}"),
        };
        page.legend
            .extend(colour(*class).map(|colour| (name, colour)));
    }
}
