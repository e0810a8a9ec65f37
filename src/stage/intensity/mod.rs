//! Steps that change values and leave labels alone.
//!
//! All of them leave the images they change as f32. Augmentations change every voxel of an image,
//! background and padding included; where that matters, normalise so that background is distinguished
//! by its value ([`zscore`] does).
//!
//! Every modality draws its own values, for missing modalities too, so that leaving one out changes
//! no other. Draws are f32: their JSON text returns the same bits.

pub mod bias_field;
pub mod blank_boxes;
pub mod brightness;
pub mod clip_percentile;
pub mod contrast;
pub mod gamma;
pub mod gaussian_blur;
pub mod gaussian_noise;
pub mod ghosting;
pub mod histogram_standardize;
pub mod local_gamma;
pub mod low_resolution;
pub mod median;
pub mod motion;
pub mod rician_noise;
pub mod scale_intensity;
pub mod sharpen;
pub mod shift_intensity;
pub mod spike;
pub mod window;
pub mod zscore;

use super::{EdgeSchema, StageError};
use crate::draw::{SampleRng, check_probability};
use crate::kernel::moments::finite_bounds;
use crate::kernel::simd::vectorised;
use crate::volume::{Change, Dtype, Grid, Role, Row, Volume};
use std::collections::BTreeMap;

/// What was drawn for each modality that is changed.
pub type PerModality<T> = BTreeMap<String, T>;

/// Largest magnitude of a parameter that is multiplied with or added to voxels.
const LARGEST: f64 = 1e6;

pub(super) fn selects(modalities: Option<&[String]>, name: &str) -> bool {
    modalities.is_none_or(|named| named.iter().any(|n| n == name))
}

/// Schema after a step that always runs: the images it changes are f32.
///
/// **Errors** when `modalities` is empty or names one that does not arrive.
fn check_modalities(
    input: &EdgeSchema,
    modalities: Option<&[String]>,
) -> Result<EdgeSchema, String> {
    if modalities.is_some_and(<[String]>::is_empty) {
        return Err("`modalities` is empty; name at least one or leave it out".to_owned());
    }
    input.check_modalities(modalities)?;
    Ok(input.map(|c| {
        if c.role == Role::Image && selects(modalities, &c.name) {
            c.dtype = Some(Dtype::F32);
        }
    }))
}

/// Schema after a step that runs with probability `p`: images that arrive as integers are f32 in
/// some rows only, unless `p` is 0 or 1.
///
/// **Errors** as [`check_modalities`], and when `p` is no probability.
pub(super) fn check_augment(
    input: &EdgeSchema,
    p: f64,
    modalities: Option<&[String]>,
) -> Result<EdgeSchema, String> {
    check_probability(p)?;
    let mut changed = check_modalities(input, modalities)?;
    for (after, before) in changed.channels.iter_mut().zip(&input.channels) {
        if p < 1.0 && after.dtype != before.dtype {
            after.dtype = if p > 0.0 { None } else { before.dtype };
        }
    }
    Ok(changed)
}

/// With probability `p` one draw for each selected modality that is present.
fn draw_each<T>(
    rng: &mut SampleRng,
    p: f64,
    modalities: Option<&[String]>,
    row: &Row,
    mut one: impl FnMut(&mut SampleRng) -> T,
) -> Option<PerModality<T>> {
    if !rng.chance(p) {
        return None;
    }
    let mut drawn = PerModality::new();
    for image in &row.images {
        let value = one(rng);
        if image.volume.is_some() && selects(modalities, &image.name) {
            drawn.insert(image.name.clone(), value);
        }
    }
    (!drawn.is_empty()).then_some(drawn)
}

/// Changes the values of every image that has a draw, each voxel by itself.
///
/// The change may be made later, together with others; `change` is asked for it at once.
///
/// **Errors** when the draw is of an image that the row lacks.
fn change_each<T>(
    drawn: &PerModality<T>,
    row: Row,
    change: impl Fn(&T) -> Change,
) -> Result<Row, StageError> {
    replace_each(drawn, row, |value, volume| volume.changed(change(value)))
}

/// Changes the values of every image that has a draw.
///
/// **Errors** when the draw is of an image that the row lacks.
fn apply_each<T>(
    drawn: &PerModality<T>,
    row: Row,
    mut change: impl FnMut(&T, &mut [f32]),
) -> Result<Row, StageError> {
    replace_each(drawn, row, |value, volume| {
        volume.map_f32(|voxels| change(value, voxels))
    })
}

fn replace_each<T>(
    drawn: &PerModality<T>,
    mut row: Row,
    mut replace: impl FnMut(&T, Volume) -> Volume,
) -> Result<Row, StageError> {
    for (name, value) in drawn {
        let image = row.images.iter_mut().find(|c| &c.name == name);
        let Some((image, volume)) = image.and_then(|c| c.volume.take().map(|v| (c, v))) else {
            return Err(StageError::input(format!(
                "the draw is of modality `{name}`, which this row lacks; replay it on the row it was made for"
            )));
        };
        image.volume = Some(replace(value, volume));
    }
    Ok(row)
}

/// A change that makes every voxel a function of its own value, compiled for this machine's vectors.
fn voxelwise(function: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Change {
    Change::by_value(move |voxels| {
        vectorised(
            #[inline(always)]
            || voxels.iter_mut().for_each(|v| *v = function(*v)),
        );
    })
}

/// Changes every voxel of every selected image by itself; labels and other images stay.
fn change_selected(mut row: Row, modalities: Option<&[String]>, change: &Change) -> Row {
    for image in &mut row.images {
        if selects(modalities, &image.name) {
            let volume = image.volume.take();
            image.volume = volume.map(|volume| volume.changed(change.clone()));
        }
    }
    row
}

/// Changes the values of every selected image; labels and other images stay as they are.
fn map_each(
    mut row: Row,
    modalities: Option<&[String]>,
    mut change: impl FnMut(&mut [f32]),
) -> Row {
    for image in &mut row.images {
        if selects(modalities, &image.name)
            && let Some(volume) = image.volume.take()
        {
            image.volume = Some(volume.map_f32(&mut change));
        }
    }
    row
}

/// Schema after a step that runs with probability `p` and then on each modality with `p_modality`.
///
/// **Errors** as [`check_augment`], and when `p_modality` is no probability.
fn check_some(
    input: &EdgeSchema,
    p: f64,
    p_modality: f64,
    modalities: Option<&[String]>,
) -> Result<EdgeSchema, String> {
    check_probability(p)?;
    check_probability(p_modality).map_err(|e| e.replace("`p`", "`p_modality`"))?;
    check_augment(input, p * p_modality, modalities)
}

/// As [`draw_each`], but each modality takes part with probability `p_modality` on its own.
fn draw_some<T>(
    rng: &mut SampleRng,
    [p, p_modality]: [f64; 2],
    modalities: Option<&[String]>,
    row: &Row,
    mut one: impl FnMut(&mut SampleRng) -> T,
) -> Option<PerModality<T>> {
    let drawn = draw_each(rng, p, modalities, row, |rng| {
        let takes_part = rng.chance(p_modality);
        let value = one(rng);
        takes_part.then_some(value)
    })?;
    let drawn: PerModality<T> = drawn
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    (!drawn.is_empty()).then_some(drawn)
}

/// Changes the values of every image that has a draw, knowing the grid they stand on.
///
/// **Errors** when the draw is of an image that the row lacks.
fn apply_on_grid<T>(
    drawn: &PerModality<T>,
    row: Row,
    mut change: impl FnMut(&T, &Grid, &mut [f32]),
) -> Result<Row, StageError> {
    replace_each(drawn, row, |value, volume| {
        let grid = *volume.grid();
        volume.map_f32(|voxels| change(value, &grid, voxels))
    })
}

/// Changes an image in which voxels that are not finite count as its smallest finite value (0 where
/// there is none), and puts those voxels back: they stay and do not spread.
pub(super) fn aside(voxels: &mut [f32], change: impl FnOnce(&mut [f32])) {
    let odd: Vec<(usize, f32)> = voxels
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, v)| !v.is_finite())
        .collect();
    if !odd.is_empty() {
        let smallest = finite_bounds(voxels).map_or(0.0, |[low, _]| low);
        odd.iter().for_each(|(i, _)| voxels[*i] = smallest);
    }
    change(voxels);
    odd.into_iter().for_each(|(i, v)| voxels[i] = v);
}

#[cfg(test)]
pub(crate) mod tests;
