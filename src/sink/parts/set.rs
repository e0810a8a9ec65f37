//! The committed parts of a run, found by name and by subject.

use crate::sink::PartRow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Committed parts, by name and in the order of their first subjects.
///
/// **Law** parts do not overlap: those in the place of a part are retired before it is made.
#[derive(Debug, Clone, Default)]
pub(super) struct PartSet {
    by_name: BTreeMap<String, PartRow>,
    /// First subject, and name.
    by_subject: BTreeSet<(String, String)>,
    /// How many share their files with others.
    merged: usize,
}

impl PartSet {
    /// Adds a part, in the place of one of the same name.
    pub(super) fn insert(&mut self, row: PartRow) {
        self.remove(&row.part);
        self.merged += usize::from(row.is_merged());
        self.by_subject.insert(place(&row));
        self.by_name.insert(row.part.clone(), row);
    }

    /// Takes a part out.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(row) = self.by_name.remove(name) {
            self.merged -= usize::from(row.is_merged());
            self.by_subject.remove(&place(&row));
        }
    }

    /// The part of this name.
    pub(super) fn get(&self, name: &str) -> Option<&PartRow> {
        self.by_name.get(name)
    }

    /// Returns `true` if some parts share their files.
    pub(super) fn has_merged(&self) -> bool {
        self.merged > 0
    }

    /// Every part, in the order of their first subjects.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &PartRow> {
        let names = self.by_subject.iter().map(|(_, name)| name);
        names.filter_map(|name| self.get(name))
    }

    /// Names of the parts that contain a subject between `first` and `last`, both included.
    pub(super) fn overlapping(&self, first: &str, last: &str) -> BTreeSet<String> {
        // The smallest string behind the last subject ends the parts that begin up to it.
        let end = (format!("{last}\0"), String::new());
        let before = (self.by_subject).range((Bound::Unbounded, Bound::Excluded(end)));
        let parts = before.rev().filter_map(|(_, name)| self.get(name));
        parts
            .take_while(|row| row.last_subject.as_str() >= first)
            .map(|row| row.part.clone())
            .collect()
    }
}

fn place(row: &PartRow) -> (String, String) {
    (row.first_subject.clone(), row.part.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(first: usize, last: usize) -> PartRow {
        let id = |i: usize| format!("s{i:03}");
        PartRow {
            part: format!("part-{}-x", id(first)),
            first_subject: id(first),
            last_subject: id(last),
            ..PartRow::default()
        }
    }

    proptest! {
        #[test]
        fn parts_in_a_place_are_those_that_share_a_subject_with_it(
            lengths in prop::collection::vec((1..4usize, 0..3usize), 0..20),
            (first, count) in (0..60usize, 1..9usize),
        ) {
            let (mut set, mut rows, mut at) = (PartSet::default(), Vec::new(), 0);
            for (length, gap) in lengths {
                rows.push(part(at, at + length - 1));
                at += length + gap;
            }
            rows.iter().rev().cloned().for_each(|row| set.insert(row));
            let in_order: Vec<_> = set.in_order().cloned().collect();
            prop_assert_eq!(&in_order, &rows);
            let wanted = part(first, first + count - 1);
            let (first, last) = (&wanted.first_subject, &wanted.last_subject);
            let expected: BTreeSet<String> = (rows.iter())
                .filter(|row| row.first_subject <= *last && row.last_subject >= *first)
                .map(|row| row.part.clone())
                .collect();
            let found = set.overlapping(first, last);
            prop_assert_eq!(&found, &expected);
            found.iter().for_each(|name| set.remove(name));
            prop_assert!(set.overlapping(first, last).is_empty());
            prop_assert_eq!(set.in_order().count(), rows.len() - expected.len());
        }
    }
}
