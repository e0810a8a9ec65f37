//! Reads subjects in another order each epoch.

use super::{Order, SubjectFacts};
use crate::draw::SampleRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads the subjects in another order each epoch, before a voxel is decoded.
///
/// Without `window` every order is equally likely (a keyed Fisher-Yates permutation) and costs
/// no memory, because positions are shuffled, not volumes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shuffle {
    /// Shuffle only within groups of this many neighbouring subjects, so that files that lie together are read together.
    #[serde(default)]
    pub window: Option<std::num::NonZeroUsize>,
}

impl Order for Shuffle {
    const NAME: &'static str = "shuffle";
    const EXAMPLE: &'static str = "{}";

    fn order(&self, rng: &mut SampleRng, subjects: &mut [usize], _facts: &[SubjectFacts]) {
        let window = self.window.map_or(subjects.len(), |w| w.get()).max(1);
        for group in subjects.chunks_mut(window) {
            let before = group.to_vec();
            for (place, from) in rng.permutation(before.len()).into_iter().enumerate() {
                group[place] = before[from];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::DrawKey;

    #[test]
    fn a_window_keeps_neighbours_together() {
        let mut rng = DrawKey {
            seed: 1,
            epoch: 0,
            subject: "",
            sample: 0,
        }
        .rng("shuffle");
        let mut subjects: Vec<usize> = (0..10).collect();
        Shuffle {
            window: std::num::NonZeroUsize::new(4),
        }
        .order(&mut rng, &mut subjects, &[]);
        for (group, start) in subjects.chunks(4).zip([0, 4, 8]) {
            let mut sorted = group.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (start..(start + 4).min(10)).collect::<Vec<_>>());
        }
        assert_ne!(subjects, (0..10).collect::<Vec<_>>());
    }
}
