//! nnU-Net's raw data sets and those of the Medical Segmentation Decathlon: a `dataset.json` beside
//! `imagesTr` and `labelsTr`.
//!
//! **Source** nnU-Net v2, `documentation/dataset_format.md`; Antonelli et al., Nature Communications 2022.

use super::listing::{Listing, source_path};
use super::names::named;
use super::recognised::Layout;
use crate::init::error::InitError;
use crate::source::{FoldersSpec, ManifestSpec, ModalityNames, SourceKind};
use crate::store;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const IMAGES: &str = "imagesTr";
const LABELS: &str = "labelsTr";

/// **Errors** if `dataset.json` is no description of a data set.
pub(super) fn find(listing: &Listing) -> Result<Option<Layout>, InitError> {
    let path = listing.root.join("dataset.json");
    let is_described = listing.others.iter().any(|other| other == "dataset.json");
    let described = is_described.then(|| read(&path)).transpose()?;
    let images: Vec<_> = (listing.volumes.iter())
        .filter(|f| f.folders == [IMAGES])
        .collect();
    // `CASE_0000`: four digits are the channel.
    let channels: BTreeSet<String> = (images.iter())
        .filter_map(|f| Some(f.stem.rsplit_once('_')?.1))
        .filter(|tail| tail.len() == 4 && tail.bytes().all(|b| b.is_ascii_digit()))
        .map(str::to_owned)
        .collect();
    let has_labels = listing.volumes.iter().any(|f| f.folders == [LABELS]);
    let layout = match (described, images.is_empty(), channels.is_empty()) {
        (Some(json), false, false) => raw(listing, &json, &channels),
        (Some(json), _, _) if json.get("training").is_some_and(Value::is_array) => {
            Some(decathlon(&path, &json))
        }
        (Some(json), _, _)
            if json.contains_key("file_ending") || json.contains_key("channel_names") =>
        {
            return Err(not_nifti(&path, &json));
        }
        (None, false, false) if has_labels => raw(listing, &Map::new(), &channels),
        _ => None,
    };
    Ok(layout)
}

fn read(path: &Path) -> Result<Map<String, Value>, InitError> {
    let text = store::read_to_string(path).map_err(|source| InitError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    let problem = |problem: String| InitError::Description {
        path: path.to_path_buf(),
        problem,
    };
    let value: Value =
        serde_json::from_str(&text).map_err(|e| problem(format!("this is not JSON: {e}")))?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(problem(
            "found no object; expected `channel_names` and `labels`, or `training`".to_owned(),
        )),
    }
}

fn not_nifti(path: &Path, json: &Map<String, Value>) -> InitError {
    let ending = json.get("file_ending").and_then(Value::as_str);
    InitError::Description {
        path: path.to_path_buf(),
        problem: format!(
            "no file in `{IMAGES}` is named `CASE_0000.nii.gz` (`file_ending` is {}); volumes are read from NIfTI alone: convert them, and keep the names",
            ending.unwrap_or("not given")
        ),
    }
}

fn raw(
    listing: &Listing,
    json: &Map<String, Value>,
    channels: &BTreeSet<String>,
) -> Option<Layout> {
    let first = listing.volumes.iter().find(|f| f.folders == [IMAGES])?;
    let names = channel_names(json);
    let (mut texts, mut codes) = (Vec::new(), Vec::new());
    for code in channels {
        let number: usize = code.parse().ok()?;
        texts.push(
            names
                .get(&number)
                .cloned()
                .unwrap_or(format!("channel_{number}")),
        );
        codes.push(code.clone());
    }
    let modalities = named(&texts).into_iter().zip(codes);
    let spec = FoldersSpec {
        path: listing.source_path(),
        images: format!("{IMAGES}/{{subject}}_{{modality}}{}", first.ending),
        labels: (listing.volumes.iter())
            .find(|f| f.folders == [LABELS])
            .map(|f| format!("{LABELS}/{{subject}}{}", f.ending)),
        id: None,
        patient: None,
        modalities: ModalityNames(modalities.map(|((name, _), code)| (name, code)).collect()),
        split: None,
    };
    let mut layout = Layout::new("nnU-Net raw", SourceKind::Folders(spec));
    labels(json, &mut layout);
    let held_out = listing.volumes.iter().filter(|f| f.folders == ["imagesTs"]);
    let held_out: BTreeSet<&str> = held_out
        .filter_map(|f| Some(f.stem.rsplit_once('_')?.0))
        .collect();
    if !held_out.is_empty() {
        layout.notes.push(format!(
            "imagesTs holds {} more subjects; to predict them write `images: \"imagesTs/{{subject}}_{{modality}}{}\"`",
            held_out.len(),
            first.ending
        ));
    }
    Some(layout)
}

fn decathlon(path: &Path, json: &Map<String, Value>) -> Layout {
    let names: Vec<String> = channel_names(json).into_values().collect();
    let names = match names.is_empty() {
        true => vec!["image".to_owned()],
        false => named(&names).into_iter().map(|(name, _)| name).collect(),
    };
    let spec = ManifestSpec {
        path: source_path(path),
        delimiter: None,
        columns: None,
        modalities: Some(names),
        condition: Some("section = 'training'".to_owned()),
        unpaired: false,
        split: None,
    };
    let mut layout = Layout::new("Medical Segmentation Decathlon", SourceKind::Manifest(spec));
    labels(json, &mut layout);
    let tests = json
        .get("test")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if tests > 0 {
        layout.notes.push(format!(
            "the list names {tests} more subjects without labels; `where: \"section = 'test'\"` selects them for prediction"
        ));
    }
    layout
}

/// Names of channels by number: `channel_names`, in older files `modality`.
fn channel_names(json: &Map<String, Value>) -> BTreeMap<usize, String> {
    let names = json.get("channel_names").or(json.get("modality"));
    let names = names.and_then(Value::as_object).into_iter().flatten();
    names
        .filter_map(|(number, name)| Some((number.parse().ok()?, name.as_str()?.to_owned())))
        .collect()
}

/// Classes by value. A name maps to a number, in older files a number to a name; a region is a
/// list of numbers.
fn labels(json: &Map<String, Value>, layout: &mut Layout) {
    let entries = json.get("labels").and_then(Value::as_object);
    let mut regions: Vec<(&str, Vec<i64>)> = Vec::new();
    for (key, value) in entries.into_iter().flatten() {
        match (value, key.parse::<i64>()) {
            (Value::String(name), Ok(number)) => {
                layout.classes.insert(number, name.clone());
            }
            (Value::Number(number), _) if key == "ignore" => layout.ignore.extend(number.as_i64()),
            (Value::Number(number), _) => {
                let number = number.as_i64();
                layout
                    .classes
                    .extend(number.map(|number| (number, key.clone())));
            }
            (Value::Array(numbers), _) => {
                let numbers = numbers.iter().filter_map(Value::as_i64).collect();
                regions.push((key, numbers));
            }
            _ => {}
        }
    }
    if regions.is_empty() {
        return;
    }
    // A class is called by the smallest region that holds it, and its number where two would be alike.
    regions.sort_by_key(|(_, numbers)| numbers.len());
    for number in regions.iter().flat_map(|(_, numbers)| numbers) {
        let smallest = regions.iter().find(|(_, numbers)| numbers.contains(number));
        if let Some((name, numbers)) = smallest {
            let name = match numbers.len() {
                1 => (*name).to_owned(),
                _ => format!("{name}_{number}"),
            };
            layout.classes.entry(*number).or_insert(name);
        }
    }
    let names: Vec<String> = (regions.iter())
        .map(|(name, numbers)| format!("{name} = {numbers:?}"))
        .collect();
    layout.notes.push(format!(
        "the data set declares overlapping regions ({}); the classes below are their disjoint parts",
        names.join(", ")
    ));
}
