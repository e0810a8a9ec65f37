//! Clips values to a window and scales it.

use super::{change_selected, check_modalities, voxelwise};
use crate::stage::{EdgeSchema, Effect, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clips values to a window and scales the window linearly, as for Hounsfield units.
///
/// **Law** `v' = to[0] + (clip(v, low, high) - low) / (high - low) * (to[1] - to[0])`; both ends
/// are met exactly. Voxels that are not a number become `to[0]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Lower and upper end of the window, in the image's units (HU for CT).
    pub range: [f64; 2],
    /// The values that the two ends get.
    #[serde(default = "unit")]
    pub to: [f64; 2],
    /// Modalities to change; all where left out.
    #[serde(default)]
    pub modalities: Option<Vec<String>>,
}

fn unit() -> [f64; 2] {
    [0.0, 1.0]
}

impl Stage for Window {
    const NAME: &'static str = "window";
    const EXAMPLE: &'static str = "{ range: [-175, 250], modalities: [ct] }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let ([low, high], [first, last]) = (self.range, self.to);
        // As f32, because that is what voxels are compared with.
        if !((low as f32) < high as f32 && (high as f32 - low as f32).is_finite()) {
            return Err(format!(
                "`range` is [{low}, {high}]; expected two different numbers, the smaller first"
            ));
        }
        if first == last || !(first as f32).is_finite() || !(last as f32).is_finite() {
            return Err(format!(
                "`to` is [{first}, {last}]; expected two different numbers"
            ));
        }
        check_modalities(input, self.modalities.as_deref())
    }

    fn effect(&self) -> Effect {
        Effect::Pointwise
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        let [low, high] = self.range.map(|v| v as f32);
        let [first, last] = self.to.map(|v| v as f32);
        let width = high - low;
        let change = voxelwise(move |v| {
            // `max` returns the other operand for NaN, `clamp` would keep it.
            let t = (v.max(low).min(high) - low) / width;
            first * (1.0 - t) + last * t
        });
        // Between a negative end and a positive one no rounding falls below the first.
        let change = match first <= 0.0 && 0.0 <= last {
            true => change.with_floor(low),
            false => change,
        };
        Ok(vec![change_selected(
            row,
            self.modalities.as_deref(),
            &change,
        )])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    #[test]
    fn ends_are_exact_and_nothing_leaves_them() {
        let window = Window {
            range: [-175.0, 250.0],
            to: [-0.3, 0.7],
            modalities: None,
        };
        let values = [
            -3000.0,
            -175.0,
            37.5,
            250.0,
            9000.0,
            f32::NAN,
            f32::INFINITY,
        ];
        let rows = window.map(row_of(&values)).unwrap();
        let found = image_of(&rows[0]);
        assert_eq!([found[0], found[1], found[5]], [-0.3; 3]);
        assert_eq!([found[3], found[4], found[6]], [0.7; 3]);
        assert!((found[2] - 0.2).abs() < 1e-6);
    }

    #[test]
    fn a_reversed_window_is_refused() {
        let window = Window {
            range: [250.0, -175.0],
            to: unit(),
            modalities: None,
        };
        let edge = EdgeSchema {
            channels: vec![],
            rows_per_subject: Some(1),
        };
        assert!(window.check(&edge).unwrap_err().contains("smaller first"));
    }
}
