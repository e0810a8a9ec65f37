//! Who is trained on, who chooses the checkpoint, who is scored, and whose labels are used.
//!
//! Counts are filled by rank: subjects are ordered by blake3(seed, id). A split therefore depends
//! on ids alone, never on the order of files, and growing a part never changes who was in it.

use super::SubjectRecord;
use crate::volume::Split;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Divides a cohort into training, validation and test, and says who keeps labels.
///
/// **Law** Lists are placed first. Then counts are filled in the order test, validation, train,
/// each with the next subjects by rank; test and validation take only subjects with labels, as they
/// are scored. Without `train` all others are trained on; with it, others are not used. Subjects
/// that the manifest itself places in validation or test stay there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitSpec {
    /// Seed of the ranks; another seed gives another split. Independent of the pipeline's seed.
    #[serde(default)]
    pub seed: u64,
    /// Subjects to train on; default: all that are in no other part.
    #[serde(default)]
    pub train: Option<SplitPart>,
    /// Subjects that choose the best checkpoint; default: none.
    #[serde(default)]
    pub validation: Option<SplitPart>,
    /// Subjects scored once at the end; default: none.
    #[serde(default)]
    pub test: Option<SplitPart>,
    /// Training subjects whose labels are used; the label files of all others are never opened.
    /// Default: all that have labels. A larger count contains every smaller one.
    #[serde(default)]
    pub labelled: Option<SplitPart>,
}

/// A count of subjects, or a list of their ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a count such as 160, or a list of subject ids such as [\"s1\", \"s2\"]"
)]
pub enum SplitPart {
    /// So many subjects, by rank.
    Count(usize),
    /// These subjects.
    Subjects(Vec<String>),
}

/// Why a split cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// A listed subject is not in the cohort.
    #[error("`split.{part}` lists `{subject}`, which is not in the cohort{}", nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean `{n}`?")))]
    Unknown {
        /// The part that lists it.
        part: &'static str,
        /// The id.
        subject: String,
        /// The id most like it.
        nearest: Option<String>,
    },
    /// A subject in two parts, or twice in one.
    #[error("subject `{subject}` is in {first} and in {second}; keep it in one")]
    TwoParts {
        /// The id.
        subject: String,
        /// Where it is first.
        first: String,
        /// Where it is again.
        second: String,
    },
    /// A count larger than what is left.
    #[error("`split.{part}` asks for {wanted} subjects, {found} are left{condition}; lower it")]
    TooFew {
        /// The part.
        part: &'static str,
        /// How many it asks for.
        wanted: usize,
        /// How many there are.
        found: usize,
        /// Which subjects count, such as ` with labels`.
        condition: &'static str,
    },
    /// A subject that is to keep labels it does not have, or is not trained on.
    #[error("`split.labelled` lists `{subject}`, which {problem}")]
    NotLabelled {
        /// The id.
        subject: String,
        /// What it lacks and what to do.
        problem: &'static str,
    },
}

/// A subject before the split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// Its id.
    pub(super) id: &'a str,
    /// Where the manifest places it.
    pub(super) placed: Option<Split>,
    /// Whether it has labels that may be used.
    pub(super) has_labels: bool,
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
        problems
    }

    /// The split and whether labels are used, for each candidate; `None`: not used.
    pub(super) fn resolve(
        &self,
        candidates: &[Candidate<'_>],
    ) -> Result<Vec<Option<(Split, bool)>>, SplitError> {
        let index: BTreeMap<&str, usize> = candidates
            .iter()
            .enumerate()
            .map(|(i, c)| (c.id, i))
            .collect();
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
        let ranked = self.ranked("", candidates);
        for (split, part) in PARTS {
            let wanted = match self.part(split) {
                Some(SplitPart::Count(count)) => *count,
                None if split == Split::Train => {
                    places
                        .iter_mut()
                        .for_each(|p| *p = p.or(Some(Split::Train)));
                    continue;
                }
                _ => continue,
            };
            let scored = split != Split::Train;
            let free: Vec<usize> = ranked
                .iter()
                .copied()
                .filter(|&i| places[i].is_none() && (candidates[i].has_labels || !scored))
                .collect();
            if free.len() < wanted {
                let condition = if scored { " with labels" } else { "" };
                return Err(SplitError::TooFew {
                    part,
                    wanted,
                    found: free.len(),
                    condition,
                });
            }
            free[..wanted].iter().for_each(|&i| places[i] = Some(split));
        }
        let labelled = self.labelled(candidates, &places, &index)?;
        Ok(places
            .iter()
            .zip(labelled)
            .map(|(p, l)| p.map(|p| (p, l)))
            .collect())
    }

    fn labelled(
        &self,
        candidates: &[Candidate<'_>],
        places: &[Option<Split>],
        index: &BTreeMap<&str, usize>,
    ) -> Result<Vec<bool>, SplitError> {
        let eligible = |i: usize| places[i] == Some(Split::Train) && candidates[i].has_labels;
        let chosen: Vec<usize> = match &self.labelled {
            None => (0..candidates.len()).filter(|&i| eligible(i)).collect(),
            Some(SplitPart::Count(wanted)) => {
                let mut ranked = self.ranked("labelled", candidates);
                ranked.retain(|&i| eligible(i));
                if ranked.len() < *wanted {
                    return Err(SplitError::TooFew {
                        part: "labelled",
                        wanted: *wanted,
                        found: ranked.len(),
                        condition: " in train with labels",
                    });
                }
                ranked.truncate(*wanted);
                ranked
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

    /// Positions of candidates by rank.
    fn ranked(&self, purpose: &str, candidates: &[Candidate<'_>]) -> Vec<usize> {
        let rank = |id: &str| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"voxstream split 1");
            hasher.update(&self.seed.to_le_bytes());
            hasher.update(&(purpose.len() as u64).to_le_bytes());
            hasher.update(purpose.as_bytes());
            hasher.update(id.as_bytes());
            *hasher.finalize().as_bytes()
        };
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_cached_key(|&i| (rank(candidates[i].id), candidates[i].id));
        order
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
