//! Images in one folder, or in one folder a modality, and label maps in a folder beside them.

use super::listing::{Listing, VolumeFile, usual_ending};
use super::names::{is_label, named};
use super::recognised::Layout;
use crate::source::{FoldersSpec, ModalityNames, SourceKind};
use std::collections::{BTreeMap, BTreeSet};

/// Files of one folder.
struct Folder<'a> {
    path: String,
    name: &'a str,
    files: Vec<&'a VolumeFile>,
}

impl Folder<'_> {
    fn stems(&self) -> BTreeSet<&str> {
        self.files.iter().map(|f| f.stem.as_str()).collect()
    }
}

/// How a label map's name follows from its image's.
struct Pairing {
    image: String,
    label: String,
    /// What is at `{modality}`; empty if the images are of one modality.
    modalities: Vec<String>,
}

pub(super) fn find(listing: &Listing) -> Option<Layout> {
    let mut folders: BTreeMap<&[String], Vec<&VolumeFile>> = BTreeMap::new();
    for file in &listing.volumes {
        folders.entry(&file.folders).or_default().push(file);
    }
    let folders: Vec<Folder<'_>> = (folders.into_iter())
        .filter(|(path, _)| !path.is_empty())
        .map(|(path, files)| Folder {
            path: path.join("/"),
            name: path.last().map_or("", String::as_str),
            files,
        })
        .collect();
    let labels = (folders.iter())
        .filter(|f| is_label(f.name))
        .max_by_key(|f| f.files.len())?;
    let parent = labels.path.strip_suffix(labels.name)?;
    let beside = |f: &&Folder<'_>| f.path.strip_suffix(f.name) == Some(parent) && !is_label(f.name);
    let images: Vec<&Folder<'_>> = folders.iter().filter(beside).collect();

    // A folder a modality: each holds the label maps' names.
    let named_alike: Vec<&&Folder<'_>> = (images.iter())
        .filter(|f| 2 * f.stems().intersection(&labels.stems()).count() >= labels.files.len())
        .collect();
    let (modalities, image, label, files) = match named_alike.as_slice() {
        [] | [_] => {
            let all = images.iter().max_by_key(|f| f.files.len())?;
            let pairing = pair(&all.stems(), &labels.stems())?;
            let image = format!("{}/{}", all.path, pairing.image);
            (pairing.modalities, image, pairing.label, all.files.clone())
        }
        several => {
            let names = several.iter().map(|f| f.name.to_owned()).collect();
            let files = several.iter().flat_map(|f| f.files.clone()).collect();
            (
                names,
                format!("{parent}{{modality}}/{{subject}}"),
                "{subject}".to_owned(),
                files,
            )
        }
    };
    let modalities = match modalities.is_empty() {
        true => vec![("image".to_owned(), "image".to_owned())],
        false => named(&modalities),
    };
    let spec = FoldersSpec {
        path: listing.source_path(),
        images: image + &usual_ending(files),
        labels: Some(format!(
            "{}/{label}{}",
            labels.path,
            usual_ending(labels.files.iter().copied())
        )),
        id: None,
        patient: None,
        modalities: ModalityNames(modalities),
        split: None,
    };
    Some(Layout::new(
        "images and labels in folders of their own",
        SourceKind::Folders(spec),
    ))
}

/// Patterns of the names of images and labels; `None` if they have nothing in common.
fn pair(images: &BTreeSet<&str>, labels: &BTreeSet<&str>) -> Option<Pairing> {
    let whole = |modalities| Pairing {
        image: "{subject}".to_owned(),
        label: "{subject}".to_owned(),
        modalities,
    };
    let is_most = |count: usize| 2 * count >= labels.len();
    if is_most(images.intersection(labels).count()) {
        return Some(whole(Vec::new()));
    }
    // An image is named as its label with something behind: a channel or a modality.
    if let Some((behind, count)) = tails(images, labels)
        && is_most(count)
    {
        let (separator, modalities) = separated(&behind)?;
        return Some(Pairing {
            image: match modalities.len() {
                1 => format!("{{subject}}{separator}{}", modalities[0]),
                _ => format!("{{subject}}{separator}{{modality}}"),
            },
            modalities,
            ..whole(Vec::new())
        });
    }
    // A label is named as its image with something behind.
    if let Some((behind, count)) = tails(labels, images)
        && is_most(count)
        && let [tail] = behind.iter().collect::<Vec<_>>()[..]
    {
        return Some(Pairing {
            label: format!("{{subject}}{tail}"),
            ..whole(Vec::new())
        });
    }
    // `img0001` and `label0001`.
    let (before_image, before_label) = (common_start(images), common_start(labels));
    let numbers = |of: &BTreeSet<&str>, start: &str| -> BTreeSet<String> {
        of.iter()
            .map(|stem| stem[start.len()..].to_owned())
            .collect()
    };
    let shared = numbers(images, &before_image);
    let shared = shared.intersection(&numbers(labels, &before_label)).count();
    is_most(shared).then(|| Pairing {
        image: format!("{before_image}{{subject}}"),
        label: format!("{before_label}{{subject}}"),
        modalities: Vec::new(),
    })
}

/// The rest of the long names that begin with a short name, and how many short names
/// have such a long one.
fn tails(long: &BTreeSet<&str>, short: &BTreeSet<&str>) -> Option<(BTreeSet<String>, usize)> {
    let (mut tails, mut count) = (BTreeSet::new(), 0);
    for stem in short {
        let behind: Vec<&str> = (long.range::<&str, _>(*stem..))
            .take_while(|name| name.starts_with(stem))
            .filter_map(|name| name.strip_prefix(stem))
            .filter(|tail| tail.starts_with(['_', '-', '.']))
            .collect();
        count += usize::from(!behind.is_empty());
        tails.extend(behind.into_iter().map(str::to_owned));
    }
    (!tails.is_empty() && tails.len() <= MOST_MODALITIES).then_some((tails, count))
}

/// More different endings than this are no modalities.
pub(super) const MOST_MODALITIES: usize = 12;

/// The character that all tails begin with, and what follows it.
fn separated(tails: &BTreeSet<String>) -> Option<(char, Vec<String>)> {
    let separator = tails.first()?.chars().next()?;
    let rest: Option<Vec<String>> = (tails.iter())
        .map(|tail| tail.strip_prefix(separator).map(str::to_owned))
        .collect();
    Some((separator, rest?))
}

/// What all names begin with, without digits at its end: those belong to the ids.
fn common_start(names: &BTreeSet<&str>) -> String {
    let (Some(first), Some(last)) = (names.first(), names.last()) else {
        return String::new();
    };
    let pairs = first.chars().zip(last.chars());
    let shared: String = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    shared
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .to_owned()
}
