//! The Brain Imaging Data Structure: `sub-ID[/ses-ID]/anat/sub-ID[_ses-ID][_key-value]_suffix.nii.gz`.
//!
//! **Source** bids-specification 1.10, "File name structure"; labels are derivatives, most often `dseg`.

use super::listing::{Listing, VolumeFile, usual_ending};
use super::names::{is_label, named};
use super::recognised::Layout;
use crate::source::manifest::{TableTexts, texts};
use crate::source::{FoldersSpec, ModalityNames, SourceKind};
use crate::spec::{agreeing, counted};
use crate::store;
use std::collections::{BTreeMap, BTreeSet};

/// A file whose name is one of BIDS.
struct Entry<'a> {
    file: &'a VolumeFile,
    /// Folders before `sub-ID`: empty for raw data, `derivatives/NAME` for derivatives.
    above: String,
    /// Folder of the data type, such as `anat`; empty if there is none.
    kind: String,
    subject: &'a str,
    session: Option<&'a str>,
    /// What follows subject and session in the name: `acq-tse_T2w`.
    rest: &'a str,
}

/// Data types with volumes that are segmented; time series and diffusion volumes are not.
const KINDS: [&str; 5] = ["anat", "ct", "pet", "micr", ""];

fn entry(file: &VolumeFile) -> Option<Entry<'_>> {
    let at = file.folders.iter().position(|f| f.starts_with("sub-"))?;
    let subject = file.folders[at].strip_prefix("sub-")?;
    let below = &file.folders[at + 1..];
    let session = below.first().and_then(|f| f.strip_prefix("ses-"));
    let below = &below[usize::from(session.is_some())..];
    let rest = file.stem.strip_prefix("sub-")?.strip_prefix(subject)?;
    let rest = match session {
        Some(session) => rest.strip_prefix("_ses-")?.strip_prefix(session)?,
        None => rest,
    };
    Some(Entry {
        file,
        above: file.folders[..at].join("/"),
        kind: below.join("/"),
        subject,
        session,
        rest: rest.strip_prefix('_')?,
    })
}

impl Entry<'_> {
    fn suffix(&self) -> &str {
        self.rest.rsplit('_').next().unwrap_or(self.rest)
    }

    fn study(&self) -> (&str, Option<&str>) {
        (self.subject, self.session)
    }

    /// Pattern of such files: everything but subject, session and what `rest` says.
    fn pattern(&self, rest: &str, ending: &str) -> String {
        let (folder, name) = match self.session {
            Some(_) => ("sub-{subject}/ses-{session}", "sub-{subject}_ses-{session}"),
            None => ("sub-{subject}", "sub-{subject}"),
        };
        let slash = |text: &str| match text {
            "" => String::new(),
            text => format!("{text}/"),
        };
        format!(
            "{}{folder}/{}{name}_{rest}{ending}",
            slash(&self.above),
            slash(&self.kind)
        )
    }
}

/// How many studies have a file with each rest; the most frequent first.
fn by_rest<'a>(entries: &[&'a Entry<'a>]) -> Vec<(&'a str, usize)> {
    let mut studies: BTreeMap<&str, BTreeSet<(&str, Option<&str>)>> = BTreeMap::new();
    for entry in entries {
        studies.entry(entry.rest).or_default().insert(entry.study());
    }
    let mut counts: Vec<_> = studies
        .into_iter()
        .map(|(rest, of)| (rest, of.len()))
        .collect();
    // Plain names before those with more entities.
    counts.sort_by_key(|(rest, count)| (usize::MAX - count, rest.len()));
    counts
}

pub(super) fn find(listing: &Listing) -> Option<Layout> {
    let entries: Vec<Entry<'_>> = listing.volumes.iter().filter_map(entry).collect();
    let raw = |e: &&Entry<'_>| e.above.is_empty() && KINDS.contains(&&*e.kind);
    let images: Vec<&Entry<'_>> = (entries.iter().filter(raw))
        .filter(|e| !is_label(e.rest))
        .collect();
    if images.is_empty() {
        return None;
    }
    // One pattern holds files with sessions, or files without.
    let with = images.iter().filter(|e| e.session.is_some()).count();
    let has_sessions = 2 * with >= images.len();
    let (mut notes, mut left_out) = (Vec::new(), BTreeSet::new());
    let apart = if has_sessions {
        images.len() - with
    } else {
        with
    };
    if apart > 0 {
        let is_apart = |e: &&&Entry<'_>| e.session.is_some() != has_sessions;
        let which = if has_sessions { "without" } else { "with" };
        let first = images.iter().find(is_apart).map(|e| e.file.path());
        notes.push(format!(
            "{} {which} a session {} left out, such as {}: one pattern describes one depth of folders",
            counted(apart, "image"),
            agreeing(apart, "is", "are"),
            first.unwrap_or_default()
        ));
        let paths = images.iter().filter(is_apart).map(|e| e.file.path());
        left_out.extend(paths);
    }
    let images: Vec<&Entry<'_>> = (images.into_iter())
        .filter(|e| e.session.is_some() == has_sessions)
        .collect();
    let kind = most_frequent(images.iter().map(|e| e.kind.as_str()))?;
    let images: Vec<&Entry<'_>> = images.into_iter().filter(|e| e.kind == kind).collect();
    let studies = images
        .iter()
        .map(|e| e.study())
        .collect::<BTreeSet<_>>()
        .len();

    let mut rests: Vec<&str> = Vec::new();
    for (rest, count) in by_rest(&images) {
        let suffix = |rest: &str| rest.rsplit('_').next().unwrap_or(rest).to_owned();
        // Of `T2w` and `acq-tse_T2w` the one that more studies have is the modality `T2w`.
        let is_new = rests.iter().all(|known| suffix(known) != suffix(rest));
        match is_new && 10 * count >= studies {
            true => rests.push(rest),
            false => {
                let of = counted(count, "study");
                notes.push(format!("`*_{rest}` of {of} is left out"));
                let files = images.iter().filter(|e| e.rest == rest);
                left_out.extend(files.map(|e| e.file.path()));
            }
        }
    }
    rests.sort_unstable();
    let suffixes: Vec<String> = (rests.iter())
        .map(|rest| rest.rsplit('_').next().unwrap_or(rest).to_owned())
        .collect();
    let names = named(&suffixes).into_iter().zip(&rests);
    let first = *images.first()?;
    let label = label_pattern(&entries, has_sessions, &mut notes, &mut left_out);
    let spec = FoldersSpec {
        path: listing.source_path(),
        images: first.pattern("{modality}", &usual_ending(images.iter().map(|e| e.file))),
        labels: label,
        id: has_sessions.then(|| "{subject}_{session}".to_owned()),
        patient: has_sessions.then(|| "{subject}".to_owned()),
        modalities: ModalityNames(
            names
                .map(|((name, _), rest)| (name, (*rest).to_owned()))
                .collect(),
        ),
        split: None,
    };
    let kind = if has_sessions {
        "BIDS with sessions"
    } else {
        "BIDS"
    };
    let mut layout = Layout::new(kind, SourceKind::Folders(spec));
    layout.classes = class_names(listing, &mut notes);
    layout.notes = notes;
    let is_noted = |f: &VolumeFile| left_out.contains(&f.path());
    layout.noted = listing.paths(is_noted).collect();
    Some(layout)
}

/// The pattern of the label maps that most studies have: `dseg` before anything else, a mask of the
/// whole brain last.
fn label_pattern(
    entries: &[Entry<'_>],
    has_sessions: bool,
    notes: &mut Vec<String>,
    left_out: &mut BTreeSet<String>,
) -> Option<String> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&Entry<'_>>> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|e| e.session.is_some() == has_sessions)
    {
        if is_label(entry.rest) {
            let key = (entry.above.as_str(), entry.kind.as_str(), entry.rest);
            groups.entry(key).or_default().push(entry);
        }
    }
    let order = |members: &[&Entry<'_>]| {
        let first = members[0];
        let rest = first.rest.to_lowercase();
        let is_brain = rest.contains("brain") || rest == "mask";
        (!is_brain, first.suffix() == "dseg", members.len())
    };
    let best = groups.iter().max_by_key(|(_, members)| order(members))?;
    for ((above, _, rest), members) in groups.iter().filter(|(key, _)| *key != best.0) {
        notes.push(format!(
            "other label maps: `{above}/…/*_{rest}` of {}",
            counted(members.len(), "study")
        ));
        left_out.extend(members.iter().map(|e| e.file.path()));
    }
    let first = best.1.first()?;
    let ending = usual_ending(best.1.iter().map(|e| e.file));
    Some(first.pattern(first.rest, &ending))
}

fn most_frequent<'a>(texts: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(text, _)| text)
}

/// Names of classes from a `dseg.tsv` with the columns `index` and `name`, if there is one; tables that
/// cannot be read are noted.
fn class_names(listing: &Listing, notes: &mut Vec<String>) -> BTreeMap<i64, String> {
    let tables = listing.others.iter().filter(|p| p.ends_with("dseg.tsv"));
    for path in tables {
        let bytes = store::read(&listing.root.join(path)).map_err(|e| e.to_string());
        let TableTexts {
            names: header,
            rows,
            ..
        } = match bytes.and_then(|bytes| texts(&bytes, true)) {
            Ok(read) => read,
            Err(problem) => {
                notes.push(format!("{path} names no classes: {problem}"));
                continue;
            }
        };
        let at = |name: &str| header.iter().position(|h| h == name);
        let (Some(index), Some(name)) = (at("index"), at("name")) else {
            continue;
        };
        let classes: BTreeMap<i64, String> = (rows.iter())
            .filter_map(|row| Some((row[index].parse().ok()?, row[name].to_owned())))
            .collect();
        if !classes.is_empty() {
            return classes;
        }
    }
    BTreeMap::new()
}
