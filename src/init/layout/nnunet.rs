//! nnU-Net's raw data sets and those of the Medical Segmentation Decathlon: a `dataset.json` beside
//! `imagesTr` and `labelsTr`.
//!
//! **Source** nnU-Net v2, `documentation/dataset_format.md`; Antonelli et al., Nature Communications 2022.

use super::listing::{Listing, VolumeFile, source_path, usual_ending};
use super::names::named;
use super::recognised::{DeclaredRegion, Layout};
use crate::init::error::InitError;
use crate::source::{FoldersSpec, ManifestSpec, ModalityNames, Named, SourceKind};
use crate::spec::counted;
use crate::store;
use serde::Deserialize;
use serde::de::IgnoredAny;
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
    let channels = channels(listing, &images, described.as_ref().map(|(json, _)| json));
    let has_labels = listing.volumes.iter().any(|f| f.folders == [LABELS]);
    let layout = match (described, channels) {
        (Some((json, order)), Some(channels)) => raw(listing, (&json, &order), &channels),
        (Some((json, order)), None) if json.get("training").is_some_and(Value::is_array) => {
            Some(decathlon(&path, (&json, &order)))
        }
        (Some((json, _)), None)
            if json.contains_key("file_ending") || json.contains_key("channel_names") =>
        {
            return Err(not_nifti(&path, &json));
        }
        (None, Some(channels)) if has_labels => raw(listing, (&Map::new(), &[]), &channels),
        _ => None,
    };
    Ok(layout)
}

/// The case and the channel of `CASE_0000`, if a name ends so.
fn case_and_channel(stem: &str) -> Option<(&str, &str)> {
    let (case, tail) = stem.rsplit_once('_')?;
    let is_channel = tail.len() == 4 && tail.bytes().all(|b| b.is_ascii_digit());
    is_channel.then_some((case, tail))
}

/// The channels of nnU-Net's raw layout; `None` if four digits at the end of a name are part of the id.
///
/// **Law** A label map is named as its case. Where more label maps are named as the whole name of an
/// image, as `amos_0001` of AMOS22 is, the digits are no channel. Without label maps they are none either
/// if the list of the Decathlon names those files; nnU-Net's own list leaves the channel out.
fn channels(
    listing: &Listing,
    images: &[&VolumeFile],
    json: Option<&Map<String, Value>>,
) -> Option<BTreeSet<String>> {
    let named: Vec<(&str, &str)> = (images.iter())
        .filter_map(|f| case_and_channel(&f.stem))
        .collect();
    let labels: BTreeSet<&str> = (listing.volumes.iter())
        .filter(|f| f.folders == [LABELS])
        .map(|f| f.stem.as_str())
        .collect();
    let cases: BTreeSet<&str> = named.iter().map(|(case, _)| *case).collect();
    let of_cases = labels.intersection(&cases).count();
    let of_files = images.iter().filter(|f| labels.contains(&*f.stem)).count();
    let is_id = match labels.is_empty() {
        false => of_files > of_cases,
        true => json.is_some_and(|json| lists(json, images)),
    };
    let codes = named.into_iter().map(|(_, code)| code.to_owned());
    Some(codes.collect::<BTreeSet<_>>()).filter(|codes| !is_id && !codes.is_empty())
}

/// Returns `true` if `training` names one of these files.
fn lists(json: &Map<String, Value>, images: &[&VolumeFile]) -> bool {
    let training = json.get("training").and_then(Value::as_array);
    let paths: BTreeSet<String> = images.iter().map(|f| f.path()).collect();
    let named = |entry: &Value| {
        let image = entry.get("image").and_then(Value::as_str)?;
        Some(paths.contains(image.trim_start_matches("./")))
    };
    training
        .into_iter()
        .flatten()
        .any(|entry| named(entry) == Some(true))
}

/// The names of `labels` in the order of the file, which is the order of regions.
#[derive(Deserialize)]
struct Ordered {
    labels: Named<IgnoredAny>,
}

/// A description and the names of its `labels` in order.
type Described = (Map<String, Value>, Vec<String>);

fn read(path: &Path) -> Result<Described, InitError> {
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
        Value::Object(map) => {
            // Where they are no map there are no names.
            let ordered = serde_json::from_str::<Ordered>(&text);
            let names = ordered.map_or_else(|_| Vec::new(), |ordered| ordered.labels.0);
            Ok((map, names.into_iter().map(|(name, _)| name).collect()))
        }
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
    (json, order): (&Map<String, Value>, &[String]),
    channels: &BTreeSet<String>,
) -> Option<Layout> {
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
    let pattern = |folder: &str, name: &str| {
        let files = listing.volumes.iter().filter(|f| f.folders == [folder]);
        format!("{folder}/{name}{}", usual_ending(files))
    };
    let spec = FoldersSpec {
        path: listing.source_path(),
        images: pattern(IMAGES, "{subject}_{modality}"),
        labels: (listing.volumes.iter())
            .any(|f| f.folders == [LABELS])
            .then(|| pattern(LABELS, "{subject}")),
        id: None,
        patient: None,
        modalities: ModalityNames(modalities.map(|((name, _), code)| (name, code)).collect()),
        split: None,
    };
    let mut layout = Layout::new("nnU-Net raw", SourceKind::Folders(spec));
    labels(json, order, &mut layout);
    let held_out = listing.volumes.iter().filter(|f| f.folders == ["imagesTs"]);
    let held_out: BTreeSet<&str> = held_out
        .filter_map(|f| Some(f.stem.rsplit_once('_')?.0))
        .collect();
    if !held_out.is_empty() {
        let paths = listing.paths(|f| f.folders == ["imagesTs"]);
        layout.noted.extend(paths);
        layout.notes.push(format!(
            "imagesTs holds {} more; to predict them write `images: {:?}`",
            counted(held_out.len(), "subject"),
            pattern("imagesTs", "{subject}_{modality}")
        ));
    }
    Some(layout)
}

fn decathlon(path: &Path, (json, order): (&Map<String, Value>, &[String])) -> Layout {
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
    labels(json, order, &mut layout);
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
/// list of numbers, and then every number is a region of one, as nnU-Net counts them.
fn labels(json: &Map<String, Value>, order: &[String], layout: &mut Layout) {
    let labels = json.get("labels").and_then(Value::as_object);
    let entries: Vec<(&String, &Value)> = (order.iter())
        .filter_map(|key| Some((key, labels?.get(key)?)))
        .collect();
    let has_regions = entries.iter().any(|(_, value)| value.is_array());
    for (key, value) in entries {
        match (value, key.parse::<i64>()) {
            (Value::String(name), Ok(number)) => {
                layout.classes.insert(number, name.clone());
            }
            (Value::Number(number), _) if key == "ignore" => layout.ignore.extend(number.as_i64()),
            (Value::Number(number), _) => {
                let number = number.as_i64();
                let named = |number: i64| (number, key.clone());
                match has_regions && number != Some(0) {
                    true => region(key, number.into_iter().collect(), layout),
                    false => layout.classes.extend(number.map(named)),
                }
            }
            (Value::Array(numbers), _) => {
                let numbers = numbers.iter().filter_map(Value::as_i64);
                region(key, numbers.collect(), layout);
            }
            _ => {}
        }
    }
    if has_regions {
        of_regions(json, layout);
    }
}

/// Adds a region of values, without the background; none if nothing else is in it.
fn region(name: &str, mut values: Vec<i64>, layout: &mut Layout) {
    values.retain(|value| *value != 0);
    if !values.is_empty() {
        layout.regions.push(DeclaredRegion {
            name: name.to_owned(),
            values,
            paints: None,
        });
    }
}

/// What regions paint, by `regions_class_order`, and names of the classes in them.
fn of_regions(json: &Map<String, Value>, layout: &mut Layout) {
    let painted = json.get("regions_class_order").and_then(Value::as_array);
    let painted = painted.into_iter().flatten().map(Value::as_i64);
    for (region, value) in layout.regions.iter_mut().zip(painted) {
        region.paints = value;
    }
    // A class is called by the smallest region that holds it, and its number: a region has its own name.
    let mut smallest: Vec<&DeclaredRegion> = layout.regions.iter().collect();
    smallest.sort_by_key(|region| region.values.len());
    for region in smallest {
        for value in &region.values {
            let name = || format!("{}_{value}", region.name);
            layout.classes.entry(*value).or_insert_with(name);
        }
    }
    let names: Vec<String> = (layout.regions.iter())
        .map(|region| format!("{} = {:?}", region.name, region.values))
        .collect();
    layout.notes.push(format!(
        "the data set declares overlapping regions ({}); the classes below are their disjoint parts",
        names.join(", ")
    ));
}
