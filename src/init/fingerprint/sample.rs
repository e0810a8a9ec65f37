//! Voxels of one subject, read as they are stored.

use super::figures::{ClassPrint, Intensity};
use crate::kernel::components::{Connectivity, components};
use crate::source::{Location, SubjectRecord, VolumeRef};
use crate::volume::{Grid, Volume, nifti};
use std::collections::BTreeMap;

/// Foreground voxels of an image that are kept, evenly spaced.
pub(super) const MOST: usize = 20_000;

/// More different values than this are no label map.
const MOST_VALUES: usize = 4096;

/// Figures of one subject.
pub(super) struct Sample {
    pub(super) images: Vec<(String, Intensity)>,
    pub(super) classes: Vec<ClassPrint>,
}

/// A label map as whole numbers.
struct Labels {
    name: String,
    grid: Grid,
    values: Vec<i32>,
}

/// **Errors** say which file cannot be used and why.
pub(super) fn read(record: &SubjectRecord, ignore: &[i64]) -> Result<Sample, String> {
    let mut labels = Vec::new();
    for reference in &record.labels {
        if let Some(volume) = volume(reference)? {
            labels.push(whole_numbers(reference, &volume)?);
        }
    }
    let mut images = Vec::new();
    for reference in &record.images {
        let Some(volume) = volume(reference)? else {
            continue;
        };
        let own = labels
            .iter()
            .find(|l| l.name == reference.name || l.name.is_empty());
        let mask = own.filter(|l| l.grid.is_same(volume.grid(), 0.5));
        images.push((reference.name.clone(), intensity(&volume, mask, ignore)));
    }
    let classes = labels.iter().flat_map(classes).collect();
    Ok(Sample { images, classes })
}

fn volume(reference: &VolumeRef) -> Result<Option<Volume>, String> {
    match &reference.location {
        Some(Location::File { path, index }) => nifti::read(path, *index)
            .map(Some)
            .map_err(|e| e.to_string()),
        Some(Location::Synthetic) | None => Ok(None),
    }
}

fn whole_numbers(reference: &VolumeRef, volume: &Volume) -> Result<Labels, String> {
    let values = volume.to_f32();
    let whole = |v: &f32| v.is_finite() && (v - v.round()).abs() <= 1e-3;
    if let Some(wrong) = values.iter().find(|v| !whole(v)) {
        let file = reference.file().map(|p| p.display().to_string());
        return Err(format!(
            "{}: the value {wrong} is no class number; is the file an image?",
            file.unwrap_or_default()
        ));
    }
    Ok(Labels {
        name: reference.name.clone(),
        grid: *volume.grid(),
        values: values.iter().map(|v| v.round() as i32).collect(),
    })
}

fn intensity(volume: &Volume, mask: Option<&Labels>, ignore: &[i64]) -> Intensity {
    let values = volume.to_f32();
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let zeros = values.iter().filter(|v| **v == 0.0).count();
    let marked = |i: usize| {
        let value = |labels: &Labels| i64::from(labels.values[i]);
        mask.map(value)
            .is_some_and(|v| v != 0 && !ignore.contains(&v))
    };
    let inside: Vec<f32> = (values.iter().enumerate())
        .filter(|(i, v)| v.is_finite() && marked(*i))
        .map(|(_, v)| *v)
        .collect();
    let inside_labels = !inside.is_empty();
    let foreground = match inside_labels {
        true => inside,
        false => finite().filter(|v| *v != 0.0).collect(),
    };
    let step = foreground.len().div_ceil(MOST).max(1);
    Intensity {
        range: [
            f64::from(finite().fold(f32::INFINITY, f32::min)),
            f64::from(finite().fold(f32::NEG_INFINITY, f32::max)),
        ],
        zero_share: zeros as f64 / values.len().max(1) as f64,
        inside_labels,
        foreground: foreground.into_iter().step_by(step).collect(),
    }
}

/// Volume and components of every value but 0.
fn classes(labels: &Labels) -> Vec<ClassPrint> {
    let ml = labels.grid.voxel_volume_mm3() / 1000.0;
    let mut found: BTreeMap<i64, ClassPrint> = BTreeMap::new();
    let mut add = |value: i64, voxels: usize| {
        let volume = voxels as f64 * ml;
        if found.len() >= MOST_VALUES && !found.contains_key(&value) {
            return;
        }
        let class = found.entry(value).or_insert_with(|| ClassPrint {
            subject: 0,
            name: labels.name.clone(),
            value,
            volume_ml: 0.0,
            components: 0,
            largest_ml: 0.0,
        });
        class.volume_ml += volume;
        class.components += 1;
        class.largest_ml = class.largest_ml.max(volume);
    };
    let found_components = components(
        &labels.values,
        labels.grid.shape_xyz(),
        Connectivity::Corners,
        |value| value != 0,
    );
    for component in &found_components.list {
        add(i64::from(component.value), component.voxels);
    }
    found.into_values().collect()
}
