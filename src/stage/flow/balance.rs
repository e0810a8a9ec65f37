//! Reads rare kinds of subjects as often as common ones.

use crate::draw::SampleRng;
use crate::stage::{Order, SubjectFacts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Reads every kind of subject equally often in an epoch, however many subjects it has.
///
/// **Law** an epoch has as many turns as there are subjects. `n` turns of `k` kinds give each kind
/// `n / k`, and the rest one more to kinds drawn at random; every `k` turns in a row hold one of
/// each. Within a kind, subjects are read in drawn orders, each once before any comes again: those of
/// rare kinds several times an epoch, with other draws each time, those of common ones not in
/// every epoch. A `shuffle` before this step changes nothing, one behind it mixes the kinds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// What makes a kind.
    pub by: By,
}

/// What makes a kind of subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The cohort a subject comes from.
    Cohort,
    /// Whether its labels are used.
    Labelled,
    /// Which modalities it has.
    Modalities,
}

impl By {
    fn kind(self, subject: &SubjectFacts) -> String {
        match self {
            Self::Cohort => subject.cohort.clone(),
            Self::Labelled => subject.labelled.to_string(),
            Self::Modalities => subject.modalities.join(" "),
        }
    }
}

impl Order for Balance {
    const NAME: &'static str = "balance";
    const EXAMPLE: &'static str = "{ by: cohort }";

    fn order(&self, rng: &mut SampleRng, subjects: &mut [usize], facts: &[SubjectFacts]) {
        let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for &subject in subjects.iter() {
            let kind = kinds.entry(self.by.kind(&facts[subject])).or_default();
            kind.push(subject);
        }
        // The order in which subjects arrive must not matter, nor must a subject count twice.
        let mut kinds: Vec<Vec<usize>> = kinds.into_values().collect();
        for kind in &mut kinds {
            kind.sort_unstable();
            kind.dedup();
        }
        let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); kinds.len()];
        for turns in subjects.chunks_mut(kinds.len().max(1)) {
            for (turn, k) in turns.iter_mut().zip(rng.permutation(kinds.len())) {
                if waiting[k].is_empty() {
                    let order = rng.permutation(kinds[k].len());
                    waiting[k] = order.into_iter().map(|i| kinds[k][i]).collect();
                }
                if let Some(next) = waiting[k].pop() {
                    *turn = next;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::DrawKey;
    use crate::volume::Split;

    fn facts() -> Vec<SubjectFacts> {
        (0..13)
            .map(|i| SubjectFacts {
                id: format!("s{i}"),
                cohort: if i < 2 { "rare" } else { "common" }.into(),
                split: Split::Train,
                labelled: i % 3 == 0,
                modalities: vec!["ct".into()],
            })
            .collect()
    }

    fn order(by: By, epoch: u64, mut subjects: Vec<usize>) -> Vec<usize> {
        let key = DrawKey {
            seed: 1,
            epoch,
            subject: "",
            sample: 0,
        };
        Balance { by }.order(&mut key.rng("balance"), &mut subjects, &facts());
        subjects
    }

    #[test]
    fn kinds_take_turns_and_subjects_of_a_kind_too() {
        for epoch in 0..20 {
            let order = order(By::Cohort, epoch, (0..13).collect());
            let rare = order.iter().filter(|s| **s < 2).count();
            assert!((6..=7).contains(&rare));
            assert!(
                order
                    .chunks_exact(2)
                    .all(|pair| (pair[0] < 2) != (pair[1] < 2))
            );
            for subject in 0..13 {
                let times = order.iter().filter(|s| **s == subject).count();
                let allowed = if subject < 2 { 3..=4 } else { 0..=1 };
                assert!(allowed.contains(&times), "{subject} {times}");
            }
        }
    }

    #[test]
    fn one_kind_is_shuffled_and_what_arrives_first_does_not_matter() {
        let forwards = order(By::Modalities, 4, (0..13).collect());
        let backwards = order(By::Modalities, 4, (0..13).rev().collect());
        assert_eq!(forwards, backwards);
        assert_ne!(forwards, order(By::Modalities, 5, (0..13).collect()));
        let mut sorted = forwards;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..13).collect::<Vec<_>>());
        assert_eq!(order(By::Labelled, 0, vec![]), Vec::<usize>::new());
    }
}
