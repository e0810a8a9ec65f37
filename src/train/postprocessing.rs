//! What is done to predicted label maps: chosen on validation, kept in the checkpoint.

use crate::kernel::components::Connectivity;
use crate::kernel::largest::keep_largest;
use crate::volume::region::{LabelRegion, paint};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Classes, or regions, of which a prediction keeps the largest connected component alone.
///
/// **Law** Components are joined by voxels that share a face, an edge or a corner; voxels of the others
/// become background. A class is cleaned by itself, so that one choice does not change another. Regions are
/// cleaned in the order in which they are painted, as [`largest_of_region`] says.
/// **Source** nnU-Net's post-processing (Isensee et al., Nature Methods 18, 2021), class by class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostProcessing {
    /// Class numbers by prediction head; of a network with regions their places from 1, in the order in
    /// which they are painted.
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

    /// The label map of a head behind it; `None` if nothing changes. `regions` are the network's.
    ///
    /// **Shape** `label` `[z, y, x]` of `shape_xyz`.
    pub fn apply(
        &self,
        head: &str,
        label: &[u8],
        shape_xyz: [usize; 3],
        regions: &[LabelRegion],
    ) -> Option<Vec<u8>> {
        let chosen = self.keep_largest.get(head).filter(|c| !c.is_empty())?;
        if regions.is_empty() {
            return largest(label, shape_xyz, |class| chosen.contains(&class.into()));
        }
        let mut cleaned = Cow::Borrowed(label);
        for position in 0..regions.len() {
            let is_chosen = chosen.contains(&Self::place(position));
            let found =
                is_chosen.then(|| largest_of_region(&cleaned, shape_xyz, regions, position));
            if let Some(found) = found.flatten() {
                cleaned = Cow::Owned(found);
            }
        }
        match cleaned {
            Cow::Borrowed(_) => None,
            Cow::Owned(cleaned) => Some(cleaned),
        }
    }

    /// Place of a region in [`keep_largest`](Self::keep_largest), by its position from 0.
    pub fn place(position: usize) -> u16 {
        position as u16 + 1
    }
}

/// The largest component of a region alone; `None` if there are no others.
///
/// **Law** Voxels of the other components leave the region and every region painted after it; they get the
/// class that the regions before it paint, or background. So a region that holds this one keeps its voxels.
/// **Shape** `label` `[z, y, x]` of `shape_xyz`.
pub fn largest_of_region(
    label: &[u8],
    shape_xyz: [usize; 3],
    regions: &[LabelRegion],
    position: usize,
) -> Option<Vec<u8>> {
    let (region, before) = (&regions[position], &regions[..position]);
    let mask: Vec<u8> = (label.iter())
        .map(|class| u8::from(region.contains(*class)))
        .collect();
    let kept = largest(&mask, shape_xyz, |class| class != 0)?;
    let voxels = label.iter().zip(mask.iter().zip(&kept));
    let class = |(class, (was, is)): (&u8, (&u8, &u8))| match was == is {
        true => *class,
        false => paint(before, |i| before[i].contains(*class)),
    };
    Some(voxels.map(class).collect())
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

    #[test]
    fn what_leaves_a_region_stays_in_those_that_hold_it() {
        let regions = crate::volume::region::tests::nested();
        let label = [1, 2, 2, 3, 1, 2, 1, 0, 1, 3];
        let cleaned = |position| largest_of_region(&label, [10, 1, 1], &regions, position);
        // The island of the whole becomes background with all that is in it.
        assert_eq!(cleaned(0).unwrap(), [1, 2, 2, 3, 1, 2, 1, 0, 0, 0]);
        // Islands of the core become the outermost class: the whole is as it was.
        assert_eq!(cleaned(1).unwrap(), [1, 2, 2, 3, 1, 1, 1, 0, 1, 1]);
        assert_eq!(cleaned(2).unwrap(), [1, 2, 2, 3, 1, 2, 1, 0, 1, 2]);
        let both = of("joint", &[1, 2]);
        let found = both.apply("joint", &label, [10, 1, 1], &regions).unwrap();
        assert_eq!(found, [1, 2, 2, 3, 1, 1, 1, 0, 0, 0]);
        assert_eq!(both.apply("joint", &found, [10, 1, 1], &regions), None);
    }

    fn of(head: &str, classes: &[u16]) -> PostProcessing {
        let classes = classes.iter().copied().collect();
        PostProcessing {
            keep_largest: [(head.to_owned(), classes)].into(),
        }
    }

    #[test]
    fn classes_of_the_head_are_cleaned_alone() {
        let label = [1, 1, 0, 1, 2, 0, 2, 2];
        let apply = |of: PostProcessing, head| of.apply(head, &label, [8, 1, 1], &[]);
        let cleaned = apply(of("ct", &[1]), "ct").unwrap();
        assert_eq!(cleaned, [1, 1, 0, 0, 2, 0, 2, 2]);
        assert_eq!(apply(of("ct", &[1]), "mr"), None);
        assert_eq!(apply(PostProcessing::NONE, "ct"), None);
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
