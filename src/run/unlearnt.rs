//! Classes that a training cannot learn, or that its validation cannot judge.

use super::noted::Known;
use crate::sink::ScoreRow;
use crate::source::SubjectRecord;
use crate::volume::WarningKind;
use std::collections::BTreeSet;

/// Foreground classes without a voxel in any labelled training subject, as one warning.
///
/// `labelled` are positions in `records`. Nothing is said before each of them was used, left out or
/// failed: a class may stand in the one that is still to come.
pub(super) fn untrained(
    known: &Known,
    labelled: &[usize],
    records: &[SubjectRecord],
    classes: &[String],
) -> Option<(WarningKind, String)> {
    let is_seen = |index: &usize| {
        known.classes.contains_key(index)
            || known.left_out.contains(index)
            || known.failures.contains_key(&records[*index].id)
    };
    if !labelled.iter().all(is_seen) {
        return None;
    }
    let used: Vec<_> = labelled
        .iter()
        .filter_map(|i| known.classes.get(i))
        .collect();
    let present: BTreeSet<u16> = used.iter().copied().flatten().copied().collect();
    let foreground = classes.iter().zip(0..).skip(1);
    let absent: Vec<String> = foreground
        .filter(|(_, class)| !present.contains(class))
        .map(|(name, class)| format!("`{name}` ({class})"))
        .collect();
    let message = format!(
        "none of the {} labelled training subjects has a voxel of {}, so the network cannot learn it; correct `train.classes`, map the label values with `source.labels.map`, or add a subject that has the class",
        used.len(),
        absent.join(", ")
    );
    (!absent.is_empty()).then_some((WarningKind::UntrainedClass, message))
}

/// A warning if validation subjects were scored and none has a voxel of a foreground class: then
/// their Dice is undefined or 0, whatever the network does.
pub(super) fn unscored(validation: &[ScoreRow]) -> Option<(WarningKind, String)> {
    let mut foreground = validation.iter().filter(|s| s.class_id > 0).peekable();
    let any = foreground.peek().is_some();
    let message = "no validation subject has a voxel of a foreground class, so the best checkpoint is chosen without a score that means something; add labelled subjects with foreground to `validation`";
    (any && foreground.all(|s| s.truth_voxels == 0))
        .then(|| (WarningKind::UnscoredValidation, message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_without_foreground_is_reported() {
        let score = |class_id, truth_voxels| ScoreRow {
            class_id,
            truth_voxels,
            ..ScoreRow::default()
        };
        let reported = |scores: &[ScoreRow]| unscored(scores).is_some();
        assert!(!reported(&[]));
        assert!(reported(&[score(1, 0), score(2, 0)]));
        assert!(reported(&[score(0, 9), score(1, 0)]));
        assert!(!reported(&[score(1, 0), score(1, 1)]));
    }
}
