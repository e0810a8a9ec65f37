//! Brings every volume of a row onto one grid.

use super::regrid::{SAME_SPACING_MM, coarsest_axis, exact_half, has_thick_slices, in_column};
use crate::kernel::sample::filtered::{AxisReading, Filter, antialias_sigma};
use crate::stage::{ChannelSchema, EdgeSchema, Effect, Stage, StageError};
use crate::volume::alignment::are_apart;
use crate::volume::deferred::bad_grid;
use crate::volume::grid::{MOST_VOXELS, SAME_GRID_TOLERANCE_MM};
use crate::volume::{
    Grid, ImageInterpolation, Interpolation, LabelInterpolation, Role, Row, VolumeError,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Brings all modalities and labels of a subject onto one grid, through their world positions.
///
/// The grid is that of the first modality present, or of `like`, with the voxel size asked for:
/// its axes and the centre of its first voxel keep their place, and each axis has
/// `round((n - 1) * old / new + 1)` voxels (MONAI's `Spacing`; halves to even).
///
/// Images are interpolated linearly, or by cubic convolution, and leave as f32; label maps keep
/// their type. Beyond the outermost voxel centres the edge value holds for half a voxel of the
/// coarser grid; further out images hold their minimum, labels 0. Volumes already on the grid
/// (voxel sizes within 0.001 mm, corners within 0.01 mm) are not interpolated: their values stay
/// bit for bit. A volume that shares nothing of the grid's field of view fails its subject:
/// resampled, it would be background and nothing else.
///
/// **Coarser grids.** Linear interpolation skips voxels there, which turns fine texture into false
/// structure; with `antialias: true` images are low-pass filtered first, along each axis that grows
/// coarser. Labels that take the `nearest` voxel keep the volume of small structures in the mean,
/// but one structure may double or vanish, depending on where voxels fall. `labels: volume` depends
/// less on that, and shrinks: from 1 to 3 mm voxels, a lesion of 300 mm³ keeps 0.5 to 0.9 of its
/// volume (`nearest` 0.7 to 1.3), and one of 10 mm³ is always lost (`nearest`: two of three);
/// `benches/lesions.md` has the table. Both filter the volume as it is before this step, so that
/// moves before it are materialised.
///
/// **Thick slices.** With `separate_z: auto` volumes are interpolated within slices only, and
/// take the nearest slice along the coarsest axis, as nnU-Net does.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resample {
    /// Voxel size in mm along the x, y, z axes of the voxel array; `null` keeps that of the grid. At least one of `spacing_mm` and `like` is needed.
    #[serde(default)]
    pub spacing_mm: Option<[Option<f64>; 3]>,
    /// Modality whose grid all others take. A subject without it takes the grid of its first modality.
    #[serde(default)]
    pub like: Option<String>,
    /// How images are read between voxels; of moves made as one, cubic wins.
    #[serde(default)]
    pub images: ImageInterpolation,
    /// How labels are read between voxels.
    #[serde(default)]
    pub labels: ResampledLabels,
    /// Whether images are low-pass filtered along the axes that grow coarser: a Gaussian of `sqrt((k^2 - 1) / (8 ln 2))` voxels, with `k` the new voxel size over the old (Cardoso et al., MICCAI 2015; TorchIO's `antialias`). Without it a coarser grid skips voxels.
    #[serde(default, skip_serializing_if = "is_default")]
    pub antialias: bool,
    /// Whether the coarsest axis is read apart: interpolation within slices, the nearest slice along the axis. Labels with `nearest` are the same either way.
    #[serde(default, skip_serializing_if = "is_default")]
    pub separate_z: SeparateZ,
}

/// Which class a label map has at the voxels of another grid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResampledLabels {
    /// That of the nearest voxel; of two as near, the one further along the world axis. A coarser grid may lose small structures.
    #[default]
    Nearest,
    /// The class with the largest trilinear weight among the eight voxels around: smoother edges.
    Linear,
    /// The class with the largest share around the new voxel: one class at a time is filtered as `antialias` filters images, and the largest share wins; of a tie the nearest voxel's class. Structures smaller than about the new voxel vanish.
    Volume,
}

/// Whether the coarsest axis is read apart, as nnU-Net's `separate_z`.
///
/// The axis is the one with the largest voxel size. If two or three axes share the largest size,
/// no axis is read apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeparateZ {
    /// If the largest voxel size of the volume, or else of the new grid, is more than three times the smallest.
    Auto,
    /// Always, along the coarsest axis of the volume.
    Always,
    /// Never: all axes are read alike.
    #[default]
    Never,
}

/// Returns `true` if an option has its default value; it is left out of plans, whose digests stay.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl SeparateZ {
    /// The axis of `from` that is read apart.
    ///
    /// **Source** nnU-Net v2, `determine_do_sep_z_and_axis`.
    fn axis(self, from: &Grid, to: &Grid) -> Option<usize> {
        let (old_mm, new_mm) = (from.spacing_mm(), to.spacing_mm());
        match self {
            Self::Never => None,
            Self::Always => coarsest_axis(old_mm),
            Self::Auto if has_thick_slices(old_mm) => coarsest_axis(old_mm),
            Self::Auto if has_thick_slices(new_mm) => {
                let direction = to.world_from_voxel().matrix3.col(coarsest_axis(new_mm)?);
                let along = from.voxel_from_world().transform_vector3(direction);
                Some(along.abs().max_position())
            }
            Self::Auto => None,
        }
    }
}

impl Resample {
    fn wanted(&self) -> [Option<f64>; 3] {
        self.spacing_mm.unwrap_or_default()
    }

    /// How a volume of this role is read through a filter; `None` where each axis is only
    /// interpolated, which needs none.
    fn filter(&self, role: Role, from: &Grid, to: &Grid) -> Option<Filter> {
        let (reading, smooths) = match (role, self.images, self.labels) {
            (Role::Image, ImageInterpolation::Linear, _) => (AxisReading::Linear, self.antialias),
            (Role::Image, ImageInterpolation::Cubic, _) => (AxisReading::Cubic, self.antialias),
            (Role::Label, _, ResampledLabels::Nearest) => return None,
            (Role::Label, _, ResampledLabels::Linear) => (AxisReading::Linear, false),
            (Role::Label, _, ResampledLabels::Volume) => (AxisReading::Linear, true),
        };
        let mut filter = Filter {
            readings: [reading; 3],
            sigma_xyz: [0.0; 3],
            ties: from.ties(),
        };
        if smooths {
            filter.sigma_xyz = antialias_sigma(&(from.voxel_from_world() * to.world_from_voxel()));
        }
        let separate = self.separate_z.axis(from, to);
        if let Some(axis) = separate {
            filter.readings[axis] = AxisReading::Nearest;
            filter.sigma_xyz[axis] = 0.0;
        }
        (separate.is_some() || filter.sigma_xyz != [0.0; 3]).then_some(filter)
    }

    /// The row's one grid; `None` for a row without volumes.
    fn target(&self, row: &Row) -> Result<Option<Grid>, StageError> {
        let named = self.like.as_deref().and_then(|name| {
            let channel = row.images.iter().find(|c| c.name == name)?;
            channel.volume.as_ref()
        });
        let first = || row.volumes().next().map(|(_, volume)| volume);
        let Some(volume) = named.or_else(first) else {
            return Ok(None);
        };
        respaced(volume.grid(), self.wanted()).map(Some)
    }
}

/// Voxels an axis has with another voxel size: MONAI's `compute_shape_offset`.
///
/// **Law** `round((count - 1) * old / new + 1)`, halves (up to rounding) to even, at least 1.
fn axis_length(count: usize, old_mm: f64, new_mm: f64) -> f64 {
    let length = (count as f64 - 1.0) * old_mm / new_mm + 1.0;
    exact_half(length).round_ties_even().max(1.0)
}

/// The grid with another voxel size; the first voxel's centre and the axes' directions stay.
fn respaced(grid: &Grid, wanted_mm: [Option<f64>; 3]) -> Result<Grid, StageError> {
    let (mut affine, mut shape) = (grid.world_from_voxel(), grid.shape_xyz());
    let old_mm = grid.spacing_mm();
    let mut lengths = shape.map(|n| n as f64);
    for axis in 0..3 {
        if let Some(new_mm) = wanted_mm[axis]
            && (new_mm - old_mm[axis]).abs() > SAME_SPACING_MM
        {
            lengths[axis] = axis_length(shape[axis], old_mm[axis], new_mm);
            *affine.matrix3.col_mut(axis) *= new_mm / old_mm[axis];
        }
    }
    if lengths.iter().product::<f64>() > MOST_VOXELS as f64 {
        let voxel_mm = std::array::from_fn::<_, 3, _>(|i| wanted_mm[i].unwrap_or(old_mm[i]));
        return Err(StageError::input(format!(
            "voxels of {voxel_mm:?} mm make a grid of {lengths:?} voxels along x, y, z, more than {MOST_VOXELS} in all; ask for a larger `spacing_mm`"
        )));
    }
    shape = lengths.map(|n| n as usize);
    Ok(Grid::try_new(shape, affine).map_err(bad_grid)?)
}

/// What is known of the grid that rows are resampled to, before its voxel size changes.
struct Reference {
    /// Shape and voxel size of each channel whose grid it may be; `None` if one is not known.
    grids: Option<Vec<Grid>>,
    shape_xyz: Option<[usize; 3]>,
    spacing_mm: Option<[f64; 3]>,
    orientation: Option<String>,
}

impl Reference {
    fn of(input: &EdgeSchema) -> Self {
        let has_images = input.images().next().is_some();
        let candidates: Vec<&ChannelSchema> = input
            .channels
            .iter()
            .filter(|c| !has_images || c.role == Role::Image)
            .collect();
        let is_close = |a: &[f64; 3], b: &[f64; 3]| {
            (0..3).all(|axis| (a[axis] - b[axis]).abs() <= SAME_SPACING_MM)
        };
        let grids = (candidates.iter())
            .map(|c| Grid::with_spacing(c.shape_xyz?, c.spacing_mm?).ok())
            .collect();
        Self {
            grids,
            shape_xyz: agreed(candidates.iter().map(|c| c.shape_xyz), |a, b| a == b),
            spacing_mm: agreed(candidates.iter().map(|c| c.spacing_mm), is_close),
            orientation: agreed(candidates.iter().map(|c| c.orientation.clone()), |a, b| {
                a == b
            }),
        }
    }

    fn new_spacing(&self, wanted: [Option<f64>; 3]) -> Option<[f64; 3]> {
        let mut spacing_mm = self.spacing_mm.unwrap_or([f64::NAN; 3]);
        for (old_mm, new_mm) in spacing_mm.iter_mut().zip(wanted) {
            if let Some(new_mm) = new_mm
                && (old_mm.is_nan() || (new_mm - *old_mm).abs() > SAME_SPACING_MM)
            {
                *old_mm = new_mm;
            }
        }
        (!spacing_mm.iter().any(|s| s.is_nan())).then_some(spacing_mm)
    }

    fn resampled_shape(&self, wanted: [Option<f64>; 3]) -> Option<[usize; 3]> {
        if wanted == [None; 3] {
            return self.shape_xyz;
        }
        // Voxel sizes that count as equal may still round to another number of voxels.
        let grids = self.grids.as_ref()?.iter();
        let shapes = grids.map(|grid| Some(respaced(grid, wanted).ok()?.shape_xyz()));
        agreed(shapes, |a, b| a == b)
    }
}

/// The value all candidates have, where each is known.
fn agreed<T>(values: impl Iterator<Item = Option<T>>, same: impl Fn(&T, &T) -> bool) -> Option<T> {
    let values: Vec<T> = values.collect::<Option<_>>()?;
    let all_same = values.windows(2).all(|pair| same(&pair[0], &pair[1]));
    values.into_iter().next().filter(|_| all_same)
}

impl Stage for Resample {
    const NAME: &'static str = "resample";
    const EXAMPLE: &'static str = "{ spacing_mm: [1.5, 1.5, 2.0] }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        if self.spacing_mm.is_none() && self.like.is_none() {
            return Err(
                "neither `spacing_mm` nor `like` is given; say which grid to resample to, such as `spacing_mm: [1.5, 1.5, 2.0]`"
                    .to_owned(),
            );
        }
        let wanted = self.wanted();
        if let Some(bad) = wanted
            .iter()
            .flatten()
            .find(|s| !(s.is_finite() && **s > 0.0))
        {
            return Err(format!(
                "`spacing_mm` holds {bad}; a voxel size is a positive number of mm, or null to keep it"
            ));
        }
        input.check_modalities(self.like.as_ref().map(std::slice::from_ref))?;
        // A row's grid comes from a modality it has; what all of them share is known, no more.
        let from = Reference::of(input);
        let (shape_xyz, spacing_mm) = (from.resampled_shape(wanted), from.new_spacing(wanted));
        Ok(input.with_f32_images().map(|channel| {
            channel.shape_xyz = shape_xyz;
            channel.spacing_mm = spacing_mm;
            channel.orientation.clone_from(&from.orientation);
        }))
    }

    fn effect(&self) -> Effect {
        Effect::Resamples
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        let Some(target) = self.target(&row)? else {
            return Ok(vec![row]);
        };
        let reading = Interpolation {
            images: self.images,
            labels: match self.labels {
                ResampledLabels::Nearest => LabelInterpolation::Nearest,
                ResampledLabels::Linear | ResampledLabels::Volume => LabelInterpolation::Linear,
            },
        };
        let row = row.try_map_volumes(|_, role, volume| {
            let there = volume.grid().is_same(&target, SAME_GRID_TOLERANCE_MM);
            let volume = match self.filter(role, volume.grid(), &target) {
                _ if there => volume,
                _ if are_apart(&target, volume.grid()) => {
                    return Err(VolumeError::Apart {
                        corners_mm: target.corner_distance_mm(volume.grid()),
                    });
                }
                Some(filter) => volume.resampled_through(role, target, &filter)?,
                None => volume.resampled(role, target, reading),
            };
            // Also where voxels fall on voxels and nothing is interpolated: the type behind a step
            // must not depend on the subject.
            Ok(match role {
                Role::Image => volume.into_f32(),
                Role::Label => volume,
            })
        });
        Ok(vec![row.map_err(in_column)?])
    }
}

#[cfg(test)]
mod tests;
