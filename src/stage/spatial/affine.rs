//! Turns, scales, shears and shifts anatomy.

use super::motion::{PerAxis, check_chance, grid_of, interpolated, world_from_centred};
use crate::draw::{Range, SampleRng};
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::{Grid, ImageInterpolation, Interpolation, LabelInterpolation, Row, Warp};
use glam::{DAffine3, DMat3, DVec3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A volume this many times longer than thick is a stack of slices to `in_plane: auto`.
const STACK: f64 = 3.0;

/// Turns, scales, shears and shifts the anatomy of a row about the centre of its grid; all modalities and labels move alike.
///
/// **Law** `p' = R H S p + t`, in mm along the axes of the voxel array from the centre of the
/// first volume's grid: `S` scales each axis (a factor above 1 makes anatomy **larger**; nnU-Net's
/// factor is the inverse), `H` shears (x by y, x by z, y by z), `R` turns about x, then y, then
/// z (`R = Rz Ry Rx`), `t` shifts. The grid stays: images are read linearly or cubically, and hold their
/// minimum where nothing comes from; labels hold 0 there. Turn, scale, shear and shift each
/// happen with their own probability, but the row is interpolated once, together with the moves
/// before and after. A draw that moves nothing leaves every bit as it is. **Source** nnU-Net v2
/// draws its turn and scale so, each with probability 0.2.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Affine {
    /// Degrees of turn about x, y, z: a number, a pair to draw uniformly between or a `choice` for all axes, or a list of three of these.
    pub rotation_deg: PerAxis,
    /// Factor of size: above 1 anatomy grows. A number, a pair, or a `choice`; 0.05 to 20.
    pub scale: Range,
    /// Draws a factor for each axis instead of one for all.
    pub anisotropic: bool,
    /// Degrees by which x leans over y, x over z, and y over z; -60 to 60.
    pub shear_deg: PerAxis,
    /// Shift along x, y, z in mm.
    pub translation_mm: PerAxis,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of the turn, where the step runs.
    pub p_rotation: f64,
    /// Probability of the scaling, where the step runs.
    pub p_scale: f64,
    /// Probability of the shear, where the step runs.
    pub p_shear: f64,
    /// Probability of the shift, where the step runs.
    pub p_translation: f64,
    /// Whether slices move in their plane only, as thick slices should.
    pub in_plane: InPlane,
    /// Degrees of turn in the plane where slices move in it only.
    pub rotation_in_plane_deg: Range,
    /// How images are read between voxels; of moves made as one, cubic wins.
    pub images: ImageInterpolation,
    /// How labels are read between voxels.
    pub labels: LabelInterpolation,
}

/// Whether slices move in their plane only. They lie across the axis with the fewest voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InPlane {
    /// Only where the volume has more than three times as many voxels along one axis as along another; nnU-Net asks the same of its patch, and so does `nnunet_default`.
    Auto,
    /// Always.
    Always,
    /// Never: volumes turn in space.
    Never,
}

/// What was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffineDraw {
    /// Degrees of turn about x, y, z.
    pub rotation_deg: [f32; 3],
    /// Factor of size along x, y, z.
    pub scale: [f32; 3],
    /// Degrees by which x leans over y, x over z, and y over z.
    pub shear_deg: [f32; 3],
    /// Shift in mm along x, y, z.
    pub translation_mm: [f32; 3],
}

impl Default for Affine {
    fn default() -> Self {
        let none = || PerAxis::All(Range::Fixed(0.0));
        Self {
            rotation_deg: PerAxis::uniform(-30.0, 30.0),
            scale: Range::Uniform([0.7, 1.4]),
            anisotropic: false,
            shear_deg: none(),
            translation_mm: none(),
            p: 1.0,
            p_rotation: 0.2,
            p_scale: 0.2,
            p_shear: 0.2,
            p_translation: 0.2,
            in_plane: InPlane::Auto,
            rotation_in_plane_deg: Range::Uniform([-180.0, 180.0]),
            images: ImageInterpolation::Linear,
            labels: LabelInterpolation::Nearest,
        }
    }
}

impl AffineDraw {
    /// Nothing moves.
    pub const STILL: Self = Self {
        rotation_deg: [0.0; 3],
        scale: [1.0; 3],
        shear_deg: [0.0; 3],
        translation_mm: [0.0; 3],
    };

    /// Where anatomy goes, in mm along the grid's axes from its centre.
    pub fn moved_from_source(&self) -> DAffine3 {
        let [x, y, z] = self.rotation_deg.map(|d| f64::from(d).to_radians());
        let turn =
            DMat3::from_rotation_z(z) * DMat3::from_rotation_y(y) * DMat3::from_rotation_x(x);
        let [xy, xz, yz] = self.shear_deg.map(|d| f64::from(d).to_radians().tan());
        let shear = DMat3::from_cols(DVec3::X, DVec3::new(xy, 1.0, 0.0), DVec3::new(xz, yz, 1.0));
        let scale = DMat3::from_diagonal(DVec3::from(self.scale.map(f64::from)));
        DAffine3 {
            matrix3: turn * shear * scale,
            translation: DVec3::from(self.translation_mm.map(f64::from)),
        }
    }

    /// The same in the world of a grid, from after the step to before it.
    pub fn warp(&self, grid: &Grid) -> Warp {
        let world = world_from_centred(grid);
        Warp::Affine(world * self.moved_from_source().inverse() * world.inverse())
    }
}

impl Affine {
    /// The axis across which slices lie, where they move in their plane only.
    fn slice_axis(&self, row: &Row) -> Option<usize> {
        let shape = grid_of(row)?.shape_xyz();
        let thin = (0..3).rev().min_by_key(|&axis| shape[axis])?;
        let most = shape.into_iter().max()? as f64;
        let is_stack = match self.in_plane {
            InPlane::Never => false,
            InPlane::Always => true,
            InPlane::Auto => most > STACK * shape[thin] as f64,
        };
        is_stack.then_some(thin)
    }
}

impl Augment for Affine {
    const NAME: &'static str = "affine";
    const EXAMPLE: &'static str =
        "{ rotation_deg: [-30, 30], scale: [0.7, 1.4], p_rotation: 0.2, p_scale: 0.2 }";
    type Draw = AffineDraw;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_chance("p", self.p)?;
        check_chance("p_rotation", self.p_rotation)?;
        check_chance("p_scale", self.p_scale)?;
        check_chance("p_shear", self.p_shear)?;
        check_chance("p_translation", self.p_translation)?;
        self.rotation_deg.check("rotation_deg", -360.0, 360.0)?;
        (self.rotation_in_plane_deg).check("rotation_in_plane_deg", -360.0, 360.0)?;
        self.scale.check("scale", 0.05, 20.0)?;
        self.shear_deg.check("shear_deg", -60.0, 60.0)?;
        self.translation_mm.check("translation_mm", -1e4, 1e4)?;
        Ok(interpolated(input, self.p, |_| true))
    }

    fn effect(&self) -> Effect {
        Effect::Resamples
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<AffineDraw> {
        // Everything is drawn in every row, so that one setting changes no other draw.
        let runs = rng.chance(self.p);
        let rotates = rng.chance(self.p_rotation);
        let scales = rng.chance(self.p_scale);
        let shears = rng.chance(self.p_shear);
        let shifts = rng.chance(self.p_translation);
        let mut rotation_deg = self.rotation_deg.draw(rng);
        let in_plane_deg = self.rotation_in_plane_deg.draw(rng) as f32;
        let mut scale = [0; 3].map(|_| self.scale.draw(rng) as f32);
        let mut shear_deg = self.shear_deg.draw(rng);
        let mut translation_mm = self.translation_mm.draw(rng);
        if !self.anisotropic {
            scale = [scale[0]; 3];
        }
        if let Some(axis) = self.slice_axis(row) {
            rotation_deg = [0.0; 3];
            rotation_deg[axis] = in_plane_deg;
            scale[axis] = 1.0;
            translation_mm[axis] = 0.0;
            // The one shear that leaves the slice axis out.
            let kept = 2 - axis;
            let shear = shear_deg[kept];
            shear_deg = [0.0; 3];
            shear_deg[kept] = shear;
        }
        let still = AffineDraw::STILL;
        let pick = |happens: bool, drawn, other| if happens { drawn } else { other };
        let draw = AffineDraw {
            rotation_deg: pick(rotates, rotation_deg, still.rotation_deg),
            scale: pick(scales, scale, still.scale),
            shear_deg: pick(shears, shear_deg, still.shear_deg),
            translation_mm: pick(shifts, translation_mm, still.translation_mm),
        };
        (runs && draw != still).then_some(draw)
    }

    fn apply(&self, draw: &AffineDraw, row: Row) -> Result<Row, StageError> {
        let Some(grid) = grid_of(&row).filter(|_| *draw != AffineDraw::STILL) else {
            return Ok(row);
        };
        let reading = Interpolation {
            images: self.images,
            labels: self.labels,
        };
        Ok(row.warped(&Arc::new(draw.warp(&grid)), reading))
    }
}
