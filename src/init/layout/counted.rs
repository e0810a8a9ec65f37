//! A source of files that have one name in the folders of many subjects.

use super::listing::Listing;
use super::names::{is_brain, is_label, named};
use super::paired::MOST_MODALITIES;
use super::recognised::Layout;
use crate::source::{FoldersSpec, ModalityNames, SourceKind};
use crate::spec::counted;
use std::collections::BTreeMap;

/// Names of files by how many subjects have one; `head` is the part before the name.
pub(super) struct Names {
    pub(super) head: String,
    pub(super) ending: String,
    pub(super) subjects: usize,
    pub(super) counts: BTreeMap<String, usize>,
}

impl Names {
    /// The source with these names: those that a tenth of the subjects has, label maps apart.
    pub(super) fn layout(self, listing: &Listing, kind: &str) -> Option<Layout> {
        let is_used = |count: usize| 10 * count >= self.subjects;
        let (labels, images): (Vec<_>, Vec<_>) =
            self.counts.iter().partition(|(name, _)| is_label(name));
        let (images, rare): (Vec<_>, Vec<_>) =
            images.into_iter().partition(|(_, count)| is_used(**count));
        if images.is_empty() || images.len() > MOST_MODALITIES {
            return None;
        }
        // A mask of the whole brain or body is rarely what is to be learnt.
        let order = |(name, count): &(&String, &usize)| (!is_brain(name), **count);
        let label = labels
            .iter()
            .copied()
            .max_by_key(order)
            .map(|(name, _)| name);
        let texts: Vec<String> = images.into_iter().map(|(name, _)| name.clone()).collect();
        let (head, ending) = (&self.head, &self.ending);
        let session = head.contains("{session}");
        let spec = FoldersSpec {
            path: listing.source_path(),
            images: match texts.as_slice() {
                [one] => format!("{head}{one}{ending}"),
                _ => format!("{head}{{modality}}{ending}"),
            },
            labels: label.map(|label| format!("{head}{label}{ending}")),
            id: session.then(|| "{subject}_{session}".to_owned()),
            patient: session.then(|| "{subject}".to_owned()),
            modalities: ModalityNames(match texts.as_slice() {
                // The file is called as its folder.
                [one] if one.is_empty() => vec![("image".to_owned(), "image".to_owned())],
                _ => named(&texts),
            }),
            split: None,
        };
        let mut layout = Layout::new(kind, SourceKind::Folders(spec));
        let left_out = rare.into_iter().map(|(name, count)| (name, *count));
        let others = labels.into_iter().filter(|(name, _)| Some(*name) != label);
        for (name, count) in left_out.chain(others.map(|(name, count)| (name, *count))) {
            let of = counted(count, "subject");
            layout.notes.push(format!("`{name}` of {of} is left out"));
            layout
                .noted
                .extend(listing.paths(|f| f.stem.ends_with(name.as_str())));
        }
        Some(layout)
    }
}
