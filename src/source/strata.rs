//! What folds of a cross-validation are stratified by.

use super::listed::Listed;
use super::split::Stratify;
use super::{Location, VolumeRef};
use crate::volume::Volume;
use crate::volume::nifti::{self, IGNORED, LabelValues};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Traits of each subject, in words.
pub(super) fn traits(
    listed: &[Listed],
    stratify: Stratify,
    values: &LabelValues,
) -> Vec<Vec<String>> {
    match stratify {
        Stratify::Files => listed.iter().map(files).collect(),
        Stratify::Classes => listed.par_iter().map(|s| classes(s, values)).collect(),
    }
}

/// The modalities that are there, and those that have a label map of their own.
fn files(subject: &Listed) -> Vec<String> {
    let there = |volumes: &[VolumeRef]| -> Vec<String> {
        let present = volumes.iter().filter(|v| v.location.is_some());
        present.map(|v| v.name.clone()).collect()
    };
    let own = there(&subject.labels).into_iter().filter(|n| !n.is_empty());
    let own: Vec<String> = own.map(|name| format!("label.{name}")).collect();
    there(&subject.images).into_iter().chain(own).collect()
}

/// The classes in the label maps, the background left out.
fn classes(subject: &Listed, values: &LabelValues) -> Vec<String> {
    let mut found = BTreeSet::new();
    for volume in subject.labels.iter().filter(|_| subject.has_labels()) {
        let Some(Location::File { path, index }) = &volume.location else {
            continue;
        };
        match nifti::read_labels(path, *index, values) {
            Ok(labels) => found.extend(present(&labels).map(|class| format!("class {class}"))),
            // Its subject fails by name when its turn comes.
            Err(_) => drop(found.insert("unreadable".to_owned())),
        }
    }
    match (found.is_empty(), subject.has_labels()) {
        (true, true) => vec!["background alone".to_owned()],
        _ => found.into_iter().collect(),
    }
}

/// Class numbers above 0 in a label map, ascending.
fn present(labels: &Volume) -> impl Iterator<Item = usize> {
    let mut seen = vec![false; usize::from(u16::MAX) + 1];
    match labels.as_slice::<u8>() {
        Some(bytes) => bytes.iter().for_each(|v| seen[usize::from(*v)] = true),
        None => {
            let words = labels.as_slice::<u16>().unwrap_or_default();
            words.iter().for_each(|v| seen[usize::from(*v)] = true);
        }
    }
    seen[usize::from(IGNORED)] = false;
    (1..seen.len()).filter(move |class| seen[*class])
}
