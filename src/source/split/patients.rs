//! Subjects by patient, so that a split never shows one patient on both sides.

use super::candidate::Candidate;
use super::error::SplitError;
use crate::volume::Split;
use std::ops::Range;

/// Who a subject belongs to: a patient that its source names, or itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    Patient(&'a str),
    Subject(&'a str),
}

impl Owner<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Patient(name) | Self::Subject(name) => name,
        }
    }
}

/// Positions of subjects by patient, without an allocation a patient: most have one subject.
pub(super) struct Patients<'a> {
    /// Owners in order, each with where its subjects stand in `members`.
    owners: Vec<(Owner<'a>, Range<usize>)>,
    /// Positions of subjects, ascending for each owner.
    members: Vec<usize>,
}

impl<'a> Patients<'a> {
    pub(super) fn new(candidates: &[Candidate<'a>]) -> Self {
        let owner = |i: usize| {
            let itself = Owner::Subject(candidates[i].id);
            candidates[i].patient.map_or(itself, Owner::Patient)
        };
        let mut members: Vec<usize> = (0..candidates.len()).collect();
        members.sort_by(|a, b| owner(*a).cmp(&owner(*b)));
        let mut owners: Vec<(Owner<'a>, Range<usize>)> = Vec::with_capacity(members.len());
        for (at, member) in members.iter().enumerate() {
            let owner = owner(*member);
            match owners.last_mut() {
                Some((last, range)) if *last == owner => range.end = at + 1,
                _ => owners.push((owner, at..at + 1)),
            }
        }
        Self { owners, members }
    }

    /// Patients in order, each with its subjects.
    fn iter(&self) -> impl Iterator<Item = (&Owner<'a>, &[usize])> {
        let owners = self.owners.iter();
        owners.map(|(owner, range)| (owner, &self.members[range.clone()]))
    }

    /// What a count of these counts.
    pub(super) fn what(&self) -> &'static str {
        let named = |(owner, _): (&Owner<'_>, &[usize])| matches!(owner, Owner::Patient(_));
        match self.iter().any(named) {
            true => "patients",
            false => "subjects",
        }
    }

    /// **Errors** if subjects of one patient are in different parts.
    pub(super) fn check(
        &self,
        candidates: &[Candidate<'_>],
        places: &[Option<Split>],
    ) -> Result<(), SplitError> {
        for (owner, members) in self.iter() {
            let mut placed = members.iter().filter_map(|&i| Some((i, places[i]?)));
            let Some((first, part)) = placed.next() else {
                continue;
            };
            if let Some((other, apart)) = placed.find(|(_, place)| *place != part) {
                return Err(SplitError::PatientApart {
                    patient: owner.name().to_owned(),
                    subjects: [first, other].map(|i| candidates[i].id.to_owned()),
                    parts: [part.name(), apart.name()],
                });
            }
        }
        Ok(())
    }

    /// Places the subjects of patients that are placed in part beside the others. Returns which
    /// subjects are not used: those without labels that would join a part that is scored.
    pub(super) fn join(
        &self,
        candidates: &[Candidate<'_>],
        places: &mut [Option<Split>],
    ) -> Vec<bool> {
        let mut unused = vec![false; candidates.len()];
        for (_, members) in self.iter() {
            let Some(part) = members.iter().find_map(|&i| places[i]) else {
                continue;
            };
            for &i in members.iter().filter(|&&i| candidates[i].patient.is_some()) {
                match places[i] {
                    Some(_) => {}
                    None if part == Split::Train || candidates[i].has_labels => {
                        places[i] = Some(part);
                    }
                    None => unused[i] = true,
                }
            }
        }
        unused
    }

    /// Subjects of each patient, the patients by rank: blake3 of seed, purpose and name.
    pub(super) fn ranked(&self, seed: u64, purpose: &str) -> Vec<&[usize]> {
        let rank = |name: &str| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"voxstream split 1");
            hasher.update(&seed.to_le_bytes());
            hasher.update(&(purpose.len() as u64).to_le_bytes());
            hasher.update(purpose.as_bytes());
            hasher.update(name.as_bytes());
            *hasher.finalize().as_bytes()
        };
        let mut order: Vec<(&Owner<'_>, &[usize])> = self.iter().collect();
        order.sort_by_cached_key(|(owner, _)| (rank(owner.name()), **owner));
        order.into_iter().map(|(_, members)| members).collect()
    }
}

/// Patients none of whose subjects is placed or left out; for a part that is `scored`, those with labels.
pub(super) fn free<'a>(
    ranked: &[&'a [usize]],
    candidates: &[Candidate<'_>],
    (places, unused): (&[Option<Split>], &[bool]),
    scored: bool,
) -> Vec<&'a [usize]> {
    let is_free = |members: &&[usize]| {
        let used = |i: &usize| candidates[*i].has_labels || !scored;
        let free = members.iter().all(|i| places[*i].is_none() && !unused[*i]);
        free && members.iter().any(used)
    };
    ranked.iter().copied().filter(is_free).collect()
}
