//! Scales tissue to mean 0 and standard deviation 1, and sets background apart.

use super::{LARGEST, check_modalities, selects, voxelwise};
use crate::kernel::moments::{Moments, Sums, above_minimum, finite_bounds};
use crate::kernel::peaks::Peaks;
use crate::kernel::percentile::percentiles;
use crate::stage::{EdgeSchema, Effect, Stage, StageError};
use crate::volume::foreground::ForegroundRows;
use crate::volume::{KnownForeground, Row, Volume, WarningKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scales each image's foreground to mean 0 and standard deviation 1 and puts background below it.
///
/// **Law** mean `m` and standard deviation `s` (divided by n, summed in f64) are those of the
/// foreground voxels; `v' = clip((v - m) / s, -clip, clip)`, where `v - m` is taken in f64 before it is
/// rounded: an offset of 1e6 costs no digits. With `background: below` background
/// voxels, and only they, become exactly `-clip`: the common choice of leaving them at 0 gives air
/// the value of mean tissue, and the two cannot be distinguished again. Voxels that are not finite are background.
/// Where the foreground is constant (`s <= 2^-22 |m|`: rounding to f32), it becomes 0; where there is none, every voxel does. Both add a
/// warning (`constant_foreground`, `no_foreground`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Zscore {
    /// Modalities to change, each by its own mean; all where left out.
    pub modalities: Option<Vec<String>>,
    /// Which voxels count for mean and standard deviation.
    pub foreground: Foreground,
    /// Standard deviations at which values are clipped; greater than 0.
    pub clip: f64,
    /// What becomes of the other voxels.
    pub background: Background,
}

/// Which voxels are foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Foreground {
    /// Voxels above the image's smallest value, which is air or padding in MR and CT alike, by more than rounding to f32 (2^-21 of it).
    AboveMin,
    /// Voxels that are not 0, for images whose background was masked to 0.
    Nonzero,
    /// Every voxel.
    All,
}

impl Foreground {
    /// Percentiles of an image's finite foreground, as NumPy's `percentile`; `None` where there is none.
    pub fn percentiles(self, voxels: &[f32], percents: &[f64]) -> Option<Vec<f64>> {
        match self {
            Self::All => percentiles(voxels, f32::is_finite, percents),
            Self::Nonzero => percentiles(voxels, |v| v.is_finite() & (v != 0.0), percents),
            Self::AboveMin => {
                let above = above_minimum(finite_bounds(voxels)?[0]);
                percentiles(voxels, |v| v.is_finite() & (v > above), percents)
            }
        }
    }
}

/// What becomes of background voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// `-clip`, which no foreground voxel has.
    Below,
    /// 0, the value of mean tissue, as other packages do; for comparisons.
    Zero,
    /// Scaled and clipped like the foreground; voxels that are not finite become `-clip`.
    Scaled,
}

impl Default for Zscore {
    fn default() -> Self {
        Self {
            modalities: None,
            foreground: Foreground::AboveMin,
            clip: 5.0,
            background: Background::Below,
        }
    }
}

impl Zscore {
    /// What becomes of each voxel, given the moments of the foreground.
    fn scaled(
        &self,
        found: Moments,
        foreground: impl Fn(f32) -> bool + Copy + Send + Sync + 'static,
    ) -> impl Fn(f32) -> f32 + Copy + Send + Sync + 'static {
        let Moments { count, mean, sd } = found;
        let scale = Some((1.0 / sd) as f32).filter(|s| s.is_finite() && !found.is_constant());
        let (scale, clip) = (scale.unwrap_or(0.0), self.clip as f32);
        // The next number above -clip keeps foreground and background apart.
        let lowest = (-clip).next_up();
        let scale_background = self.background == Background::Scaled;
        let apart = match self.background {
            Background::Zero => 0.0,
            Background::Below | Background::Scaled => -clip,
        };
        let apart = if count == 0 { 0.0 } else { apart };
        move |v| {
            let distance = (f64::from(v) - mean) as f32;
            // A distance beyond f32 times a scale of 0 is not a number.
            let scaled = if scale == 0.0 { 0.0 } else { distance * scale };
            let scaled = scaled.clamp(lowest, clip);
            let tissue = foreground(v) | (scale_background & (count > 0) & v.is_finite());
            if tissue { scaled } else { apart }
        }
    }

    /// Scales an image: one that is still to be gathered stays so, where its background is one value.
    fn scale(&self, volume: Volume) -> (Volume, Moments) {
        let volume = volume.into_f32();
        match self.foreground {
            Foreground::All => {
                let keep = f32::is_finite;
                let counted = Counted::of(&volume, volume.foreground_rows(), keep);
                self.apply(volume, counted, keep)
            }
            Foreground::Nonzero => {
                let keep = |v: f32| v.is_finite() & (v != 0.0);
                let counted = Counted::of(&volume, volume.foreground_rows(), keep);
                self.apply(volume, counted, keep)
            }
            Foreground::AboveMin => {
                // Rows are of use if the smallest value is known from them.
                let rows = volume.foreground_rows();
                let rows = rows.filter(|rows| rows.smallest().is_some());
                let low = match rows.as_ref().and_then(ForegroundRows::smallest) {
                    Some(smallest) => smallest,
                    None => finite_bounds(&volume.to_f32()).map_or(0.0, |[low, _]| low),
                };
                let above = above_minimum(low);
                let keep = move |v: f32| v.is_finite() & (v > above);
                let counted = Counted::of(&volume, rows, keep);
                self.apply(volume, counted, keep)
            }
        }
    }

    fn apply(
        &self,
        volume: Volume,
        counted: Counted,
        keep: impl Fn(f32) -> bool + Copy + Send + Sync + 'static,
    ) -> (Volume, Moments) {
        let found = counted.found;
        let scaled = self.scaled(found, keep);
        let change = voxelwise(scaled);
        let (voxels, peaks) = match counted.deferred {
            // Which values scaled background has is not known.
            Some(deferred) if self.background != Background::Scaled => deferred,
            _ => return (volume.map_f32(|voxels| change.make(voxels, 0)), found),
        };
        // The smallest tissue, and what every other voxel becomes.
        let tissue = (found.count > 0).then(|| scaled(counted.lowest));
        let apart = (found.count < voxels).then(|| scaled(f32::NAN));
        let both = tissue.into_iter().chain(apart);
        let lowest = both.fold(f32::INFINITY, f32::min);
        let foreground = KnownForeground {
            peaks: peaks.mapped(scaled),
            background: apart.unwrap_or(f32::NEG_INFINITY),
        };
        let changed = volume.changed_to(change, lowest);
        (changed.with_foreground(foreground), found)
    }
}

/// Figures of an image's foreground.
struct Counted {
    found: Moments,
    /// Its smallest voxel.
    lowest: f32,
    /// Voxels, and peaks of the foreground, of an image that is still to be gathered; `None` of one whose
    /// voxels are there.
    deferred: Option<(usize, Peaks)>,
}

impl Counted {
    /// Counts the foreground in rows that are not kept, where all voxels outside them are background, else
    /// in the image's voxels.
    fn of(
        volume: &Volume,
        rows: Option<ForegroundRows<'_>>,
        keep: impl Fn(f32) -> bool + Copy,
    ) -> Self {
        let mut sums = Sums::new(keep);
        let rows = rows.filter(|rows| rows.background().is_none_or(|outside| !keep(outside)));
        let deferred = rows.map(|mut rows| {
            let mut peaks = Peaks::new(volume.grid().shape_xyz());
            rows.for_each_row(|first, values| {
                sums.add(first, values);
                peaks.add(first, values, keep);
            });
            (rows.voxels(), peaks)
        });
        if deferred.is_none() {
            sums.add(0, &volume.to_f32());
        }
        Self {
            found: sums.moments(),
            lowest: sums.lowest(),
            deferred,
        }
    }
}

/// What is suspicious about an image's foreground.
fn suspicion(found: &Moments) -> Option<(WarningKind, String)> {
    match found {
        Moments { count: 0, .. } => Some((
            WarningKind::NoForeground,
            "no voxel is foreground, so every voxel becomes 0; look at the image, or choose another `foreground`".to_owned(),
        )),
        Moments { count, mean, .. } if found.is_constant() => Some((
            WarningKind::ConstantForeground,
            format!(
                "all {count} foreground voxels are {mean}, so they become 0; look at the image, or choose another `foreground`"
            ),
        )),
        _ => None,
    }
}

impl Stage for Zscore {
    const NAME: &'static str = "zscore";
    const EXAMPLE: &'static str = "{ modalities: [mr], foreground: above_min }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        if !(self.clip as f32 > 0.0 && self.clip <= LARGEST) {
            return Err(format!(
                "`clip` is {}; expected a number of standard deviations above 0 and up to {LARGEST}",
                self.clip
            ));
        }
        check_modalities(input, self.modalities.as_deref())
    }

    fn effect(&self) -> Effect {
        Effect::Normalizes
    }

    fn map(&self, mut row: Row) -> Result<Vec<Row>, StageError> {
        for i in 0..row.images.len() {
            let image = &mut row.images[i];
            if !selects(self.modalities.as_deref(), &image.name) {
                continue;
            }
            let Some(volume) = image.volume.take() else {
                continue;
            };
            let (scaled, found) = self.scale(volume);
            image.volume = Some(scaled);
            let name = image.name.clone();
            if let Some((kind, problem)) = suspicion(&found) {
                row.warn(kind, Some(&name), problem);
            }
        }
        Ok(vec![row])
    }
}

#[cfg(test)]
mod tests;
