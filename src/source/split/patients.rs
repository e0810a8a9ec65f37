//! Subjects by patient, so that a split never shows one patient on both sides.

use super::candidate::Candidate;
use super::error::SplitError;
use crate::volume::Split;
use std::collections::BTreeMap;

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

/// Positions of subjects by patient.
pub(super) struct Patients<'a>(BTreeMap<Owner<'a>, Vec<usize>>);

impl<'a> Patients<'a> {
    pub(super) fn new(candidates: &[Candidate<'a>]) -> Self {
        let mut patients: BTreeMap<Owner<'a>, Vec<usize>> = BTreeMap::new();
        for (i, candidate) in candidates.iter().enumerate() {
            let itself = Owner::Subject(candidate.id);
            let owner = candidate.patient.map_or(itself, Owner::Patient);
            patients.entry(owner).or_default().push(i);
        }
        Self(patients)
    }

    /// What a count of these counts.
    pub(super) fn what(&self) -> &'static str {
        let named = |owner: &Owner<'_>| matches!(owner, Owner::Patient(_));
        match self.0.keys().any(named) {
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
        for (owner, members) in &self.0 {
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
        for members in self.0.values() {
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
        let mut order: Vec<(&Owner<'_>, &[usize])> = self
            .0
            .iter()
            .map(|(owner, members)| (owner, members.as_slice()))
            .collect();
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
