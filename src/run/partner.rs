//! Chooses and makes the rows that mixing steps take voxels from.

use super::chain::{Chain, MixMode, Partners, Traced};
use super::failure::Failure;
use super::prepare::{Preparer, Reading};
use crate::draw::DrawKey;
use crate::stage::{StageError, SubjectFacts};
use crate::volume::Row;
use std::collections::BTreeMap;

/// Label state and modalities, which partners share.
type Kind = (bool, Vec<String>);

/// The subjects of a stream by what makes them partners.
#[derive(Debug, Default)]
pub struct Peers {
    alike: BTreeMap<Kind, Vec<usize>>,
    labelled: BTreeMap<bool, Vec<usize>>,
    kinds: BTreeMap<usize, Kind>,
}

impl Peers {
    /// The subjects of a stream; `facts` are those of all subjects of the cohort.
    pub fn new(subjects: &[usize], facts: &[SubjectFacts]) -> Self {
        let mut peers = Self::default();
        let mut sorted = subjects.to_vec();
        // Their order of arrival must not matter.
        sorted.sort_unstable();
        sorted.dedup();
        for subject in sorted {
            let Some(facts) = facts.get(subject) else {
                continue;
            };
            let kind = (facts.labelled, facts.modalities.clone());
            peers.alike.entry(kind.clone()).or_default().push(subject);
            let labelled = peers.labelled.entry(kind.0).or_default();
            labelled.push(subject);
            peers.kinds.insert(subject, kind);
        }
        peers
    }

    /// Other subjects with the same label state and modalities; those with the same label state
    /// where there are none.
    fn of(&self, subject: usize) -> Vec<usize> {
        let Some(kind) = self.kinds.get(&subject) else {
            return Vec::new();
        };
        let others = |all: Option<&Vec<usize>>| -> Vec<usize> {
            let all = all.into_iter().flatten();
            all.copied().filter(|other| *other != subject).collect()
        };
        let alike = others(self.alike.get(kind));
        match alike.is_empty() {
            true => others(self.labelled.get(&kind.0)),
            false => alike,
        }
    }
}

/// The way of one sample through chains, on which its partners are made.
pub struct Making<'a> {
    /// Prepares partners.
    pub preparer: &'a Preparer,
    /// Who may be a partner.
    pub peers: &'a Peers,
    /// The pipeline's seed.
    pub seed: u64,
    /// The subject that is mixed.
    pub subject: usize,
    /// How often it came before in this epoch.
    pub turn: u32,
    /// Chains that the row goes through, with the steps that run of each.
    pub route: Vec<(&'a Chain, std::ops::Range<usize>)>,
}

impl Partners for Making<'_> {
    fn partner(&self, row: &Row, path: &str, trace: &[u32]) -> Result<Row, StageError> {
        let key = DrawKey {
            seed: self.seed,
            epoch: row.epoch,
            subject: &row.subject,
            sample: row.sample,
        };
        let mut rng = key.rng(&format!("{path}.partner"));
        let mut peers = self.peers.of(self.subject);
        // A subject that cannot be used is none for anybody: whoever is left is drawn from.
        while !peers.is_empty() {
            let drawn = peers.swap_remove(rng.below(peers.len()));
            if let Ok(Some(row)) = self.made(drawn, row.epoch, trace) {
                return Ok(row);
            }
        }
        match self.made(self.subject, row.epoch, trace) {
            Ok(Some(row)) => Ok(row),
            Ok(None) => Err(StageError::input("no subject is left to mix with")),
            Err(failure) => Err(StageError::input(format!(
                "no subject is left to mix with: {} in {}: {}",
                failure.subject, failure.stage, failure.cause
            ))),
        }
    }
}

impl Making<'_> {
    /// The row of the partner that a record names, as it was when it was mixed into `row`; its own draws
    /// are made again from their keys.
    ///
    /// **Errors** if the cohort has no such subject any more, or it cannot be prepared.
    pub fn named(&self, subject: &str, row: &Row, trace: &[u32]) -> Result<Row, StageError> {
        let subjects = self.preparer.cohort().subjects();
        let Some(index) = subjects.iter().position(|s| s.id == subject) else {
            return Err(StageError::input(format!(
                "the row was mixed with `{subject}`, which the cohort does not have any more"
            )));
        };
        match self.made(index, row.epoch, trace) {
            Ok(Some(row)) => Ok(row),
            Ok(None) => Err(StageError::input(format!(
                "the row was mixed with `{subject}`, of which the steps leave no row now"
            ))),
            Err(failure) => Err(StageError::input(format!(
                "the row was mixed with `{subject}`, which cannot be made: {}: {}",
                failure.stage, failure.cause
            ))),
        }
    }

    /// A subject's row behind as many steps as `trace` has.
    fn made(&self, subject: usize, epoch: u64, trace: &[u32]) -> Result<Option<Row>, Failure> {
        let made = self
            .preparer
            .with_prepared(subject, epoch, Reading::Parts, |row| {
                self.made_of(row, trace)
            })?;
        Ok(made.flatten())
    }

    /// A prepared row behind as many steps as `trace` has; every voxel of it was read.
    fn made_of(&self, mut row: Row, trace: &[u32]) -> Result<Option<Row>, Failure> {
        row.sample = self.turn;
        let mut traced = Traced::new(row);
        for (chain, steps) in &self.route {
            let left = trace.len() - traced.trace.len();
            let steps = steps.start..steps.end.min(steps.start + left);
            let Some(first) = (chain.run_traced(traced, steps, MixMode::SkipMixing(trace))?)
                .into_iter()
                .next()
            else {
                return Ok(None);
            };
            traced = first;
        }
        let row = traced.row.materialised();
        row.check_bytes();
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Split;

    #[test]
    fn peers_are_labelled_alike_and_have_the_same_modalities_where_any_has() {
        let facts = |labelled, modalities: &[&str]| SubjectFacts {
            id: String::new(),
            cohort: String::new(),
            split: Split::Train,
            labelled,
            modalities: modalities.iter().map(|m| (*m).to_owned()).collect(),
        };
        let all = [
            facts(true, &["ct", "mr"]),
            facts(true, &["ct", "mr"]),
            facts(true, &["ct"]),
            facts(false, &["ct"]),
            facts(false, &["ct"]),
            facts(false, &["mr"]),
            facts(true, &["ct", "mr"]),
        ];
        // Balanced streams name a subject several times; the last is in another stream.
        let peers = Peers::new(&[5, 0, 1, 1, 2, 4, 3, 0], &all);
        let expected: [&[usize]; 7] = [&[1], &[0], &[0, 1], &[4], &[3], &[3, 4], &[]];
        for (subject, expected) in expected.into_iter().enumerate() {
            assert_eq!(peers.of(subject), expected, "{subject}");
        }
    }
}
