//! Reading a volume between its voxels: trilinear for values, nearest for class numbers.
//!
//! A map sends each output voxel index to its source voxel index, both x, y, z. Where every
//! source axis follows one output axis (spacing changes, flips, transposes) indices and weights
//! come from one table an axis; every other map walks rows in 32.32 fixed point.
//!
//! **Outside** the source's outermost voxel centres the edge value holds for half a voxel of the
//! coarser of the two grids; beyond that the result is `fill`.

mod along_x;
pub mod filtered;
mod general;
mod rows;
mod separable;
mod tap;

pub use rows::{Background, LinearRows, ReadRows};
pub use tap::Ties;

use super::region::Region;
use super::reorient::{AxisMap, reorient};
use super::simd::vectorised;
use general::{Walk, linear_general, nearest_general};
use glam::DAffine3;
use separable::nearest_separable;
use tap::SNAP;

/// Off-axis drift in source voxels over a whole volume that still counts as axis-aligned: no
/// position moves by more than what counts as on a voxel.
const AXIS_TOLERANCE: f64 = SNAP;

/// Samples values by trilinear interpolation.
///
/// **Shape** source `[z, y, x]` of `source_shape_xyz`, result of `shape_xyz`.
/// **Law** positions on voxel centres give the stored value exactly.
pub fn sample_linear(
    source: &[f32],
    source_shape_xyz: [usize; 3],
    source_from_output: &DAffine3,
    shape_xyz: [usize; 3],
    fill: f32,
) -> Vec<f32> {
    let count = shape_xyz.iter().product();
    match source_axes(source_from_output, shape_xyz) {
        Some([0, 1, 2]) => sample_linear_stored(
            (source, source_shape_xyz),
            |v| v,
            source_from_output,
            (shape_xyz, fill),
            &mut |_| {},
        ),
        Some(source_axis) => {
            let (turned, shape, map) =
                follow_axes(source, source_shape_xyz, source_axis, source_from_output);
            let unturned = (&*turned, shape);
            sample_linear_stored(unturned, |v| v, &map, (shape_xyz, fill), &mut |_| {})
        }
        None => {
            let mut out = vec![fill; count];
            let walk = Walk::new(source_from_output, source_shape_xyz);
            vectorised(
                #[inline(always)]
                || linear_general(source, &walk, shape_xyz, &mut out),
            );
            out
        }
    }
}

/// [`sample_linear`] of stored numbers, each taken for its `value`.
///
/// Where axes keep their order no volume of values is made first: a row is converted while it is
/// read. `done` receives all voxels so far, some slices at a time and at last the whole volume, so
/// that what is done to them next finds them in the cache; it may change them.
pub fn sample_linear_stored<T: bytemuck::Pod>(
    (source, source_shape_xyz): (&[T], [usize; 3]),
    value: impl Fn(T) -> f32 + Copy,
    source_from_output: &DAffine3,
    (shape_xyz, fill): ([usize; 3], f32),
    done: &mut dyn FnMut(&mut [f32]),
) -> Vec<f32> {
    let stored = (source, source_shape_xyz);
    let Some(mut rows) = LinearRows::try_new(stored, value, source_from_output, shape_xyz) else {
        let values: Vec<f32> = source.iter().map(|v| value(*v)).collect();
        let (from, map) = (source_shape_xyz, source_from_output);
        let mut out = sample_linear(&values, from, map, shape_xyz, fill);
        done(&mut out);
        return out;
    };
    // The output grows slice by slice: what is filled first, written then, and changed by the
    // caller at last stays in the cache meanwhile.
    let slice = shape_xyz[0] * shape_xyz[1];
    let mut out = Vec::with_capacity(slice * shape_xyz[2]);
    for z in 0..shape_xyz[2] {
        out.resize((z + 1) * slice, fill);
        let region = Region::of(shape_xyz).slice(z);
        rows.read(region, fill, &mut out[z * slice..]);
        done(&mut out);
    }
    out
}

/// Samples class numbers by nearest neighbour.
///
/// **Shape** source `[z, y, x]` of `source_shape_xyz`, result of `shape_xyz`.
/// **Law** along an axis where `ties` goes up `index = floor(position + 1/2)`, else
/// `ceil(position - 1/2)`: the result holds numbers of the source and `fill` only.
pub fn sample_nearest<T: bytemuck::Pod>(
    source: &[T],
    source_shape_xyz: [usize; 3],
    source_from_output: &DAffine3,
    shape_xyz: [usize; 3],
    fill: T,
    ties: Ties,
) -> Vec<T> {
    let count = shape_xyz.iter().product();
    let shift = ties.shift();
    let separable = |source: &[T], shape, map: &DAffine3, shift| {
        let mut out = Vec::with_capacity(count);
        vectorised(
            #[inline(always)]
            || nearest_separable((source, shape), map, shift, (shape_xyz, fill), &mut out),
        );
        out
    };
    match source_axes(source_from_output, shape_xyz) {
        Some([0, 1, 2]) => separable(source, source_shape_xyz, source_from_output, shift),
        Some(source_axis) => {
            let (turned, shape, map) =
                follow_axes(source, source_shape_xyz, source_axis, source_from_output);
            separable(&turned, shape, &map, source_axis.map(|axis| shift[axis]))
        }
        None => {
            let mut out = vec![fill; count];
            let walk = Walk::new(source_from_output, source_shape_xyz);
            nearest_general(source, &walk, shape_xyz, shift, &mut out);
            out
        }
    }
}

/// For output x, y, z the source axis it moves along, where each moves along just one.
fn source_axes(map: &DAffine3, shape_xyz: [usize; 3]) -> Option<[usize; 3]> {
    let mut used = [false; 3];
    let mut axes = [0; 3];
    for (output, axis) in axes.iter_mut().enumerate() {
        let column = map.matrix3.col(output);
        *axis = column.abs().max_position();
        let length = shape_xyz[output] as f64;
        let drift = (0..3)
            .filter(|s| s != axis)
            .map(|s| column[s].abs() * length);
        if used[*axis] || drift.fold(0.0, f64::max) > AXIS_TOLERANCE {
            return None;
        }
        used[*axis] = true;
    }
    Some(axes)
}

/// Transposes the source so that output x moves along source x, and so on.
fn follow_axes<T: bytemuck::Pod>(
    source: &[T],
    source_shape_xyz: [usize; 3],
    source_axis: [usize; 3],
    map: &DAffine3,
) -> (Vec<T>, [usize; 3], DAffine3) {
    let turn = AxisMap {
        source_axis,
        reversed: [false; 3],
    };
    let turned_from_source = turn.source_from_output(source_shape_xyz).inverse();
    (
        reorient(source, source_shape_xyz, &turn),
        turn.output_shape(source_shape_xyz),
        turned_from_source * *map,
    )
}

#[cfg(test)]
mod tests;
