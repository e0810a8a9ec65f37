//! Who is trained on, who chooses the checkpoint, who is scored, and whose labels are used.
//!
//! Counts are filled by rank: subjects are ordered by blake3(seed, id). A split therefore depends
//! on ids alone, never on the order of files, and growing a part never changes who was in it.

mod candidate;
mod error;
mod folds;
mod patients;
mod spec;

pub use error::SplitError;
pub use folds::{Fold, Folds, fold_folder, fold_number};
pub use spec::{SplitPart, SplitSpec, Stratify};

pub(super) use candidate::Candidate;

use super::SubjectRecord;
use crate::volume::Split;
use candidate::WITH_LABELS;
use patients::{Patients, free};
use std::cell::LazyCell;
use std::collections::BTreeMap;

/// A split that was carried out.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The split and whether labels are used, for each candidate; `None`: not used.
    pub(super) places: Vec<Option<(Split, bool)>>,
    /// The folds, where there are some.
    pub(super) folds: Option<Folds>,
}

const PARTS: [(Split, &str); 3] = [
    (Split::Test, "test"),
    (Split::Validation, "validation"),
    (Split::Train, "train"),
];

impl SplitSpec {
    fn part(&self, split: Split) -> Option<&SplitPart> {
        match split {
            Split::Train => self.train.as_ref(),
            Split::Validation => self.validation.as_ref(),
            Split::Test => self.test.as_ref(),
        }
    }

    /// Problems that need no subject to be seen.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        let mut problems = Vec::new();
        for (split, name) in PARTS {
            for id in listed(self.part(split)) {
                if let Some(first) = seen.insert(id, name) {
                    problems.push(format!(
                        "subject `{id}` is in `split.{first}` and in `split.{name}`; keep it in one"
                    ));
                }
            }
        }
        if self.train == Some(SplitPart::Count(0)) {
            problems.push("`split.train` is 0; leave it out to train on all others".to_owned());
        }
        problems.extend(self.fold_problems());
        problems
    }

    /// Divides candidates.
    pub(super) fn resolve(&self, candidates: &[Candidate<'_>]) -> Result<Resolved, SplitError> {
        // Most splits name no subject; then a large cohort needs no index.
        let index = LazyCell::new(|| -> BTreeMap<&str, usize> {
            let candidates = candidates.iter().enumerate();
            candidates.map(|(i, c)| (c.id, i)).collect()
        });
        let patients = Patients::new(candidates);
        let placed: Vec<Option<Split>> = candidates.iter().map(|c| c.placed).collect();
        patients.check(candidates, &placed)?;
        let mut places: Vec<Option<Split>> = candidates
            .iter()
            .map(|c| c.placed.filter(|s| *s != Split::Train))
            .collect();
        for (split, name) in PARTS {
            for id in listed(self.part(split)) {
                let i = *index.get(id).ok_or_else(|| unknown(name, id, &index))?;
                if let Some(before) = places[i] {
                    return Err(SplitError::TwoParts {
                        subject: id.to_owned(),
                        first: match candidates[i].placed {
                            Some(placed) if placed == before => {
                                format!("the manifest's {}", before.name())
                            }
                            _ => format!("`split.{}`", before.name()),
                        },
                        second: format!("`split.{name}`"),
                    });
                }
                places[i] = Some(split);
            }
        }
        patients.check(candidates, &places)?;
        if let (Some(_), Some(i)) = (
            self.folds,
            places.iter().position(|p| *p == Some(Split::Validation)),
        ) {
            return Err(SplitError::PlacedValidation {
                subject: candidates[i].id.to_owned(),
            });
        }
        let mut unused = patients.join(candidates, &mut places);
        let ranked = LazyCell::new(|| patients.ranked(self.seed, ""));
        let mut folds = None;
        for (split, part) in PARTS {
            if split == Split::Validation && self.folds.is_some() {
                folds = self.place_fold(candidates, &patients, &mut places, &mut unused)?;
                continue;
            }
            let wanted = match self.part(split) {
                Some(SplitPart::Count(count)) => *count,
                None if split == Split::Train => {
                    let others = places
                        .iter_mut()
                        .zip(&unused)
                        .filter(|(_, unused)| !**unused);
                    others.for_each(|(p, _)| *p = p.or(Some(Split::Train)));
                    continue;
                }
                _ => continue,
            };
            let scored = split != Split::Train;
            let free = free(&ranked, candidates, (&places, &unused), scored);
            if free.len() < wanted {
                let condition = if scored { WITH_LABELS } else { "" };
                return Err(SplitError::TooFew {
                    part,
                    wanted,
                    what: patients.what(),
                    found: free.len(),
                    condition,
                });
            }
            for i in free[..wanted].iter().copied().flatten() {
                let is_used = candidates[*i].has_labels || !scored;
                places[*i] = is_used.then_some(split);
                unused[*i] = !is_used;
            }
        }
        let labelled = self.labelled(candidates, &places, &index, &patients)?;
        let places = places.iter().zip(labelled);
        Ok(Resolved {
            places: places.map(|(p, l)| p.map(|p| (p, l))).collect(),
            folds,
        })
    }

    fn labelled<'a, F: FnOnce() -> BTreeMap<&'a str, usize>>(
        &self,
        candidates: &[Candidate<'a>],
        places: &[Option<Split>],
        index: &LazyCell<BTreeMap<&'a str, usize>, F>,
        patients: &Patients<'_>,
    ) -> Result<Vec<bool>, SplitError> {
        let eligible = |i: usize| places[i] == Some(Split::Train) && candidates[i].has_labels;
        let chosen: Vec<usize> = match &self.labelled {
            None => (0..candidates.len()).filter(|&i| eligible(i)).collect(),
            Some(SplitPart::Count(wanted)) => {
                let mut ranked = patients.ranked(self.seed, "labelled");
                ranked.retain(|members| members.iter().any(|&i| eligible(i)));
                if ranked.len() < *wanted {
                    return Err(SplitError::TooFew {
                        part: "labelled",
                        wanted: *wanted,
                        what: patients.what(),
                        found: ranked.len(),
                        condition: " in train with labels",
                    });
                }
                let chosen = ranked[..*wanted].iter().copied().flatten().copied();
                chosen.filter(|&i| eligible(i)).collect()
            }
            Some(SplitPart::Subjects(ids)) => ids
                .iter()
                .map(|id| {
                    let i = *index
                        .get(id.as_str())
                        .ok_or_else(|| unknown("labelled", id, index))?;
                    if eligible(i) {
                        return Ok(i);
                    }
                    let problem = if places[i] == Some(Split::Train) {
                        "has no labels; add its label file or take it off the list"
                    } else {
                        "is not trained on; add it to `split.train` or take it off the list"
                    };
                    Err(SplitError::NotLabelled {
                        subject: id.clone(),
                        problem,
                    })
                })
                .collect::<Result<_, _>>()?,
        };
        let mut labelled = vec![false; candidates.len()];
        chosen.into_iter().for_each(|i| labelled[i] = true);
        Ok(labelled)
    }
}

fn listed(part: Option<&SplitPart>) -> impl Iterator<Item = &str> {
    let ids = match part {
        Some(SplitPart::Subjects(ids)) => ids.as_slice(),
        _ => &[],
    };
    ids.iter().map(String::as_str)
}

fn unknown(part: &'static str, id: &str, index: &BTreeMap<&str, usize>) -> SplitError {
    let nearest = index
        .keys()
        .map(|known| (strsim::damerau_levenshtein(id, known), *known))
        .min()
        .filter(|(distance, _)| *distance <= 1 + id.len() / 3);
    SplitError::Unknown {
        part,
        subject: id.to_owned(),
        nearest: nearest.map(|(_, known)| known.to_owned()),
    }
}

/// Digest of a resolved split: who is where, and whose labels are used.
pub fn digest(subjects: &[SubjectRecord]) -> String {
    let mut hasher = blake3::Hasher::new();
    for subject in subjects {
        hasher.update(&(subject.id.len() as u64).to_le_bytes());
        hasher.update(subject.id.as_bytes());
        hasher.update(subject.split.name().as_bytes());
        hasher.update(&[u8::from(subject.labelled)]);
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests;
