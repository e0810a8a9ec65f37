//! What the steps that interpolate share: ranges by axis, axes in mm, random displacements.

use crate::draw::{Range, SampleRng, check_probability};
use crate::kernel::warp::{Bend, random_vectors};
use crate::stage::{EdgeSchema, StageError};
use crate::volume::{Dtype, Grid, Role, Row};
use glam::{DAffine3, DMat3, DVec3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest displacement of a control point, in control spacings along each axis, with which a
/// cubic B-spline in three dimensions certainly folds nothing.
///
/// **Source** Choi and Lee, Graphical Models 62(6), 2000: 1 / 2.4795 (in the plane 1 / 2.0464).
pub const FOLDS_NOTHING: f64 = 0.4;
/// Most control points of one displacement: 64 MiB.
const MOST_POINTS: f64 = 4_194_304.0;
/// Range of control spacings in mm.
const SPACINGS_MM: [f64; 2] = [1.0, 1e4];

/// Something drawn along x, y and z: one range for all, each axis drawing its own value, or a list of three ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number or a pair `[low, high]` for all axes, or a list of three of them for x, y, z"
)]
pub enum PerAxis {
    /// One range for all axes.
    All(Range),
    /// A range each for x, y, z.
    Each([Range; 3]),
}

impl PerAxis {
    /// A range for all axes.
    pub fn uniform(low: f64, high: f64) -> Self {
        Self::All(Range::Uniform([low, high]))
    }

    fn of(&self, axis: usize) -> &Range {
        match self {
            Self::All(range) => range,
            Self::Each(ranges) => &ranges[axis],
        }
    }

    /// One value for each axis.
    pub(super) fn draw(&self, rng: &mut SampleRng) -> [f32; 3] {
        [0, 1, 2].map(|axis| self.of(axis).draw(rng) as f32)
    }

    /// See [`Range::check`].
    ///
    /// **Errors** as there.
    pub(super) fn check(&self, name: &str, low: f64, high: f64) -> Result<(), String> {
        match self {
            Self::All(range) => range.check(name, low, high),
            Self::Each(ranges) => (ranges.iter().zip(["x", "y", "z"]))
                .try_for_each(|(range, axis)| range.check(&format!("{name}.{axis}"), low, high)),
        }
    }
}

/// Refuses a probability outside 0 to 1, by the name of its field.
pub(super) fn check_chance(name: &str, p: f64) -> Result<(), String> {
    check_probability(p).map_err(|e| e.replacen("`p`", &format!("`{name}`"), 1))
}

/// Schema after a step that interpolates some rows: images that were integers may be f32.
pub(super) fn interpolated(input: &EdgeSchema, p: f64, picks: impl Fn(&str) -> bool) -> EdgeSchema {
    input.map(|c| {
        if p > 0.0 && c.role == Role::Image && picks(&c.name) && c.dtype != Some(Dtype::F32) {
            c.dtype = None;
        }
    })
}

/// The grid of the first volume of a row, around whose centre things turn.
pub(super) fn grid_of(row: &Row) -> Option<Grid> {
    row.volumes().next().map(|(_, volume)| *volume.grid())
}

/// World points of positions in mm along the grid's axes, counted from its centre.
pub(super) fn world_from_centred(grid: &Grid) -> DAffine3 {
    let affine = grid.world_from_voxel();
    let spacing_mm = DVec3::from(grid.spacing_mm());
    let middle = DVec3::from(grid.shape_xyz().map(|n| (n as f64 - 1.0) / 2.0));
    DAffine3 {
        matrix3: affine.matrix3 * DMat3::from_diagonal(spacing_mm.recip()),
        translation: affine.transform_point3(middle),
    }
}

/// Refuses control spacings out of range, and displacements that may fold.
///
/// **Errors** say what was found, what folds nothing, and what to change.
pub(super) fn check_displacement(
    name: &str,
    displacement_mm: &Range,
    control_spacing_mm: f64,
) -> Result<(), String> {
    let [least, most] = SPACINGS_MM;
    if !(least..=most).contains(&control_spacing_mm) {
        return Err(format!(
            "`control_spacing_mm` is {control_spacing_mm}; control points stand {least} to {most} mm apart"
        ));
    }
    displacement_mm.check(name, 0.0, f64::MAX)?;
    let [_, largest] = displacement_mm.bounds();
    let allowed = FOLDS_NOTHING * control_spacing_mm;
    if largest > allowed {
        return Err(format!(
            "`{name}` reaches {largest} mm; with control points {control_spacing_mm} mm apart more than {allowed} mm may fold anatomy over itself; ask for less, or for a larger `control_spacing_mm`"
        ));
    }
    Ok(())
}

/// A random displacement of the world over a grid, with control points along the grid's axes.
///
/// **Law** each control point moves along each axis by its own number, uniform between `-max_mm`
/// and `max_mm`, but not along `slice_axis`, which slices are stacked on. The second control point
/// of each axis is at the grid's first voxel, and every voxel is between four.
///
/// **Errors** when the grid is so large that there are more control points than memory is for.
pub(super) fn random_bend(
    grid: &Grid,
    control_spacing_mm: f64,
    max_mm: f32,
    seed: u64,
    slice_axis: Option<usize>,
) -> Result<Bend, StageError> {
    let (shape, spacing_mm) = (grid.shape_xyz(), grid.spacing_mm());
    let points = [0, 1, 2].map(|a| {
        let length_mm = (shape[a] as f64 - 1.0) * spacing_mm[a];
        // Rounding of the grid must not add a plane of control points, and so other draws.
        (length_mm / control_spacing_mm - 1e-6).ceil() + 3.0
    });
    if points.iter().product::<f64>() > MOST_POINTS {
        return Err(StageError::input(format!(
            "control points {control_spacing_mm} mm apart over {shape:?} voxels of {spacing_mm:?} mm are {points:?} along x, y, z, more than {MOST_POINTS} in all; ask for a larger `control_spacing_mm`"
        )));
    }
    let affine = grid.world_from_voxel();
    let directions = affine.matrix3 * DMat3::from_diagonal(DVec3::from(spacing_mm).recip());
    let world_from_mm = DAffine3 {
        matrix3: directions,
        translation: affine.translation,
    };
    let control_from_mm = DAffine3::from_translation(DVec3::ONE)
        * DAffine3::from_scale(DVec3::splat(1.0 / control_spacing_mm));
    let shape_xyz = points.map(|n| n as usize);
    let to_world = |v: [f32; 3]| {
        let mut along = DVec3::from(v.map(f64::from)) * f64::from(max_mm);
        if let Some(axis) = slice_axis {
            along[axis] = 0.0;
        }
        (directions * along).as_vec3().to_array()
    };
    let vectors = random_vectors(shape_xyz.iter().product(), seed);
    Ok(Bend {
        control_from_input: control_from_mm * world_from_mm.inverse(),
        shape_xyz,
        displacement: vectors.into_iter().map(to_world).collect(),
    })
}
