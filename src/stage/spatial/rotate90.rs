//! Turns voxels by quarters, which loses nothing.

use super::regrid::{Axis, turned_row};
use crate::draw::{SampleRng, check_probability};
use crate::kernel::reorient::AxisMap;
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::{Row, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Turns the voxel array by one to three quarters in a drawn plane, in all modalities and labels alike.
///
/// A quarter turn would change the shape, or the voxel size a network sees, where the two edges
/// of the plane differ in voxels or by more than 0.001 mm in voxel size: there only half turns
/// are made. The affine turns with the voxels, so that world positions stay true.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate90 {
    /// Planes of the voxel array to turn in, each equally likely.
    #[serde(default = "all_planes")]
    pub planes: Vec<Plane>,
    /// Probability of a turn.
    #[serde(default = "fifth")]
    pub p: f64,
}

/// A plane of the voxel array; turns go from its first axis towards its second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Plane {
    Xy,
    Xz,
    Yz,
}

impl Plane {
    fn axes(self) -> [usize; 2] {
        let [x, y, z] = Axis::ALL.map(Axis::index);
        match self {
            Self::Xy => [x, y],
            Self::Xz => [x, z],
            Self::Yz => [y, z],
        }
    }

    /// Returns `true` if a quarter turn leaves shape and voxel size as they are.
    fn is_square(self, volume: &Volume) -> bool {
        let [a, b] = self.axes();
        let (shape, spacing) = (volume.grid().shape_xyz(), volume.grid().spacing_mm());
        shape[a] == shape[b] && (spacing[a] - spacing[b]).abs() <= 1e-3
    }
}

fn all_planes() -> Vec<Plane> {
    vec![Plane::Xy, Plane::Xz, Plane::Yz]
}

fn fifth() -> f64 {
    0.2
}

impl Default for Rotate90 {
    fn default() -> Self {
        Self {
            planes: all_planes(),
            p: fifth(),
        }
    }
}

/// The turn made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate90Draw {
    /// Plane turned in.
    pub plane: Plane,
    /// Quarter turns, 1 to 3.
    pub quarter_turns: u32,
}

impl Augment for Rotate90 {
    const NAME: &'static str = "rotate90";
    const EXAMPLE: &'static str = "{ planes: [xy], p: 0.2 }";
    type Draw = Rotate90Draw;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_probability(self.p)?;
        if self.planes.is_empty() {
            return Err("`planes` is empty; name at least one of xy, xz, yz".to_owned());
        }
        Ok(input.map(|c| c.orientation = None))
    }

    fn effect(&self) -> Effect {
        Effect::Permutes
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Rotate90Draw> {
        if !rng.chance(self.p) {
            return None;
        }
        let plane = self.planes[rng.below(self.planes.len())];
        let is_square = row.volumes().all(|(_, volume)| plane.is_square(volume));
        let quarter_turns = if is_square {
            1 + rng.below(3) as u32
        } else {
            2
        };
        Some(Rotate90Draw {
            plane,
            quarter_turns,
        })
    }

    fn apply(&self, draw: &Rotate90Draw, row: Row) -> Result<Row, StageError> {
        let [first, second] = draw.plane.axes();
        let map = AxisMap::quarter_turns(first, second, draw.quarter_turns);
        turned_row(row, |_| map)
    }
}
