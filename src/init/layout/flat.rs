//! All files in one folder: which are label maps, and what the names of the others are made of.

use super::counted::Names;
use super::listing::{Listing, VolumeFile, usual_ending};
use super::names::{is_brain, is_label, is_structure, named};
use super::paired::MOST_MODALITIES;
use super::recognised::Layout;
use crate::source::{FoldersSpec, ModalityNames, SourceKind};
use crate::spec::counted;
use std::collections::{BTreeMap, BTreeSet};

/// Characters between the parts of a name.
const SEPARATORS: [char; 3] = ['_', '-', '.'];

/// Divides a name into the kind of a file and an id.
type Way = fn(&str) -> Option<(&str, &str)>;

/// The layout of files in one folder, which is the root or below it.
pub(super) fn flat(listing: &Listing, folder: &str, files: &[&VolumeFile]) -> Option<Layout> {
    extended(listing, folder, files)
        .or_else(|| numbered(listing, folder, files))
        .or_else(|| alone(listing, folder, files))
}

fn source(listing: &Listing, images: String, modalities: Vec<(String, String)>) -> FoldersSpec {
    FoldersSpec {
        path: listing.source_path(),
        images,
        labels: None,
        id: None,
        patient: None,
        modalities: ModalityNames(modalities),
        split: None,
    }
}

/// The image whose whole name a label map repeats, and what follows it: `case01` and `_seg`.
fn image_of<'a>(file: &'a VolumeFile, stems: &BTreeSet<&str>) -> Option<(&'a str, &'a str)> {
    let ends = file.stem.char_indices();
    let ends = ends.filter(|(_, c)| SEPARATORS.contains(c));
    let mut parts = ends.map(|(at, _)| file.stem.split_at(at));
    parts.rfind(|(image, tail)| stems.contains(image) && (is_label(tail) || is_structure(tail)))
}

/// Label maps that are named as their image with a word behind: `case01.nii.gz` and `case01_seg.nii.gz`.
fn extended(listing: &Listing, folder: &str, files: &[&VolumeFile]) -> Option<Layout> {
    let stems: BTreeSet<&str> = files.iter().map(|f| f.stem.as_str()).collect();
    let mut images = Vec::new();
    let mut tails: BTreeMap<&str, Vec<(&str, &VolumeFile)>> = BTreeMap::new();
    for file in files {
        match image_of(file, &stems) {
            Some((image, tail)) => tails.entry(tail).or_default().push((image, file)),
            None => images.push(*file),
        }
    }
    let order = |(tail, found): &(&&str, &Vec<_>)| (!is_brain(tail), found.len());
    let (tail, labels) = tails.iter().max_by_key(order)?;
    let mut layout = alone(listing, folder, &images)?;
    let SourceKind::Folders(spec) = &mut layout.source else {
        return None;
    };
    let image = spec
        .images
        .strip_suffix(&usual_ending(images.iter().copied()))?;
    // Where one modality alone was annotated, its label map is that of the subject.
    let texts = spec.modalities.0.iter().map(|(_, text)| text);
    let annotated: Vec<&String> = texts
        .filter(|text| labels.iter().any(|(stem, _)| stem.ends_with(text.as_str())))
        .collect();
    let image = match annotated[..] {
        [one] => image.replace("{modality}", one),
        _ => image.to_owned(),
    };
    let ending = usual_ending(labels.iter().map(|(_, file)| *file));
    spec.labels = Some(format!("{image}{tail}{ending}"));
    layout.kind += ", label maps named as their image";
    for (other, found) in tails.iter().filter(|(other, _)| *other != tail) {
        layout.notes.push(format!(
            "other label maps: `*{other}` of {}",
            counted(found.len(), "image")
        ));
        let left_out = |f: &VolumeFile| found.iter().any(|(_, file)| *file == f);
        layout.noted.extend(listing.paths(left_out));
    }
    Some(layout)
}

/// What is before the id that ends a name: `volume-` of `volume-0`, `img` of `img0001`.
fn before_number(stem: &str) -> Option<(&str, &str)> {
    let text = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    (!text.is_empty() && text.len() < stem.len()).then(|| stem.split_at(text.len()))
}

/// The same up to the first separator: `mask_` of `mask_anna-b`.
fn before_separator(stem: &str) -> Option<(&str, &str)> {
    let at = stem.find(SEPARATORS)?;
    Some(stem.split_at(at + 1)).filter(|(_, id)| !id.is_empty())
}

/// Kind first, then the id: `volume-0.nii` and `segmentation-0.nii`, as in LiTS.
fn numbered(listing: &Listing, folder: &str, files: &[&VolumeFile]) -> Option<Layout> {
    let ways: [Way; 2] = [before_number, before_separator];
    ways.into_iter().find_map(|way| {
        let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for file in files {
            let (kind, id) = way(&file.stem)?;
            ids.entry(kind).or_default().insert(id);
        }
        let (labels, images): (Vec<_>, Vec<_>) = ids.iter().partition(|(kind, _)| is_label(kind));
        // Several kinds of label maps, each with an id of its own, are ids that hold such a word.
        let [(label, annotated)] = labels[..] else {
            return None;
        };
        let has_image = |id: &&&str| images.iter().any(|(_, ids)| ids.contains(**id));
        if images.is_empty()
            || images.len() > MOST_MODALITIES
            || 2 * annotated.iter().filter(has_image).count() < annotated.len()
        {
            return None;
        }
        let texts: Vec<&str> = images.iter().map(|(kind, _)| **kind).collect();
        let (image, texts) = match texts[..] {
            [one] => (format!("{one}{{subject}}"), texts),
            _ => {
                let separator = texts[0].chars().next_back()?;
                let texts: Option<Vec<&str>> = (texts.iter())
                    .map(|text| text.strip_suffix(separator))
                    .collect();
                let is_separator = SEPARATORS.contains(&separator);
                let texts = texts.filter(|_| is_separator)?;
                (format!("{{modality}}{separator}{{subject}}"), texts)
            }
        };
        let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        let names = named(&texts).into_iter();
        let names = names.map(|(name, text)| (name.trim_end_matches(['-', '_']).to_owned(), text));
        let of = |label_maps: bool| {
            let wanted = move |f: &&&VolumeFile| {
                way(&f.stem).is_some_and(|(kind, _)| (kind == *label) == label_maps)
            };
            usual_ending(files.iter().filter(wanted).copied())
        };
        let mut spec = source(
            listing,
            format!("{folder}{image}{}", of(false)),
            names.collect(),
        );
        spec.labels = Some(format!("{folder}{label}{{subject}}{}", of(true)));
        Some(Layout::new(
            "all files in one folder, the id behind the kind",
            SourceKind::Folders(spec),
        ))
    })
}

/// `{subject}_{modality}.nii.gz`, or `{subject}.nii.gz`; what such a name calls a label map is one.
fn alone(listing: &Listing, folder: &str, files: &[&VolumeFile]) -> Option<Layout> {
    for separator in SEPARATORS {
        let split: Option<Vec<(&str, &str)>> = (files.iter())
            .map(|f| f.stem.rsplit_once(separator))
            .collect();
        let Some(split) = split else { continue };
        let subjects: BTreeSet<&str> = split.iter().map(|(subject, _)| *subject).collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (_, tail) in &split {
            *counts.entry((*tail).to_owned()).or_default() += 1;
        }
        // A modality is shared by subjects; numbers of which there are more than names are ids.
        let is_number = |tail: &String| tail.bytes().all(|b| b.is_ascii_digit());
        let is_id =
            counts.keys().all(is_number) && (counts.len() > subjects.len() || files.len() == 1);
        let is_modality = !is_id
            && counts.len() <= MOST_MODALITIES
            && (subjects.len() < files.len() || counts.len() == 1)
            && counts
                .values()
                .max()
                .is_some_and(|most| 2 * most >= subjects.len());
        if is_modality {
            let names = Names {
                head: format!("{folder}{{subject}}{separator}"),
                ending: usual_ending(files.iter().copied()),
                subjects: subjects.len(),
                counts,
            };
            return names.layout(listing, "all files in one folder");
        }
    }
    let images = format!("{folder}{{subject}}{}", usual_ending(files.iter().copied()));
    let image = ("image".to_owned(), "image".to_owned());
    Some(Layout::new(
        "one image a subject",
        SourceKind::Folders(source(listing, images, vec![image])),
    ))
}
