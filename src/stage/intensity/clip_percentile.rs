//! Clips values to percentiles of the image.

use super::zscore::Foreground;
use super::{check_modalities, map_each};
use crate::stage::{EdgeSchema, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clips each image to two of its own percentiles, so that a few bright voxels (vessels, metal,
/// spikes) do not set the scale of what follows.
///
/// **Law** `v' = clip(v, q(lower), q(upper))` with `q` the percentiles of the finite foreground
/// voxels, found exactly (NumPy's `percentile`). Every voxel is clipped, background included;
/// `lower: 0` and `upper: 100` leave that side alone. Infinite voxels are clipped, NaN stays. An
/// image without foreground stays as it is. **Source** the percentile clipping of nnU-Net's CT
/// normalisation (0.5 and 99.5 of the foreground), here by image instead of by data set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClipPercentile {
    /// Lower percentile, 0 to 100 and below `upper`.
    pub lower: f64,
    /// Upper percentile.
    pub upper: f64,
    /// Which voxels count for the percentiles.
    pub foreground: Foreground,
    /// Modalities to change, each by its own percentiles; all where left out.
    pub modalities: Option<Vec<String>>,
}

impl Default for ClipPercentile {
    fn default() -> Self {
        Self {
            lower: 0.5,
            upper: 99.5,
            foreground: Foreground::All,
            modalities: None,
        }
    }
}

impl ClipPercentile {
    fn clip(&self, voxels: &mut [f32]) {
        let percents = [self.lower, self.upper];
        let Some(ends) = self.foreground.percentiles(voxels, &percents) else {
            return;
        };
        let low = if self.lower > 0.0 {
            ends[0]
        } else {
            f64::NEG_INFINITY
        };
        let high = if self.upper < 100.0 {
            ends[1]
        } else {
            f64::INFINITY
        };
        let (low, high) = (low as f32, high as f32);
        for v in voxels {
            *v = v.clamp(low, high);
        }
    }
}

impl Stage for ClipPercentile {
    const NAME: &'static str = "clip_percentile";
    const EXAMPLE: &'static str = "{ lower: 0.5, upper: 99.5, foreground: above_min }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        if !(self.lower >= 0.0 && self.lower < self.upper && self.upper <= 100.0) {
            return Err(format!(
                "`lower` is {} and `upper` {}; expected two percentiles from 0 to 100, the smaller first",
                self.lower, self.upper
            ));
        }
        check_modalities(input, self.modalities.as_deref())
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        Ok(vec![map_each(row, self.modalities.as_deref(), |voxels| {
            self.clip(voxels);
        })])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    fn clipped(stage: &ClipPercentile, values: &[f32]) -> Vec<f32> {
        image_of(&stage.map(row_of(values)).unwrap()[0])
    }

    #[test]
    fn ends_are_percentiles_of_what_counts() {
        let mut stage = ClipPercentile {
            lower: 10.0,
            upper: 75.0,
            ..ClipPercentile::default()
        };
        let values = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 7.0, 9.0, 100.0];
        // Positions 1 and 7.5 of eleven.
        let found = clipped(&stage, &values);
        assert_eq!(
            found,
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 5.0, 5.0, 5.0]
        );
        // Positions 0.4 and 3 of 1, 3, 7, 9, 100.
        stage.foreground = Foreground::Nonzero;
        let found = clipped(&stage, &values);
        assert_eq!(found[5..], [1.8, 1.8, 3.0, 7.0, 9.0, 9.0]);
        stage.foreground = Foreground::AboveMin;
        assert_eq!(clipped(&stage, &values), found);
    }

    #[test]
    fn the_whole_range_changes_nothing() {
        let stage = ClipPercentile {
            lower: 0.0,
            upper: 100.0,
            ..ClipPercentile::default()
        };
        let values = [3.0, -7.5, f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(clipped(&stage, &values), values);
        let odd = clipped(
            &ClipPercentile::default(),
            &[1.0, 1.0, f32::NAN, f32::INFINITY],
        );
        assert_eq!(odd[..2], [1.0, 1.0]);
        assert!(odd[2].is_nan() && odd[3] == 1.0);
        assert!(clipped(&stage, &[f32::NAN; 2])[1].is_nan());
    }

    #[test]
    fn ends_in_the_wrong_order_are_refused() {
        let stage = ClipPercentile {
            lower: 99.5,
            upper: 0.5,
            ..ClipPercentile::default()
        };
        let edge = EdgeSchema {
            channels: vec![],
            rows_per_subject: Some(1),
        };
        assert!(stage.check(&edge).unwrap_err().contains("smaller first"));
    }
}
