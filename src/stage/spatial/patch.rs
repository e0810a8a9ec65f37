//! Cuts patches out of volumes.

use super::fill::OutsideFill;
use super::pad::centred_offset;
use super::regrid::{check_one_grid, in_column, one_grid};
use crate::draw::SampleRng;
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::grid::{MOST_VOXELS, is_in_bounds};
use crate::volume::{Row, Sites};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cuts boxes of one size out of a subject, the same box for all modalities and labels.
///
/// With probability `positive` a patch is centred, as far as it can stay inside the volume, on a
/// voxel of a foreground class: a class present is drawn, each equally likely, then one of its
/// voxels (of at most 10,000 that are remembered of each class). Otherwise, and for subjects without a label map or without foreground, every position
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
    /// Classes that count as foreground; every class above 0 where left out, but 255, which marks voxels
    /// that nobody annotated.
    #[serde(default)]
    pub classes: Option<Vec<i64>>,
    /// Draws nothing and cuts every window of a regular grid that covers the volume.
    #[serde(default)]
    pub grid: Option<Windows>,
    /// Value of images in patches that are larger than the volume, as in `pad`. Windows of prediction are filled
    /// with the minimum: where that matters, put `pad` with the same `fill` into `stages`.
    #[serde(default, skip_serializing_if = "OutsideFill::is_default")]
    pub fill: OutsideFill,
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

impl Patch {
    fn is_foreground(&self, class: i64) -> bool {
        match &self.classes {
            Some(classes) => classes.contains(&class),
            None => class > 0 && class != i64::from(crate::volume::nifti::IGNORED),
        }
    }

    /// A foreground class and where one of its voxels is now.
    fn foreground_voxel(&self, rng: &mut SampleRng, row: &Row) -> Option<(i64, [usize; 3])> {
        let looked;
        let sites = match &row.sites {
            Some(sites) => sites.as_ref(),
            None => {
                let labels = row.labels.iter().find_map(|c| c.volume.as_ref())?;
                looked = Sites::of(labels);
                &looked
            }
        };
        let present: Vec<i64> = sites.classes().filter(|c| self.is_foreground(*c)).collect();
        if present.is_empty() {
            return None;
        }
        let class = present[rng.below(present.len())];
        let voxels = sites.of_class(class);
        let at = sites.voxel(voxels[rng.below(voxels.len())]);
        Some((class, row.voxel_now(sites, at)?))
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
        if !is_in_bounds(self.size) {
            return Err(format!(
                "patches of {:?} voxels are too large; {MOST_VOXELS} voxels in all is the most",
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
            if let Some(class) = classes.iter().find(|c| **c <= 0) {
                return Err(format!(
                    "`classes` lists {class}; patches are centred on foreground, whose class numbers start at 1"
                ));
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
        let filled = self.fill.check(input)?;
        let mut next = filled.map(|c| c.shape_xyz = Some(self.size));
        next.rows_per_subject = input
            .rows_per_subject
            .zip(samples)
            .and_then(|(rows, samples)| rows.checked_mul(samples));
        Ok(next)
    }

    fn effect(&self) -> Effect {
        Effect::Crops
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
        let centre = match is_positive {
            true => self.foreground_voxel(rng, row),
            false => None,
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
        let window = |name: &str, role, volume| {
            let fill = &self.fill;
            fill.windowed(name, role, volume, draw.offset_xyz, self.size)
        };
        row.try_map_volumes(window).map_err(in_column)
    }
}
