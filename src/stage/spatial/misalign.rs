//! Puts single modalities out of register by a known amount.

use super::motion::{
    check_chance, check_displacement, interpolated, random_bend, world_from_centred,
};
use crate::draw::{Range, SampleRng};
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::{Grid, Interpolation, Role, Row, Warp};
use glam::{DAffine3, DQuat, DVec3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Moves the named modalities and no other, as a registration that went wrong would.
///
/// Each named modality draws its own error: a shift of a drawn length in a random direction, a
/// turn of a drawn angle about a random axis through the centre of its grid, and a smooth
/// displacement as `elastic` makes it. Shift and turn come first. The modality's image moves; its
/// own label map (`label.<name>`) moves with it only with `move_labels`, and a label map for all
/// modalities never does. The grid stays, and says where voxels were before: that is the error.
/// Magnitude 0 leaves every bit as it is. For robustness curves fix the magnitude and
/// run once for each, such as `shift_voxels` 0, 2, 4, 8.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Misalign {
    /// Modalities to move, at least one.
    pub modalities: Vec<String>,
    /// Length of the shift in voxels: a number, a pair to draw uniformly between, or a `choice`. Not together with `shift_mm`.
    #[serde(default)]
    pub shift_voxels: Option<Range>,
    /// Length of the shift in mm.
    #[serde(default)]
    pub shift_mm: Option<Range>,
    /// Which way shifts go.
    #[serde(default)]
    pub direction: Direction,
    /// Angle of the turn in degrees, 0 to 180.
    #[serde(default = "none")]
    pub rotation_deg: Range,
    /// Largest smooth displacement of a control point along each axis in mm, at most 0.4 times `control_spacing_mm`.
    #[serde(default = "none")]
    pub elastic_mm: Range,
    /// Distance of the smooth displacement's control points in mm.
    #[serde(default = "apart")]
    pub control_spacing_mm: f64,
    /// Whether a modality's own label map moves with it.
    #[serde(default)]
    pub move_labels: bool,
    /// Probability that the step runs on a row.
    #[serde(default = "always")]
    pub p: f64,
}

/// Which way shifts go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Every direction is equally likely.
    #[default]
    Any,
    /// Forwards or backwards along x, y or z: whole voxels then blur nothing.
    Axis,
}

fn none() -> Range {
    Range::Fixed(0.0)
}

fn apart() -> f64 {
    32.0
}

fn always() -> f64 {
    1.0
}

impl Default for Misalign {
    fn default() -> Self {
        Self {
            modalities: vec![],
            shift_voxels: None,
            shift_mm: None,
            direction: Direction::Any,
            rotation_deg: none(),
            elastic_mm: none(),
            control_spacing_mm: apart(),
            move_labels: false,
            p: always(),
        }
    }
}

/// The error of one modality.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misplacement {
    /// Shift along x, y, z in mm.
    pub shift_mm: [f32; 3],
    /// Axis of the turn, a unit vector along x, y, z.
    pub axis: [f32; 3],
    /// Angle of the turn in degrees.
    pub rotation_deg: f32,
    /// Largest smooth displacement of a control point along each axis in mm.
    pub elastic_mm: f32,
    /// Seed of the smooth displacement.
    pub seed: u64,
}

/// A direction of which every one is equally likely.
fn direction(rng: &mut SampleRng) -> DVec3 {
    DVec3::new(rng.normal(), rng.normal(), rng.normal())
        .try_normalize()
        .unwrap_or(DVec3::X)
}

impl Misplacement {
    fn moves_nothing(&self) -> bool {
        self.shift_mm == [0.0; 3] && self.rotation_deg == 0.0 && self.elastic_mm == 0.0
    }

    /// The error in the world of a grid: from what is seen to what is true.
    fn warps(&self, grid: &Grid, control_spacing_mm: f64) -> Result<Vec<Warp>, StageError> {
        let mut warps = Vec::new();
        if self.shift_mm != [0.0; 3] || self.rotation_deg != 0.0 {
            let world = world_from_centred(grid);
            let axis = DVec3::from(self.axis.map(f64::from)).normalize_or(DVec3::X);
            let angle = f64::from(self.rotation_deg).to_radians();
            let shift = DVec3::from(self.shift_mm.map(f64::from));
            let moved =
                DAffine3::from_rotation_translation(DQuat::from_axis_angle(axis, angle), shift);
            warps.push(Warp::Affine(world * moved.inverse() * world.inverse()));
        }
        if self.elastic_mm != 0.0 {
            let bend = random_bend(grid, control_spacing_mm, self.elastic_mm, self.seed, None)?;
            warps.push(Warp::Elastic(bend));
        }
        Ok(warps)
    }
}

impl Misalign {
    fn misplaced(&self, rng: &mut SampleRng, grid: Option<&Grid>) -> Misplacement {
        let mut along = direction(rng);
        if self.direction == Direction::Axis {
            let axis = (0..3).max_by(|a, b| along[*a].abs().total_cmp(&along[*b].abs()));
            let axis = axis.unwrap_or(0);
            let sign = along[axis].signum();
            along = DVec3::ZERO;
            along[axis] = sign;
        }
        let (voxels, mm) = (&self.shift_voxels, &self.shift_mm);
        let length = (voxels.as_ref().or(mm.as_ref())).map_or(0.0, |range| range.draw(rng));
        let unit_mm = match (voxels, grid) {
            (Some(_), Some(grid)) => DVec3::from(grid.spacing_mm()),
            _ => DVec3::ONE,
        };
        Misplacement {
            shift_mm: (along * length * unit_mm).as_vec3().to_array(),
            axis: direction(rng).as_vec3().to_array(),
            rotation_deg: self.rotation_deg.draw(rng) as f32,
            elastic_mm: self.elastic_mm.draw(rng) as f32,
            seed: rng.next_seed(),
        }
    }

    fn picks(&self, name: &str) -> bool {
        self.modalities.iter().any(|n| n == name)
    }
}

impl Augment for Misalign {
    const NAME: &'static str = "misalign";
    const EXAMPLE: &'static str =
        "{ modalities: [mr], shift_voxels: [0, 4], rotation_deg: [0, 5] }";
    type Draw = BTreeMap<String, Misplacement>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_chance("p", self.p)?;
        if self.modalities.is_empty() {
            return Err("`modalities` is empty; name the modalities to move".to_owned());
        }
        input.check_modalities(Some(&self.modalities))?;
        if self.shift_voxels.is_some() && self.shift_mm.is_some() {
            return Err(
                "both `shift_voxels` and `shift_mm` are given; keep the one that is meant"
                    .to_owned(),
            );
        }
        for (name, range) in [
            ("shift_voxels", &self.shift_voxels),
            ("shift_mm", &self.shift_mm),
        ] {
            if let Some(range) = range {
                range.check(name, 0.0, 1e4)?;
            }
        }
        self.rotation_deg.check("rotation_deg", 0.0, 180.0)?;
        check_displacement("elastic_mm", &self.elastic_mm, self.control_spacing_mm)?;
        Ok(interpolated(input, self.p, |name| self.picks(name)))
    }

    fn effect(&self) -> Effect {
        Effect::Resamples
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let runs = rng.chance(self.p);
        let mut drawn = BTreeMap::new();
        for image in &row.images {
            let grid = image.volume.as_ref().map(|volume| volume.grid());
            // For modalities that are missing or not named too: naming one changes no other.
            let misplaced = self.misplaced(rng, grid);
            if grid.is_some() && self.picks(&image.name) && !misplaced.moves_nothing() {
                drawn.insert(image.name.clone(), misplaced);
            }
        }
        (runs && !drawn.is_empty()).then_some(drawn)
    }

    fn apply(&self, draw: &Self::Draw, mut row: Row) -> Result<Row, StageError> {
        for (name, misplaced) in draw {
            let image = row.images.iter().find(|c| c.name == *name);
            let Some(volume) = image.and_then(|c| c.volume.as_ref()) else {
                return Err(StageError::input(format!(
                    "the draw moves modality `{name}`, which this row has not; it was drawn for another row"
                )));
            };
            let grid = *volume.grid();
            let moves = |role, column: &str| match role {
                Role::Image => column == name,
                Role::Label => self.move_labels && column == name,
            };
            for warp in misplaced.warps(&grid, self.control_spacing_mm)? {
                row = row.warped_channels(&warp, Interpolation::default(), moves);
            }
            if self.move_labels && row.labels.iter().any(|c| c.name == *name) {
                // What was found in the label maps before is there no more.
                row.forget_sites();
            }
        }
        Ok(row)
    }
}
