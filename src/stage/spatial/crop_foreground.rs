//! Cuts away the air around the body.

use super::regrid::{check_one_grid, one_grid, windowed_row};
use crate::kernel::region::Region;
use crate::stage::{EdgeSchema, Effect, Stage, StageError};
use crate::volume::foreground::Above;
use crate::volume::{Row, WarningKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Crops every volume of a subject to the box of its foreground, the same box for all.
///
/// Foreground is every voxel above the threshold in any of the modalities looked at. A subject
/// without foreground, or without those modalities, keeps its whole volume; the former adds a
/// warning (`no_foreground`). All modalities need
/// one grid.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CropForeground {
    /// Modalities to look at; all where left out.
    #[serde(default)]
    pub modalities: Option<Vec<String>>,
    /// Threshold in the image's values at this step: a number, or `min` for the minimum of each image (and what rounding to f32 adds to it).
    #[serde(default)]
    pub above: Threshold,
    /// Margin kept on every side in mm, rounded up to whole voxels.
    #[serde(default)]
    pub margin_mm: f64,
}

/// The value that foreground exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number, or the name of a threshold such as `min`"
)]
pub enum Threshold {
    /// This value.
    Value(f64),
    /// A value found in each image.
    Named(NamedThreshold),
}

/// A threshold found in each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamedThreshold {
    /// The image's minimum.
    Min,
}

impl Default for Threshold {
    fn default() -> Self {
        Self::Named(NamedThreshold::Min)
    }
}

impl Default for CropForeground {
    fn default() -> Self {
        Self {
            modalities: None,
            above: Threshold::default(),
            margin_mm: 0.0,
        }
    }
}

impl CropForeground {
    fn looks_at(&self, modality: &str) -> bool {
        let named = self.modalities.as_ref();
        named.is_none_or(|names| names.iter().any(|n| n == modality))
    }

    fn foreground(&self, row: &mut Row) -> Option<Region> {
        let images = row.images.iter_mut().filter(|c| self.looks_at(&c.name));
        let above = match self.above {
            Threshold::Value(value) => Above::Value(value as f32),
            Threshold::Named(NamedThreshold::Min) => Above::Minimum,
        };
        let boxes = images.filter_map(|channel| channel.volume.as_mut()?.region_above(above));
        boxes.reduce(Region::union)
    }

    /// Why a row has no foreground; `None` if it has none of the modalities looked at.
    fn without_foreground(&self, row: &Row) -> Option<String> {
        let images = row.images.iter();
        let seen = images.filter(|c| c.volume.is_some() && self.looks_at(&c.name));
        let names: Vec<String> = seen.map(|c| format!("`{}`", c.name)).collect();
        let above = match self.above {
            Threshold::Value(value) => value.to_string(),
            Threshold::Named(NamedThreshold::Min) => "the image's minimum".to_owned(),
        };
        (!names.is_empty()).then(|| {
            format!(
                "no voxel of {} is above {above}, so the whole volume is kept; look at the image, or change `above`",
                names.join(", ")
            )
        })
    }
}

impl Stage for CropForeground {
    const NAME: &'static str = "crop_foreground";
    const EXAMPLE: &'static str = "{ above: min, margin_mm: 10 }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        input.check_modalities(self.modalities.as_deref())?;
        if self.modalities.as_ref().is_some_and(Vec::is_empty) {
            return Err(
                "`modalities` is empty; name at least one, or leave it out for all".to_owned(),
            );
        }
        if !(self.margin_mm.is_finite() && self.margin_mm >= 0.0) {
            return Err(format!(
                "`margin_mm` is {}; a margin is 0 or a positive number of mm",
                self.margin_mm
            ));
        }
        if let Threshold::Value(value) = self.above
            && !value.is_finite()
        {
            return Err(format!(
                "`above` is {value}; write a finite number, or `min`"
            ));
        }
        check_one_grid(input, Self::NAME)?;
        Ok(input.map(|c| c.shape_xyz = None))
    }

    fn effect(&self) -> Effect {
        Effect::DataDependentCrop
    }

    fn map(&self, mut row: Row) -> Result<Vec<Row>, StageError> {
        let Some(grid) = one_grid(&row, Self::NAME)? else {
            return Ok(vec![row]);
        };
        let Some(region) = self.foreground(&mut row) else {
            if let Some(problem) = self.without_foreground(&row) {
                row.warn(WarningKind::NoForeground, None, problem);
            }
            return Ok(vec![row]);
        };
        let margin = grid
            .spacing_mm()
            .map(|mm| (self.margin_mm / mm - 1e-6).ceil().max(0.0) as usize);
        let region = region.grown(margin, grid.shape_xyz());
        let offset = region.offset_xyz.map(|o| o as i64);
        Ok(vec![windowed_row(row, offset, region.shape_xyz)?])
    }
}
