//! Which subjects a run can use that is limited with `--limit`.

use crate::source::SubjectRecord;
use crate::volume::Split;
use std::collections::BTreeMap;

/// The subjects that a run may use, in the cohort's order: all of them without a `limit`.
///
/// **Law** every selection of a run consists of whole groups of one split and label state and takes the
/// first `limit` subjects of them, so the first `limit` of every group contain them all.
pub fn within(subjects: &[SubjectRecord], limit: Option<usize>) -> Vec<&SubjectRecord> {
    let Some(limit) = limit else {
        return subjects.iter().collect();
    };
    let mut taken: BTreeMap<(Split, bool), usize> = BTreeMap::new();
    let is_within = |subject: &&SubjectRecord| {
        let group = taken.entry((subject.split, subject.labelled)).or_default();
        *group += 1;
        *group <= limit
    };
    subjects.iter().filter(is_within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_selection_of_a_run_is_among_them() {
        let record = |i: usize| SubjectRecord {
            id: format!("s{i}"),
            patient: None,
            entities: BTreeMap::new(),
            cohort: "c".into(),
            split: [Split::Train, Split::Test, Split::Train][i % 3],
            labelled: i.is_multiple_of(6),
            images: Vec::new(),
            labels: Vec::new(),
        };
        let all: Vec<SubjectRecord> = (0..100).map(record).collect();
        let ids = |of: Vec<&SubjectRecord>| of.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(within(&all, None)).len(), 100);
        let found = ids(within(&all, Some(4)));
        assert_eq!(found.len(), 12, "{found:?}");
        let selections: [fn(&SubjectRecord) -> bool; 4] = [
            |_| true,
            |s| s.split == Split::Train,
            |s| s.split == Split::Train && s.labelled,
            |s| s.split != Split::Validation,
        ];
        for pick in selections {
            let picked = all.iter().filter(|s| pick(s)).take(4);
            assert!(picked.into_iter().all(|s| found.contains(&s.id)));
        }
    }
}
