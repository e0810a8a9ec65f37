//! Images that are label maps by their voxels: a map that is called after the tool that made it.

use super::error::InitError;
use super::fingerprint::Fingerprint;
use super::layout::{Layout, recognise};
use crate::source::{SourceKind, VolumeRef};
use crate::spec::{agreeing, counted};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files that are named of those that are left out.
const EXAMPLES: usize = 3;

/// Recognises a data set and measures it; modalities whose images are label maps are taken for labels.
///
/// **Errors** if there are no volumes, no layout fits, or none can be read.
pub fn look(place: &Path, sample: usize) -> Result<(Layout, Fingerprint), InitError> {
    let mut layout = recognise(place)?;
    let print = Fingerprint::measure(&layout, sample)?;
    let print = match apart(&mut layout, &print) {
        true => Fingerprint::measure(&layout, sample)?,
        false => print,
    };
    note_left_out(&mut layout, &print);
    Ok((layout, print))
}

/// Notes how many files are in no subject, without those that another note names.
fn note_left_out(layout: &mut Layout, print: &Fingerprint) {
    let subjects = print.subjects.iter();
    let volumes = subjects.flat_map(|s| s.images.iter().chain(&s.labels));
    let used: BTreeSet<&Path> = volumes.filter_map(VolumeRef::file).collect();
    let unused = layout.files.difference(&layout.noted);
    let unused: Vec<&Path> = unused
        .map(PathBuf::as_path)
        .filter(|path| !used.contains(path))
        .collect();
    if unused.is_empty() {
        return;
    }
    // One of each folder that is called differently.
    let mut folders = BTreeSet::new();
    let mut examples = Vec::new();
    for path in &unused {
        let is_new = folders.insert(path.parent().and_then(Path::file_name));
        if is_new && examples.len() < EXAMPLES {
            examples.push(shown(path, &layout.source));
        }
    }
    let (count, all) = (unused.len(), layout.files.len());
    let verb = agreeing(count, "is", "are");
    layout.notes.push(format!(
        "{count} of {} {verb} in no subject, such as {}",
        counted(all, "NIfTI file"),
        examples.join(", ")
    ));
}

/// A path below the folder of the source.
fn shown(path: &Path, source: &SourceKind) -> String {
    let root = match source {
        SourceKind::Folders(spec) => spec.path.replace("$$", "$"),
        SourceKind::Manifest(_) | SourceKind::Phantom(_) => String::new(),
    };
    let below = path.strip_prefix(&root).unwrap_or(path);
    below.display().to_string()
}

/// Takes modalities of label maps out of the images; returns `true` if the source has changed.
///
/// **Law** A modality is one of label maps if every sampled image of it looks like one and another modality
/// stays. The first of them is the label map if there is none yet. What cannot be told apart is noted.
fn apart(layout: &mut Layout, print: &Fingerprint) -> bool {
    let mut maps = Vec::new();
    for modality in &print.modalities {
        let sampled: Vec<(usize, bool)> = (print.images(modality))
            .filter_map(|v| Some((v.subject, v.intensity.as_ref()?.looks_like_labels)))
            .collect();
        let alike: Vec<usize> = (sampled.iter())
            .filter_map(|(subject, alike)| alike.then_some(*subject))
            .collect();
        match alike.first() {
            None => {}
            Some(_) if alike.len() == sampled.len() => maps.push(modality.clone()),
            Some(first) => layout.notes.push(format!(
                "{} of {} images of `{modality}` that were looked at hold regions of one whole number each, as label maps do, such as that of {}; correct `source` if they are",
                alike.len(),
                sampled.len(),
                print.subjects[*first].id
            )),
        }
    }
    let stays = maps.len() < print.modalities.len();
    let mut changed = false;
    for map in maps {
        let taken = if stays {
            taken(&mut layout.source, &map)
        } else {
            None
        };
        changed |= taken.is_some();
        layout.notes.push(match taken {
            Some(true) => format!(
                "`{map}` holds regions of one whole number each, so it is read as the label map; name it among the images if it is one"
            ),
            Some(false) => format!(
                "`{map}` holds regions of one whole number each, as label maps do, and is left out: other label maps are there"
            ),
            None => format!(
                "`{map}` holds regions of one whole number each, as label maps do; correct `source` if it is one"
            ),
        });
    }
    changed
}

/// Takes a modality out of the images; returns whether it has become the label map, `None` if the
/// source does not name files by modality.
fn taken(source: &mut SourceKind, modality: &str) -> Option<bool> {
    match source {
        SourceKind::Folders(spec) => {
            let named = |(name, _): &(String, String)| name == modality;
            let at = spec.modalities.0.iter().position(named)?;
            if !spec.images.contains("{modality}") {
                return None;
            }
            let (_, text) = spec.modalities.0.remove(at);
            let is_first = spec.labels.is_none();
            if is_first {
                spec.labels = Some(spec.images.replace("{modality}", &text));
            }
            Some(is_first)
        }
        SourceKind::Manifest(spec) => {
            let columns = spec.columns.as_mut()?;
            let at = (columns.images.0.iter()).position(|(name, _)| name == modality)?;
            let (_, column) = columns.images.0.remove(at);
            let is_first = columns.label.is_none() && columns.labels.0.is_empty();
            if is_first {
                columns.label = Some(column);
            }
            Some(is_first)
        }
        SourceKind::Phantom(_) => None,
    }
}
