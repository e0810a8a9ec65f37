//! What is done to predicted label maps: chosen on validation, kept in the checkpoint.

use crate::kernel::components::Connectivity;
use crate::kernel::largest::keep_largest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Classes of which a prediction keeps the largest connected component alone.
///
/// **Law** Components are joined by voxels that share a face, an edge or a corner; voxels of the others
/// become background. A class is cleaned by itself, so that one choice does not change another.
/// **Source** nnU-Net's post-processing (Isensee et al., Nature Methods 18, 2021), class by class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostProcessing {
    /// Class numbers by prediction head.
    #[serde(default)]
    pub keep_largest: BTreeMap<String, BTreeSet<u16>>,
}

impl PostProcessing {
    /// Leaves label maps as they are.
    pub const NONE: Self = Self {
        keep_largest: BTreeMap::new(),
    };

    /// Returns `true` if label maps stay as they are.
    pub fn is_none(&self) -> bool {
        self.keep_largest.values().all(BTreeSet::is_empty)
    }

    /// What most of the members of an ensemble do: more than half of them.
    pub fn of_most(members: &[&Self]) -> Self {
        let mut votes: BTreeMap<(&String, u16), usize> = BTreeMap::new();
        for (head, classes) in members.iter().flat_map(|m| &m.keep_largest) {
            for class in classes {
                *votes.entry((head, *class)).or_default() += 1;
            }
        }
        let mut most = Self::default();
        for ((head, class), _) in votes.iter().filter(|(_, n)| **n * 2 > members.len()) {
            let of_head = most.keep_largest.entry((*head).clone());
            of_head.or_default().insert(*class);
        }
        most
    }

    /// The label map of a head behind it; `None` if nothing changes.
    ///
    /// **Shape** `label` `[z, y, x]` of `shape_xyz`.
    pub fn apply(&self, head: &str, label: &[u8], shape_xyz: [usize; 3]) -> Option<Vec<u8>> {
        let classes = self.keep_largest.get(head).filter(|c| !c.is_empty())?;
        largest(label, shape_xyz, |class| classes.contains(&class.into()))
    }
}

/// The largest component of every class but the background; `None` if there are no others.
pub fn every_class(label: &[u8], shape_xyz: [usize; 3]) -> Option<Vec<u8>> {
    largest(label, shape_xyz, |class| class != 0)
}

fn largest(
    label: &[u8],
    shape_xyz: [usize; 3],
    is_cleaned: impl Fn(u8) -> bool,
) -> Option<Vec<u8>> {
    keep_largest(label, shape_xyz, Connectivity::Corners, None, is_cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str, classes: &[u16]) -> PostProcessing {
        let classes = classes.iter().copied().collect();
        PostProcessing {
            keep_largest: [(head.to_owned(), classes)].into(),
        }
    }

    #[test]
    fn classes_of_the_head_are_cleaned_alone() {
        let label = [1, 1, 0, 1, 2, 0, 2, 2];
        let cleaned = of("ct", &[1]).apply("ct", &label, [8, 1, 1]).unwrap();
        assert_eq!(cleaned, [1, 1, 0, 0, 2, 0, 2, 2]);
        assert_eq!(of("ct", &[1]).apply("mr", &label, [8, 1, 1]), None);
        assert_eq!(PostProcessing::NONE.apply("ct", &label, [8, 1, 1]), None);
        let all = every_class(&label, [8, 1, 1]).unwrap();
        assert_eq!(all, [1, 1, 0, 0, 0, 0, 2, 2]);
    }

    #[test]
    fn an_ensemble_does_what_more_than_half_of_it_does() {
        let (one, two, none) = (of("ct", &[1]), of("ct", &[1, 2]), PostProcessing::NONE);
        assert_eq!(
            PostProcessing::of_most(&[&one, &two, &none]),
            of("ct", &[1])
        );
        assert!(PostProcessing::of_most(&[&one, &none]).is_none());
        assert_eq!(PostProcessing::of_most(&[&two]), two);
    }
}
