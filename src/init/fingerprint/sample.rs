//! Voxels of one subject, read as they are stored.

use super::figures::{ClassPrint, Intensity};
use crate::kernel::components::{Connectivity, components};
use crate::kernel::percentile::percentiles;
use crate::sink::causes;
use crate::source::{Location, SubjectRecord, VolumeRef};
use crate::volume::{Grid, Volume, nifti};
use std::collections::{BTreeMap, BTreeSet};

/// Foreground voxels of an image that are kept, evenly spaced.
pub(super) const MOST: usize = 20_000;

/// More different values than this are no label map.
const MOST_VALUES: usize = 4096;

/// An image with more different values than this is no label map: whole-body parcellations have some 150.
const MOST_REGIONS: usize = 512;

/// Share of neighbours in a label map that have the same value, at least.
const SAME_NEIGHBOURS: f64 = 0.6;

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
        Some(Location::File { path, index }) => {
            nifti::read(path, *index).map(Some).map_err(|e| causes(&e))
        }
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
    let share = |is: fn(&f32) -> bool| {
        values.iter().filter(|v| is(v)).count() as f64 / values.len().max(1) as f64
    };
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
    let thin = |values: Vec<f32>| -> Vec<f32> {
        let step = values.len().div_ceil(MOST).max(1);
        values.into_iter().step_by(step).collect()
    };
    let nonzero = thin(finite().filter(|v| *v != 0.0).collect());
    let ends = percentiles(&nonzero, f32::is_finite, &[1.0, 99.0]);
    Intensity {
        range: [
            f64::from(finite().fold(f32::INFINITY, f32::min)),
            f64::from(finite().fold(f32::NEG_INFINITY, f32::max)),
        ],
        zero_share: share(|v| *v == 0.0),
        negative_share: share(|v| *v < 0.0),
        ends: ends.map_or([f64::NAN; 2], |ends| [ends[0], ends[1]]),
        looks_like_labels: looks_like_labels(&values, volume.grid().shape_xyz()),
        inside_labels,
        foreground: thin(foreground),
    }
}

/// Returns `true` for whole numbers from 0 on, not too many of them, where a neighbour along x that is not 0
/// has mostly the same one. Voxels of 0 are air or background and count for neither.
///
/// Measured on public data: 0.76 to 0.79 for a parcellation of 149 regions at 2 mm, 1 for one organ; 0.09 to
/// 0.15 for MR, 0.37 for CT with its air.
fn looks_like_labels(values: &[f32], [nx, ..]: [usize; 3]) -> bool {
    let is_whole = |v: &f32| *v >= 0.0 && v.fract() == 0.0;
    if !values.iter().all(is_whole) || !values.contains(&0.0) {
        return false;
    }
    let mut kinds: BTreeSet<u32> = BTreeSet::new();
    let (mut pairs, mut same) = (0usize, 0usize);
    for row in values.chunks(nx.max(1)) {
        let mut last = 0.0;
        for value in row.iter().copied() {
            if value != 0.0 && last != 0.0 {
                pairs += 1;
                same += usize::from(value == last);
            }
            if value != last {
                kinds.insert(value.to_bits());
                if kinds.len() > MOST_REGIONS {
                    return false;
                }
            }
            last = value;
        }
    }
    pairs > 0 && same as f64 >= SAME_NEIGHBOURS * pairs as f64
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
