//! A folder a subject, or one a session; names of files by how many subjects have one.

use super::counted::Names;
use super::flat::flat;
use super::listing::{Listing, VolumeFile, usual_ending};
use super::recognised::Layout;
use crate::spec::{agreeing, counted};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn find(listing: &Listing) -> Option<Layout> {
    let deepest = most_frequent(listing.volumes.iter().map(|f| f.folders.len()))?;
    let files: Vec<&VolumeFile> = (listing.volumes.iter())
        .filter(|f| f.folders.len() == deepest)
        .collect();
    let mut layout = match deepest {
        0 => flat(listing, "", &files)?,
        _ => {
            let folders: BTreeSet<&[String]> = files.iter().map(|f| f.folders.as_slice()).collect();
            match folders.len() {
                1 => flat(listing, &files[0].folder(), &files)?,
                _ => by_subject(listing, &files)?,
            }
        }
    };
    let others: Vec<_> = listing.paths(|f| f.folders.len() != deepest).collect();
    if let Some(first) = others.first() {
        layout.notes.push(format!(
            "{} in folders of another depth {} left out, such as {}: one pattern describes one depth of folders",
            counted(others.len(), "NIfTI file"),
            agreeing(others.len(), "is", "are"),
            first.strip_prefix(&listing.root).unwrap_or(first).display()
        ));
        layout.noted.extend(others);
    }
    Some(layout)
}

fn most_frequent(numbers: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    numbers.for_each(|number| *counts.entry(number).or_default() += 1);
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(number, _)| number)
}

/// `{subject}/{modality}.nii.gz`, `{subject}/{subject}_{modality}.nii.gz`, each with or without a
/// folder of a session between.
fn by_subject(listing: &Listing, files: &[&VolumeFile]) -> Option<Layout> {
    let depth = files[0].folders.len();
    // Folders above the subjects that all files share.
    let shared = (0..depth)
        .take_while(|&i| files.iter().all(|f| f.folders[i] == files[0].folders[i]))
        .count();
    let levels = depth - shared;
    if levels > 2 {
        return None;
    }
    let above: String = files[0].folders[..shared]
        .iter()
        .map(|f| format!("{f}/"))
        .collect();
    let head = above + ["{subject}/", "{subject}/{session}/"][levels - 1];
    let subjects: BTreeSet<&[String]> = files.iter().map(|f| &f.folders[shared..]).collect();

    // What a name repeats of its folders: nothing, the subject, or subject and session.
    let repeated = |file: &VolumeFile, separator: char| -> Option<String> {
        let names = file.folders[shared..].join(&separator.to_string());
        let rest = file.stem.strip_prefix(&names)?;
        (rest.is_empty() || rest.starts_with(separator)).then(|| rest.to_owned())
    };
    for separator in ['_', '-'] {
        let rests: Vec<String> = files
            .iter()
            .filter_map(|f| repeated(f, separator))
            .collect();
        if 2 * rests.len() >= files.len() {
            let names = ["{subject}", "{subject}{separator}{session}"][levels - 1];
            let names = names.replace("{separator}", &separator.to_string());
            // `p1/p1.nii.gz`: an image that is called as its folder has no separator behind it.
            let is_bare = rests.iter().any(String::is_empty);
            let (behind, rests) = match is_bare {
                true => (String::new(), rests),
                false => {
                    let rest = |rest: String| rest[1..].to_owned();
                    (separator.to_string(), rests.into_iter().map(rest).collect())
                }
            };
            let names = names_of(head + &names + &behind, &subjects, rests, files);
            return names.layout(listing, "a folder a subject, whose name the files repeat");
        }
    }
    let stems = files.iter().map(|f| f.stem.clone()).collect();
    names_of(head, &subjects, stems, files).layout(listing, "a folder a subject")
}

fn names_of(
    head: String,
    subjects: &BTreeSet<&[String]>,
    names: Vec<String>,
    files: &[&VolumeFile],
) -> Names {
    let mut counts = BTreeMap::new();
    names
        .into_iter()
        .for_each(|name| *counts.entry(name).or_default() += 1);
    Names {
        head,
        ending: usual_ending(files.iter().copied()),
        subjects: subjects.len(),
        counts,
    }
}
