//! Mirrors voxels.

use super::regrid::{Axis, turned_row};
use crate::draw::{SampleRng, check_probability};
use crate::kernel::reorient::AxisMap;
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reverses the voxel order along each axis with its own chance, in all modalities and labels alike.
///
/// The affine changes with the voxels, so that world positions stay true: a network sees a
/// mirrored array, a viewer the same patient.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// Axes of the voxel array that may be reversed.
    #[serde(default = "all_axes")]
    pub axes: Vec<Axis>,
    /// Probability of each axis on its own.
    #[serde(default = "half")]
    pub p: f64,
}

fn all_axes() -> Vec<Axis> {
    Axis::ALL.to_vec()
}

fn half() -> f64 {
    0.5
}

impl Default for Flip {
    fn default() -> Self {
        Self {
            axes: all_axes(),
            p: half(),
        }
    }
}

/// Which axes are reversed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlipDraw {
    /// Reversed axes, in the order x, y, z.
    pub axes: Vec<Axis>,
}

impl Augment for Flip {
    const NAME: &'static str = "flip";
    const EXAMPLE: &'static str = "{ axes: [x], p: 0.5 }";
    type Draw = FlipDraw;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_probability(self.p)?;
        if self.axes.is_empty() {
            return Err("`axes` is empty; name at least one of x, y, z".to_owned());
        }
        Ok(input.map(|c| c.orientation = None))
    }

    fn effect(&self) -> Effect {
        Effect::Permutes
    }

    fn draw(&self, rng: &mut SampleRng, _row: &Row, _sample: u32) -> Option<FlipDraw> {
        // One draw for each axis, listed or not: listing another axis changes no other draw.
        let drawn = Axis::ALL.map(|axis| rng.chance(self.p).then_some(axis));
        let axes: Vec<Axis> = drawn
            .into_iter()
            .flatten()
            .filter(|axis| self.axes.contains(axis))
            .collect();
        (!axes.is_empty()).then_some(FlipDraw { axes })
    }

    fn apply(&self, draw: &FlipDraw, row: Row) -> Result<Row, StageError> {
        let mut reversed = [false; 3];
        for axis in &draw.axes {
            reversed[axis.index()] = true;
        }
        turned_row(row, |_| AxisMap::flip(reversed))
    }
}
