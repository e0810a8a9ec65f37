//! Sampling through a low-pass filter, with a rule of its own along each source axis.
//!
//! Where every source axis follows one output axis, filter and interpolation are one weighted sum
//! per axis (`stencil`): the source is read once and no smoothed copy of it is made. Other maps
//! smooth first and interpolate voxel by voxel (`oblique`).
//!
//! **Outside** as in [`sample`](super): the edge value holds for half a voxel of the coarser grid
//! beyond the outermost centres, then `fill`. The filter mirrors the source at its borders.

mod filter;
mod oblique;
mod planes;
mod stencil;

pub use filter::{AxisReading, Filter};

use super::super::gaussian::smooth_finite;
use super::{Ties, follow_axes, source_axes};
use filter::CUT;
use glam::DAffine3;
use planes::{sum_planes, vote_planes};
use std::borrow::Cow;
use stencil::axis_stencils;

/// Axes that grow coarser by less than this share are not smoothed.
const SAME_STEP: f64 = 1e-3;

/// Standard deviations, in source voxels, of the Gaussian that a coarser grid calls for.
///
/// **Law** with `k` source voxels from one output voxel to the next, `sigma = sqrt((k^2 - 1) / (8 ln 2))`
/// where `k > 1.001`, otherwise 0: a source voxel's point spread, taken as a Gaussian whose full
/// width at half maximum is its size, widens to that of the output voxel.
/// **Source** Cardoso et al., MICCAI 2015, page 678; TorchIO's `Resample(antialias=True)`.
pub fn antialias_sigma(source_from_output: &DAffine3) -> [f64; 3] {
    let rows = source_from_output.matrix3.transpose();
    [rows.x_axis, rows.y_axis, rows.z_axis].map(|row| {
        let step = row.length();
        match step > 1.0 + SAME_STEP {
            true => ((step * step - 1.0) / (8.0 * std::f64::consts::LN_2)).sqrt(),
            false => 0.0,
        }
    })
}

/// Samples values through a filter.
///
/// **Shape** source `[z, y, x]` of `source_shape_xyz`, result of `shape_xyz`.
/// **Law** the source smoothed as by [`smooth_finite`] with [`Filter::sigma_xyz`] (4 standard
/// deviations to each side), then interpolated along each axis by its reading, up to rounding.
/// **Panics** if the source is shorter than its shape.
pub fn sample_filtered(
    source: &[f32],
    source_shape_xyz: [usize; 3],
    source_from_output: &DAffine3,
    shape_xyz: [usize; 3],
    fill: f32,
    filter: &Filter,
) -> Vec<f32> {
    let mut out = vec![fill; shape_xyz.iter().product()];
    let axes = source_axes(source_from_output, shape_xyz);
    // A value that is not finite would spread through a weighted sum; smoothed first it does not.
    let smooths = filter.sigma_xyz != [0.0; 3];
    let (mut source, mut filter) = (Cow::Borrowed(source), *filter);
    if smooths && (axes.is_none() || !source.iter().fold(true, |all, v| all & v.is_finite())) {
        smooth_finite(source.to_mut(), source_shape_xyz, filter.sigma_xyz, CUT);
        filter.sigma_xyz = [0.0; 3];
    }
    let Some(axes) = axes else {
        oblique::interpolate(
            &source,
            source_shape_xyz,
            source_from_output,
            shape_xyz,
            &filter,
            &mut out,
        );
        return out;
    };
    let (source, source_shape, map) = turned(&source, source_shape_xyz, axes, source_from_output);
    let stencils = axis_stencils(&map, source_shape, shape_xyz, &permuted(&filter, axes));
    sum_planes(&source, source_shape, &stencils, shape_xyz, &mut out);
    out
}

/// Samples class numbers through a filter: one class at a time, the largest share wins.
///
/// **Shape** source `[z, y, x]` of `source_shape_xyz`, result of `shape_xyz`.
/// **Law** the share of a class is its indicator (1 in its voxels, 0 elsewhere) sampled as by
/// [`sample_filtered`]. The class with the largest share wins; if the nearest voxel's class is
/// within 1e-6 of the largest share, it wins; of other ties the smallest number wins. The result
/// contains numbers of the source and `fill` only.
/// **Memory** a few planes of the source; for oblique maps two blocks of it. Never one volume per class.
/// **Panics** if the source is shorter than its shape.
pub fn vote_filtered<T: bytemuck::Pod + PartialOrd>(
    source: &[T],
    source_shape_xyz: [usize; 3],
    source_from_output: &DAffine3,
    shape_xyz: [usize; 3],
    fill: T,
    filter: &Filter,
) -> Vec<T> {
    let mut out = vec![fill; shape_xyz.iter().product()];
    let Some(axes) = source_axes(source_from_output, shape_xyz) else {
        oblique::vote(
            source,
            source_shape_xyz,
            source_from_output,
            shape_xyz,
            filter,
            &mut out,
        );
        return out;
    };
    let (source, source_shape, map) = turned(source, source_shape_xyz, axes, source_from_output);
    let filter = permuted(filter, axes);
    let stencils = axis_stencils(&map, source_shape, shape_xyz, &filter);
    let nearest = axis_stencils(&map, source_shape, shape_xyz, &filter.nearest());
    vote_planes(
        &source,
        source_shape,
        &stencils,
        &nearest,
        shape_xyz,
        &mut out,
    );
    out
}

/// The source with its axes in the order of the output's.
fn turned<'a, T: bytemuck::Pod>(
    source: &'a [T],
    source_shape_xyz: [usize; 3],
    axes: [usize; 3],
    map: &DAffine3,
) -> (Cow<'a, [T]>, [usize; 3], DAffine3) {
    if axes == [0, 1, 2] {
        return (Cow::Borrowed(source), source_shape_xyz, *map);
    }
    let (turned, shape, map) = follow_axes(source, source_shape_xyz, axes, map);
    (Cow::Owned(turned), shape, map)
}

/// The filter with its axes in the order of the output's.
fn permuted(filter: &Filter, axes: [usize; 3]) -> Filter {
    Filter {
        readings: axes.map(|axis| filter.readings[axis]),
        sigma_xyz: axes.map(|axis| filter.sigma_xyz[axis]),
        ties: Ties {
            up: axes.map(|axis| filter.ties.up[axis]),
        },
    }
}

#[cfg(test)]
mod tests;
