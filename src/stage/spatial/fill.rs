//! What images hold outside the volume they are read from: one option for all steps that make volumes larger.

use crate::stage::EdgeSchema;
use crate::volume::{Dtype, Role, Volume, VolumeError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Value of images outside the volume: `min`, a number, or one of them for each modality, such as `{ ct: -1024, mr: min }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected `min`, a number such as `-1024`, or one of them for each modality: `{ ct: -1024, mr: min }`"
)]
pub enum OutsideFill {
    /// One value for all modalities.
    Every(FillValue),
    /// A value for each modality; modalities that are not named take `min`.
    Each(BTreeMap<String, FillValue>),
}

/// Value of one image outside the volume.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number such as `-1024`, or `min` for the image's minimum"
)]
pub enum FillValue {
    /// This value, in the units of the image at this step; the image leaves as f32.
    Number(f64),
    /// A value found in each image.
    Named(NamedFill),
}

/// A fill value found in each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamedFill {
    /// The minimum of the whole image when its values were last changed, or a number was filled in; the stored type stays.
    Min,
}

impl Default for OutsideFill {
    fn default() -> Self {
        Self::Every(FillValue::Named(NamedFill::Min))
    }
}

impl OutsideFill {
    /// Returns `true` for the default, which is left out of plans.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The number that a modality is filled with; `None` for the image's minimum.
    fn number(&self, modality: &str) -> Option<f32> {
        let value = match self {
            Self::Every(value) => Some(value),
            Self::Each(values) => values.get(modality),
        };
        match value {
            // One zero: its sign would be another number to whoever compares bits.
            Some(FillValue::Number(number)) => Some(*number as f32 + 0.0),
            Some(FillValue::Named(NamedFill::Min)) | None => None,
        }
    }

    /// Checks the values and modalities; returns what is known of the images behind the step: f32 where a
    /// number is given, because stored types cannot hold every number.
    ///
    /// **Errors** if a number does not fit an f32, or a modality does not arrive.
    pub(super) fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let values: Vec<&FillValue> = match self {
            Self::Every(value) => vec![value],
            Self::Each(values) => {
                let names: Vec<String> = values.keys().cloned().collect();
                input
                    .check_modalities(Some(&names))
                    .map_err(|problem| format!("`fill`: {problem}"))?;
                values.values().collect()
            }
        };
        for value in values {
            if let FillValue::Number(number) = value
                && !(*number as f32).is_finite()
            {
                return Err(format!(
                    "`fill` is {number}; write a finite number in the units of the image, such as -1024 for air in HU, or `min`"
                ));
            }
        }
        Ok(input.map(|c| {
            if c.role == Role::Image && self.number(&c.name).is_some() {
                c.dtype = Some(Dtype::F32);
            }
        }))
    }

    /// The window of a volume that begins at `offset_xyz` and may reach beyond it: there images hold the
    /// fill value, label maps 0, the background.
    ///
    /// **Errors** as [`Volume::windowed`].
    pub(super) fn windowed(
        &self,
        modality: &str,
        role: Role,
        volume: Volume,
        offset_xyz: [i64; 3],
        shape_xyz: [usize; 3],
    ) -> Result<Volume, VolumeError> {
        match self.number(modality).filter(|_| role == Role::Image) {
            None => volume.windowed(role, offset_xyz, shape_xyz),
            // The type is that of the plan, whether this volume is small enough to be filled or not.
            Some(number) => volume
                .into_f32()
                .windowed_over(number, offset_xyz, shape_xyz),
        }
    }
}
