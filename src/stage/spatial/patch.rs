//! Cuts patches out of volumes.

use super::pad::centred_offset;
use super::regrid::{check_one_grid, in_column, one_grid, windowed};
use crate::draw::SampleRng;
use crate::kernel::region::{class_counts, nth_voxel};
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::{Role, Row, Scaling, Volume, Voxel};
use crate::with_voxel_type;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Cuts boxes of one size out of a subject, the same box for all modalities and labels.
///
/// With probability `positive` a patch is centred, as far as it can stay inside the volume, on a
/// voxel of a foreground class: a class present is drawn, each equally likely, then one of its
/// voxels. Otherwise, and for subjects without a label map or without foreground, every position
/// inside the volume is equally likely. A volume smaller than the patch is padded as `pad` does.
/// The first label map present is the one looked at. All volumes need one grid.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Voxels along x, y, z.
    pub size: [usize; 3],
    /// Patches drawn of each row; not used with `grid`.
    #[serde(default = "four")]
    pub samples: u32,
    /// Share of patches centred on foreground, 0 to 1; not used with `grid`.
    #[serde(default = "half")]
    pub positive: f64,
    /// Classes that count as foreground; every class above 0 where left out.
    #[serde(default)]
    pub classes: Option<Vec<i64>>,
    /// Draws nothing and cuts every window of a regular grid that covers the volume.
    #[serde(default)]
    pub grid: Option<Windows>,
}

/// A regular grid of windows, x fastest; the last of each axis ends with the volume.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// Share of a window's edge that its neighbour covers too, from 0 to below 1.
    #[serde(default = "half")]
    pub overlap: f64,
}

fn four() -> u32 {
    4
}

fn half() -> f64 {
    0.5
}

/// Where a patch begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchDraw {
    /// First voxel x, y, z of the patch in the volume; negative where it is padded.
    pub offset_xyz: [i64; 3],
    /// Class the patch is centred on, where it was drawn for one.
    pub class: Option<i64>,
}

/// First voxels of the windows along one axis.
///
/// **Law** steps of `max(1, floor(length · (1 - overlap)))`, the last moved back inside.
fn window_starts(count: usize, length: usize, overlap: f64) -> Vec<i64> {
    if count <= length {
        return vec![centred_offset(count, length)];
    }
    let step = ((length as f64 * (1.0 - overlap)) as usize).max(1);
    let last = count - length;
    (0..=last.div_ceil(step))
        .map(|i| (i * step).min(last) as i64)
        .collect()
}

/// Class number of a stored label.
fn class_of<T: Voxel>(stored: T, scaling: Scaling) -> i64 {
    let value = stored.to_f64();
    if scaling == Scaling::NONE {
        value.round() as i64
    } else {
        (value * scaling.slope + scaling.intercept).round() as i64
    }
}

fn counts(labels: &Volume) -> BTreeMap<i64, usize> {
    let scaling = labels.scaling();
    with_voxel_type!(labels.dtype(), T => {
        let stored: &[T] = bytemuck::cast_slice(labels.buffer().as_slice());
        class_counts(stored, |v| class_of(v, scaling))
    })
}

/// Index x, y, z of the `n`-th voxel of a class.
fn voxel_of(labels: &Volume, class: i64, n: usize) -> Option<[usize; 3]> {
    let scaling = labels.scaling();
    let index = with_voxel_type!(labels.dtype(), T => {
        let stored: &[T] = bytemuck::cast_slice(labels.buffer().as_slice());
        nth_voxel(stored, n, |v| class_of(v, scaling) == class)
    })?;
    let [nx, ny, _] = labels.grid().shape_xyz();
    Some([index % nx, index / nx % ny, index / nx / ny])
}

impl Patch {
    fn is_foreground(&self, class: i64) -> bool {
        match &self.classes {
            Some(classes) => classes.contains(&class),
            None => class > 0,
        }
    }

    /// A foreground class and one of its voxels.
    fn foreground_voxel(&self, rng: &mut SampleRng, labels: &Volume) -> Option<(i64, [usize; 3])> {
        let present: Vec<(i64, usize)> = counts(labels)
            .into_iter()
            .filter(|&(class, _)| self.is_foreground(class))
            .collect();
        if present.is_empty() {
            return None;
        }
        let (class, count) = present[rng.below(present.len())];
        Some((class, voxel_of(labels, class, rng.below(count))?))
    }

    fn windows(&self, shape_xyz: [usize; 3], overlap: f64) -> [Vec<i64>; 3] {
        [0, 1, 2].map(|a| window_starts(shape_xyz[a], self.size[a], overlap))
    }

    fn windows_in_all(&self, shape_xyz: [usize; 3], overlap: f64) -> u32 {
        let starts = self.windows(shape_xyz, overlap);
        let count: usize = starts.iter().map(Vec::len).product();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Shape of the row's volumes, which [`Augment::apply`] refuses to cut where they differ.
fn row_shape(row: &Row) -> Option<[usize; 3]> {
    row.volumes().next().map(|(_, v)| v.grid().shape_xyz())
}

impl Augment for Patch {
    const NAME: &'static str = "patch";
    const EXAMPLE: &'static str = "{ size: [96, 96, 64], samples: 4, positive: 0.5 }";
    type Draw = PatchDraw;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        const MOST_SAMPLES: u32 = 1 << 16;
        if self.size.contains(&0) || self.size.iter().any(|&n| n > 1 << 16) {
            return Err(format!(
                "`size` is {:?}; every axis needs 1 to 65536 voxels",
                self.size
            ));
        }
        if !(1..=MOST_SAMPLES).contains(&self.samples) {
            return Err(format!(
                "`samples` is {}; a row gives 1 to {MOST_SAMPLES} patches",
                self.samples
            ));
        }
        if !(0.0..=1.0).contains(&self.positive) {
            return Err(format!(
                "`positive` is a share from 0 to 1, found {}",
                self.positive
            ));
        }
        if let Some(Windows { overlap }) = self.grid
            && !(0.0..1.0).contains(&overlap)
        {
            return Err(format!(
                "`overlap` is {overlap}; it is 0 or more and below 1, such as 0.5"
            ));
        }
        if let Some(classes) = &self.classes {
            if self.grid.is_some() {
                return Err(
                    "`classes` says where to draw patches and `grid` draws none; remove one of them"
                        .to_owned(),
                );
            }
            if classes.is_empty() {
                return Err(
                    "`classes` is empty; list class numbers, or leave it out for all above 0"
                        .to_owned(),
                );
            }
            if input.labels().next().is_none() {
                return Err(format!(
                    "`classes: {classes:?}` needs a label map and none arrives here; add `labels` to the source or remove `classes`"
                ));
            }
        }
        check_one_grid(input, Self::NAME)?;
        let samples = match self.grid {
            None => Some(self.samples),
            Some(Windows { overlap }) => input
                .channels
                .iter()
                .map(|c| c.shape_xyz)
                .collect::<Option<Vec<_>>>()
                .and_then(|shapes| Some(self.windows_in_all(*shapes.first()?, overlap))),
        };
        let mut next = input.map(|c| c.shape_xyz = Some(self.size));
        next.rows_per_subject = input
            .rows_per_subject
            .zip(samples)
            .and_then(|(rows, samples)| rows.checked_mul(samples));
        Ok(next)
    }

    fn samples(&self, row: &Row) -> u32 {
        match (self.grid, row_shape(row)) {
            (None, _) => self.samples,
            (Some(Windows { overlap }), Some(shape)) => self.windows_in_all(shape, overlap),
            (Some(_), None) => 1,
        }
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, sample: u32) -> Option<PatchDraw> {
        let shape = row_shape(row)?;
        if let Some(Windows { overlap }) = self.grid {
            let [x, y, z] = self.windows(shape, overlap);
            let i = sample as usize;
            return Some(PatchDraw {
                offset_xyz: [
                    x[i % x.len()],
                    y[i / x.len() % y.len()],
                    z[i / x.len() / y.len() % z.len()],
                ],
                class: None,
            });
        }
        let is_positive = rng.chance(self.positive);
        let labels = row
            .volumes()
            .find(|(role, v)| *role == Role::Label && v.grid().shape_xyz() == shape);
        let centre = match labels {
            Some((_, labels)) if is_positive => self.foreground_voxel(rng, labels),
            _ => None,
        };
        let offset_xyz = [0, 1, 2].map(|a| {
            let (count, length) = (shape[a], self.size[a]);
            match centre {
                _ if count <= length => centred_offset(count, length),
                Some((_, at)) => at[a].saturating_sub(length / 2).min(count - length) as i64,
                None => rng.below(count - length + 1) as i64,
            }
        });
        Some(PatchDraw {
            offset_xyz,
            class: centre.map(|(class, _)| class),
        })
    }

    fn apply(&self, draw: &PatchDraw, row: Row) -> Result<Row, StageError> {
        one_grid(&row, Self::NAME)?;
        row.try_map_volumes(|_, role, v| windowed(&v, role, draw.offset_xyz, self.size))
            .map_err(in_column)
    }
}
