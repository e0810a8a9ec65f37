//! The parts of a cross-validation.

use super::candidate::{Candidate, WITH_LABELS};
use super::error::SplitError;
use super::patients::{Patients, free};
use super::spec::{SplitSpec, Stratify};
use crate::volume::Split;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The folds of a cross-validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Folds {
    /// The fold that validates, from 0.
    pub chosen: usize,
    /// What the folds are stratified by.
    pub stratify: Stratify,
    /// What is counted: `patients`, or `subjects` where the source names no patient.
    pub what: &'static str,
    /// The folds in order.
    pub parts: Vec<Fold>,
}

/// One fold: who is validated on if it is chosen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fold {
    /// Ids of its subjects with labels, sorted.
    pub validation: Vec<String>,
    /// Its patients, or subjects where the source names no patient.
    pub patients: usize,
    /// Subjects that are trained on if this fold validates.
    pub train: usize,
    /// How many of its patients belong to each stratum, by the stratum's name.
    pub strata: BTreeMap<String, usize>,
}

const FOLDER: &str = "fold_";

/// Name of the run folder of a fold in its group's folder.
pub fn fold_folder(fold: usize) -> String {
    format!("{FOLDER}{fold}")
}

/// The fold whose run folder has this path; `None` if its name is another's.
pub fn fold_number(path: &Path) -> Option<usize> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(FOLDER)?.parse().ok()
}

/// The stratum of a patient: the traits of all its subjects, joined.
fn stratum(members: &[usize], candidates: &[Candidate<'_>]) -> String {
    let traits = members.iter().flat_map(|&i| candidates[i].traits);
    let traits: BTreeSet<&str> = traits.map(String::as_str).collect();
    traits.into_iter().collect::<Vec<_>>().join(" + ")
}

/// The fold of each patient; `patients` are in the order of their ranks.
///
/// **Law** Strata are dealt one after the other, small ones first, ties by name. Each patient goes to
/// the fold with the fewest patients of its stratum, then the fewest scored subjects, then the lowest
/// number: patients of a stratum are spread evenly, up to one.
pub(super) fn deal(
    patients: &[&[usize]],
    candidates: &[Candidate<'_>],
    count: usize,
) -> (Vec<usize>, Vec<Fold>) {
    let mut strata: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (patient, members) in patients.iter().enumerate() {
        let name = stratum(members, candidates);
        strata.entry(name).or_default().push(patient);
    }
    let mut order: Vec<(String, Vec<usize>)> = strata.into_iter().collect();
    order.sort_by_key(|(_, members)| members.len());
    let mut folds = vec![Fold::default(); count];
    let mut of_patient = vec![0; patients.len()];
    for (name, members) in order {
        let mut dealt = vec![0; count];
        for patient in members {
            let load = |fold: &usize| (dealt[*fold], folds[*fold].validation.len(), *fold);
            let fold = (0..count).min_by_key(load).unwrap_or_default();
            of_patient[patient] = fold;
            dealt[fold] += 1;
            let scored = patients[patient].iter().map(|&i| &candidates[i]);
            let scored = scored.filter(|c| c.has_labels).map(|c| c.id.to_owned());
            folds[fold].validation.extend(scored);
            folds[fold].patients += 1;
        }
        for (fold, n) in folds.iter_mut().zip(dealt).filter(|(_, n)| *n > 0) {
            fold.strata.insert(name.clone(), n);
        }
    }
    folds.iter_mut().for_each(|fold| fold.validation.sort());
    (of_patient, folds)
}

impl SplitSpec {
    /// Problems of the keys about folds that need no subject to be seen.
    pub(super) fn fold_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let Some(folds) = self.folds else {
            let given = [
                ("fold", self.fold.is_some()),
                ("stratify", self.stratify.is_some()),
            ];
            for (key, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
                problems.push(format!(
                    "`split.{key}` is given without `split.folds`; write `folds: 5`, or remove it"
                ));
            }
            return problems;
        };
        if folds < 2 {
            problems.push(format!(
                "`split.folds` is {folds}; a cross-validation has at least 2 folds: write `folds: 5`"
            ));
        } else if let Some(fold) = self.fold.filter(|fold| *fold >= folds) {
            problems.push(format!(
                "`split.fold` is {fold}; the {folds} folds are 0 to {}",
                folds - 1
            ));
        }
        let parts = [("train", &self.train), ("validation", &self.validation)];
        for (name, _) in parts.into_iter().filter(|(_, part)| part.is_some()) {
            problems.push(format!(
                "`split.{name}` and `split.folds` are given, but folds say who is trained on and who validates; remove one of them"
            ));
        }
        problems
    }

    /// Deals those that are in no part to folds, and places the chosen one in validation.
    pub(super) fn place_fold(
        &self,
        candidates: &[Candidate<'_>],
        patients: &Patients<'_>,
        places: &mut [Option<Split>],
        unused: &mut [bool],
    ) -> Result<Option<Folds>, SplitError> {
        let Some(count) = self.folds else {
            return Ok(None);
        };
        let ranked = patients.ranked(self.seed, "folds");
        let free = free(&ranked, candidates, (places, unused), true);
        if free.len() < count {
            return Err(SplitError::TooFew {
                part: "folds",
                wanted: count,
                what: patients.what(),
                found: free.len(),
                condition: WITH_LABELS,
            });
        }
        let (of_patient, mut parts) = deal(&free, candidates, count);
        let trained = |p: &Option<Split>| p.is_none_or(|p| p == Split::Train);
        let pool = places.iter().zip(&*unused);
        let pool = pool.filter(|(p, unused)| trained(p) && !**unused).count();
        parts.iter_mut().for_each(|fold| fold.train = pool);
        let chosen = self.fold.unwrap_or_default();
        for (members, fold) in free.iter().zip(of_patient) {
            parts[fold].train -= members.len();
            for &i in members.iter().filter(|_| fold == chosen) {
                let is_used = candidates[i].has_labels;
                places[i] = is_used.then_some(Split::Validation);
                unused[i] = !is_used;
            }
        }
        Ok(Some(Folds {
            chosen,
            stratify: self.stratify.unwrap_or_default(),
            what: patients.what(),
            parts,
        }))
    }
}
