//! JSON lists that say by their sections what each subject is for.
//!
//! **Source** `dataset.json` of the Medical Segmentation Decathlon (Antonelli et al. 2022): `training`
//! of image and label, `test` of paths; and lists with a key for each modality (`img_CT`, `mask_CT`).

use super::{ColumnRef, ManifestColumns};
use crate::source::Named;
use serde_json::{Map, Value};

/// A list as a table.
pub(super) struct List {
    /// One object a subject, with `subject`, `section` and the entry's own keys.
    pub(super) rows: Vec<Value>,
    /// Where each row stands, such as `training[3]`.
    pub(super) positions: Vec<String>,
    /// Which key holds what.
    pub(super) columns: ManifestColumns,
}

const SECTIONS: [&str; 6] = [
    "training",
    "unlabeled_training",
    "unlabelled_training",
    "validation",
    "testing",
    "test",
];

/// Keys whose rest names a modality.
const IMAGE_KEYS: [&str; 2] = ["img", "image"];
const LABEL_KEYS: [&str; 3] = ["mask", "label", "seg"];

/// Reads a list. **Errors** what was found and what was expected.
pub(super) fn read(value: &Value, modalities: Option<&[String]>) -> Result<List, String> {
    let list = value
        .as_object()
        .ok_or("the file holds neither an array nor an object")?;
    let mut entries: Vec<(String, &str, Map<String, Value>)> = Vec::new();
    for section in SECTIONS {
        let items = match list.get(section) {
            None => continue,
            Some(Value::Array(items)) => items,
            Some(_) => return Err(format!("section `{section}` is no array of entries")),
        };
        for (i, item) in items.iter().enumerate() {
            let position = format!("{section}[{i}]");
            let entry = entry(item).ok_or_else(|| {
                format!("{position} is neither a path nor an object of plain values; expected `{{ \"image\": …, \"label\": … }}`")
            })?;
            entries.push((position, section, entry));
        }
    }
    if entries.is_empty() {
        return Err(format!(
            "no subject found; expected an array of objects, or sections such as {}",
            SECTIONS.map(|s| format!("`{s}`")).join(", ")
        ));
    }
    // In the order in which the keys first appear.
    let mut keys: Vec<&str> = Vec::new();
    for key in entries.iter().flat_map(|(_, _, e)| e.keys()) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let columns = columns(&keys, list, modalities)?;
    let ids = subject_ids(&entries, &columns)?;
    let mut rows = Vec::with_capacity(entries.len());
    let mut positions = Vec::with_capacity(entries.len());
    for ((position, section, mut entry), id) in entries.into_iter().zip(ids) {
        entry.insert("subject".to_owned(), Value::String(id));
        entry.insert("section".to_owned(), Value::String(section.to_owned()));
        rows.push(Value::Object(entry));
        positions.push(position);
    }
    Ok(List {
        rows,
        positions,
        columns,
    })
}

fn entry(item: &Value) -> Option<Map<String, Value>> {
    match item {
        Value::String(path) => Some(Map::from_iter([(
            "image".to_owned(),
            Value::String(path.clone()),
        )])),
        Value::Object(map) if !map.values().any(|v| v.is_array() || v.is_object()) => {
            Some(map.clone())
        }
        _ => None,
    }
}

/// The modality in a key such as `img_CT`; empty for `image` itself.
fn modality(key: &str, prefixes: &[&str]) -> Option<String> {
    let lower = key.to_lowercase();
    prefixes.iter().find_map(|prefix| {
        let rest = lower.strip_prefix(prefix)?;
        if rest.is_empty() {
            return Some(String::new());
        }
        rest.strip_prefix('_').map(tidy)
    })
}

/// A text as a column name: lower case, with `_` for what a name cannot bear.
fn tidy(text: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    text.trim().to_lowercase().chars().map(plain).collect()
}

fn columns(
    keys: &[&str],
    list: &Map<String, Value>,
    modalities: Option<&[String]>,
) -> Result<ManifestColumns, String> {
    let mut images: Vec<(String, ColumnRef)> = Vec::new();
    let mut labels: Vec<(String, ColumnRef)> = Vec::new();
    let mut label = None;
    for &key in keys {
        match (modality(key, &IMAGE_KEYS), modality(key, &LABEL_KEYS)) {
            (Some(name), _) if name.is_empty() => images.extend(channels(key, list, modalities)),
            (Some(name), _) => images.push((name, ColumnRef::Column(key.to_owned()))),
            (None, Some(name)) if name.is_empty() => {
                label = Some(ColumnRef::Column(key.to_owned()));
            }
            (None, Some(name)) => labels.push((name, ColumnRef::Column(key.to_owned()))),
            (None, None) => {}
        }
    }
    if images.is_empty() {
        return Err(format!(
            "no key names an image; expected `image` or `img_…`, found {}",
            keys.join(", ")
        ));
    }
    // Keys of a JSON object have no order; names give one.
    if images.iter().all(|(_, c)| c.index().is_none()) {
        images.sort_by(|a, b| a.0.cmp(&b.0));
    }
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(ManifestColumns {
        subject: "subject".to_owned(),
        images: Named(images),
        labels: Named(labels),
        label,
        patient: None,
        split: Some("section".to_owned()),
        labelled: None,
    })
}

/// The channels of a Decathlon image: one, or one for each volume of its 4-D files.
fn channels(
    key: &str,
    list: &Map<String, Value>,
    modalities: Option<&[String]>,
) -> Vec<(String, ColumnRef)> {
    let declared = list.get("modality").and_then(Value::as_object);
    let names: Vec<String> = match (modalities, declared) {
        (Some(names), _) => names.to_vec(),
        (None, Some(map)) => {
            let mut named: Vec<(usize, String)> = map
                .iter()
                .filter_map(|(i, name)| Some((i.parse().ok()?, tidy(name.as_str()?))))
                .collect();
            named.sort();
            named.into_iter().map(|(_, name)| name).collect()
        }
        (None, None) => Vec::new(),
    };
    match names.len() {
        0 => vec![("image".to_owned(), ColumnRef::Column(key.to_owned()))],
        1 => names
            .into_iter()
            .map(|name| (name, ColumnRef::Column(key.to_owned())))
            .collect(),
        _ => (names.into_iter().enumerate())
            .map(|(index, name)| {
                let column = key.to_owned();
                (name, ColumnRef::Indexed { column, index })
            })
            .collect(),
    }
}

/// An entry's own `subject`, `subject_id` or `id`; else the name of its first image's file, or its
/// whole path where names repeat.
fn subject_ids(
    entries: &[(String, &str, Map<String, Value>)],
    columns: &ManifestColumns,
) -> Result<Vec<String>, String> {
    let mut ids = Vec::with_capacity(entries.len());
    for (position, _, entry) in entries {
        let own = ["subject", "subject_id", "id"]
            .iter()
            .find_map(|key| match entry.get(*key)? {
                Value::String(id) => Some(id.clone()),
                Value::Number(id) => Some(id.to_string()),
                _ => None,
            });
        let image = columns
            .images
            .0
            .iter()
            .find_map(|(_, c)| entry.get(c.column())?.as_str());
        ids.push(match (own, image) {
            (Some(id), _) => (id, None),
            (None, Some(path)) => (stem(path).to_owned(), Some(path)),
            (None, None) => return Err(format!("{position} names no image")),
        });
    }
    let mut names: Vec<&str> = ids.iter().map(|(id, _)| id.as_str()).collect();
    names.sort_unstable();
    let repeat = names.windows(2).any(|pair| pair[0] == pair[1]);
    let whole = |path: &str| {
        let bare = path.trim_start_matches("./");
        let folder = &bare[..bare.len() - bare.rsplit('/').next().unwrap_or(bare).len()];
        format!("{folder}{}", stem(bare)).replace('/', "-")
    };
    let id = |(id, path): &(String, Option<&str>)| match path {
        Some(path) if repeat => whole(path),
        _ => id.clone(),
    };
    Ok(ids.iter().map(id).collect())
}

/// A file's name without folder and without the endings of NIfTI.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.strip_suffix(".gz").unwrap_or(name);
    [".nii", ".hdr", ".img"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name)
}
