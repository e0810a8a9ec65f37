//! Scales tissue to mean 0 and standard deviation 1, and sets background apart.

use super::{LARGEST, check_modalities, map_each};
use crate::kernel::moments::{Moments, finite_bounds, moments};
use crate::kernel::percentile::percentiles;
use crate::kernel::simd::vectorised;
use crate::stage::{EdgeSchema, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scales each image's foreground to mean 0 and standard deviation 1 and puts background below it.
///
/// **Law** mean `m` and standard deviation `s` (divided by n, summed in f64) are those of the
/// foreground voxels; `v' = clip((v - m) / s, -clip, clip)`. With `background: below` background
/// voxels, and only they, become exactly `-clip`: the common choice of leaving them at 0 gives air
/// the value of mean tissue, and the two cannot be told apart again. Voxels that are not finite are background.
/// Where the foreground is constant, it becomes 0; where there is none, every voxel does.
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
    /// Voxels above the image's smallest value, which is air or padding in MR and CT alike.
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
                let [low, _] = finite_bounds(voxels)?;
                percentiles(voxels, |v| v.is_finite() & (v > low), percents)
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
    fn scale(&self, voxels: &mut [f32], foreground: impl Fn(f32) -> bool + Copy) {
        let Moments { count, mean, sd } = moments(voxels, foreground);
        if count == 0 {
            return voxels.fill(0.0);
        }
        let scale = Some((1.0 / sd) as f32).filter(|s| s.is_finite());
        let (mean, scale, clip) = (mean as f32, scale.unwrap_or(0.0), self.clip as f32);
        // The next number above -clip keeps foreground and background apart.
        let lowest = (-clip).next_up();
        let scale_background = self.background == Background::Scaled;
        let apart = match self.background {
            Background::Zero => 0.0,
            Background::Below | Background::Scaled => -clip,
        };
        vectorised(
            #[inline(always)]
            || {
                for v in voxels.iter_mut() {
                    let scaled = ((*v - mean) * scale).clamp(lowest, clip);
                    let tissue = foreground(*v) | (scale_background & v.is_finite());
                    *v = if tissue { scaled } else { apart };
                }
            },
        );
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

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        Ok(vec![map_each(
            row,
            self.modalities.as_deref(),
            |voxels| match self.foreground {
                Foreground::All => self.scale(voxels, f32::is_finite),
                Foreground::Nonzero => self.scale(voxels, |v| v.is_finite() & (v != 0.0)),
                Foreground::AboveMin => {
                    let [low, _] = finite_bounds(voxels).unwrap_or_default();
                    self.scale(voxels, move |v| v.is_finite() & (v > low));
                }
            },
        )])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    fn scaled(zscore: &Zscore, values: &[f32]) -> Vec<f32> {
        image_of(&zscore.map(row_of(values)).unwrap()[0])
    }

    #[test]
    fn tissue_is_standardised_and_air_lies_below_it() {
        let mut values: Vec<f32> = (0..1000).map(|i| 300.0 + ((i * 7) % 100) as f32).collect();
        values.extend([0.0; 500]);
        values.extend([1e9, f32::NAN, f32::NEG_INFINITY]);
        values[0] = 1.0;
        let found = scaled(&Zscore::default(), &values[..1500]);
        let tissue: Vec<f64> = found[1..1000].iter().map(|v| f64::from(*v)).collect();
        let mean = tissue.iter().sum::<f64>() / 999.0;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!(found[..1000].iter().all(|v| *v > -5.0));
        assert!(found[1000..].iter().all(|v| *v == -5.0));
        let with_odd = scaled(&Zscore::default(), &values);
        assert_eq!(with_odd[1500..], [5.0, -5.0, -5.0]);
    }

    #[test]
    fn moments_are_those_of_the_formula() {
        let all = Zscore {
            foreground: Foreground::All,
            ..Zscore::default()
        };
        assert_eq!(scaled(&all, &[1.0, 3.0, 1.0, 3.0]), [-1.0, 1.0, -1.0, 1.0]);
        let nonzero = Zscore {
            foreground: Foreground::Nonzero,
            background: Background::Zero,
            ..Zscore::default()
        };
        assert_eq!(scaled(&nonzero, &[0.0, 1.0, 3.0]), [0.0, -1.0, 1.0]);
        let like_tissue = Zscore {
            foreground: Foreground::Nonzero,
            background: Background::Scaled,
            ..Zscore::default()
        };
        let found = scaled(&like_tissue, &[0.0, 1.0, 3.0, f32::NAN]);
        assert_eq!(found, [-2.0, -1.0, 1.0, -5.0]);
    }

    #[test]
    fn constant_images_become_zeros() {
        for foreground in [Foreground::AboveMin, Foreground::Nonzero, Foreground::All] {
            let zscore = Zscore {
                foreground,
                ..Zscore::default()
            };
            for value in [0.1f32, 7.3e8, 3e38] {
                assert_eq!(scaled(&zscore, &[value; 1001]), [0.0; 1001]);
            }
        }
        let mask = scaled(&Zscore::default(), &[0.0, 100.0, 100.0]);
        assert_eq!(mask, [-5.0, 0.0, 0.0]);
        assert_eq!(scaled(&Zscore::default(), &[f32::NAN; 3]), [0.0; 3]);
    }
}
