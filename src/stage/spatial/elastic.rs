//! Bends anatomy smoothly.

use super::motion::{check_chance, check_displacement, grid_of, interpolated, random_bend};
use super::regrid::{coarsest_axis, has_thick_slices};
use crate::draw::{Range, SampleRng};
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::{Grid, ImageInterpolation, Interpolation, LabelInterpolation, Row, Warp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bends the anatomy of a row by a smooth random displacement; all modalities and labels move alike.
///
/// **Law** a cubic B-spline on control points `control_spacing_mm` apart along the axes of the
/// voxel array. Each control point is displaced along each axis by its own number, uniform between
/// `-m` and `m`, with `m` drawn from `displacement_mm`; between control points displacements
/// average out and are smaller. Displacements above 0.4 control spacings are refused, because
/// below that nothing folds (the Jacobian is positive everywhere). The grid stays: images are
/// read linearly or cubically, and hold their minimum where nothing comes from; labels hold 0 there. What is
/// recorded is `m` and a seed. With `m` 0 every bit stays. **Source** Choi and Lee 2000 for
/// the bound; Rueckert 1999 for the spline.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Elastic {
    /// Distance of control points in mm: large bends the whole body, small wrinkles it.
    pub control_spacing_mm: f64,
    /// Largest displacement of a control point along each axis in mm: a number, a pair, or a `choice`; at most 0.4 times `control_spacing_mm`.
    pub displacement_mm: Range,
    /// Whether slices are displaced in their plane only: `auto` where voxels are more than three times longer along one axis than along another.
    #[serde(skip_serializing_if = "ElasticInPlane::is_never")]
    pub in_plane: ElasticInPlane,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// How images are read between voxels; of moves made as one, cubic wins.
    pub images: ImageInterpolation,
    /// How labels are read between voxels.
    pub labels: LabelInterpolation,
}

/// Whether slices are displaced in their plane only; the axis with the largest voxel size is the one they are stacked on.
///
/// The displacement along that axis is 0, so nothing is interpolated between slices. Where two or
/// three axes share the largest voxel size there are no slices, and all axes are displaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ElasticInPlane {
    /// If the largest voxel size of the row's grid is more than three times the smallest: nnU-Net's rule for thick slices.
    Auto,
    /// Always.
    Always,
    /// Never: all axes are displaced.
    #[default]
    Never,
}

impl ElasticInPlane {
    /// Returns `true` for the default, which is left out of plans.
    fn is_never(&self) -> bool {
        *self == Self::Never
    }

    /// The axis that slices of this grid are stacked on, where they move in their plane only.
    fn slice_axis(self, grid: &Grid) -> Option<usize> {
        let spacing_mm = grid.spacing_mm();
        let in_plane = match self {
            Self::Auto => has_thick_slices(spacing_mm),
            Self::Always => true,
            Self::Never => false,
        };
        coarsest_axis(spacing_mm).filter(|_| in_plane)
    }
}

/// What was drawn; the displacement follows from it and the row's grid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticDraw {
    /// Largest displacement of a control point along each axis in mm.
    pub max_mm: f32,
    /// Seed of the displacements.
    pub seed: u64,
}

impl Default for Elastic {
    fn default() -> Self {
        Self {
            control_spacing_mm: 32.0,
            displacement_mm: Range::Uniform([0.0, 10.0]),
            in_plane: ElasticInPlane::Never,
            p: 0.2,
            images: ImageInterpolation::Linear,
            labels: LabelInterpolation::Nearest,
        }
    }
}

impl Augment for Elastic {
    const NAME: &'static str = "elastic";
    const EXAMPLE: &'static str = "{ control_spacing_mm: 32, displacement_mm: [0, 10], p: 0.2 }";
    type Draw = ElasticDraw;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_chance("p", self.p)?;
        let displacement_mm = &self.displacement_mm;
        check_displacement("displacement_mm", displacement_mm, self.control_spacing_mm)?;
        Ok(interpolated(input, self.p, |_| true))
    }

    fn effect(&self) -> Effect {
        Effect::Resamples
    }

    fn draw(&self, rng: &mut SampleRng, _row: &Row, _sample: u32) -> Option<ElasticDraw> {
        let runs = rng.chance(self.p);
        let draw = ElasticDraw {
            max_mm: self.displacement_mm.draw(rng) as f32,
            seed: rng.next_seed(),
        };
        (runs && draw.max_mm > 0.0).then_some(draw)
    }

    fn apply(&self, draw: &ElasticDraw, row: Row) -> Result<Row, StageError> {
        let Some(grid) = grid_of(&row).filter(|_| draw.max_mm != 0.0) else {
            return Ok(row);
        };
        let bend = {
            let slice_axis = self.in_plane.slice_axis(&grid);
            random_bend(
                &grid,
                self.control_spacing_mm,
                draw.max_mm,
                draw.seed,
                slice_axis,
            )?
        };
        let reading = Interpolation {
            images: self.images,
            labels: self.labels,
        };
        Ok(row.warped(&Arc::new(Warp::Elastic(bend)), reading))
    }
}
