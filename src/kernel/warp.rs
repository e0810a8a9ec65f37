//! Reading a volume through a chain of maps with one interpolation.
//!
//! A [`Route`] leads from output voxels to source voxels through affines and B-spline bends. It is
//! walked row by row: positions of a row are computed once, as vectors, and then serve every
//! volume that shares the route ([`gather`]). Where a bend's control grid is along the
//! output's axes, z and y are summed once a row and four taps a voxel remain of sixty-four.
//!
//! **Outside** as in [`sample`](super::sample): the edge value holds for half a voxel of the
//! coarser grid beyond the outermost centres (a bend's own stretch is not counted), then `fill`.

mod aligned;
mod bend;
mod cubic;
mod field;
mod jobs;
mod route;
mod spline;
mod walk;

pub use bend::{Bend, Step};
pub use cubic::Cubic;
pub use field::random_vectors;
pub use jobs::{Job, LabelLinear, Linear, Nearest};
pub use route::{Route, source_box};

use walk::Walk;

/// Reads volumes of one shape through one route; the positions of a row are computed once for all.
///
/// **Shape** every job's source `[z, y, x]` of `source_shape_xyz`, its result of `shape_xyz`.
/// **Panics** when a job's source or result is shorter than its shape.
pub fn gather(
    jobs: &mut [Box<dyn Job + '_>],
    source_shape_xyz: [usize; 3],
    route: &Route,
    shape_xyz: [usize; 3],
) {
    if shape_xyz.contains(&0) || source_shape_xyz.contains(&0) {
        return;
    }
    let mut walk = Walk::new(route, source_shape_xyz, shape_xyz);
    for z in 0..shape_xyz[2] {
        for y in 0..shape_xyz[1] {
            let taps = walk.row(y, z);
            let first = (z * shape_xyz[1] + y) * shape_xyz[0];
            jobs.iter_mut().for_each(|job| job.row(taps, first));
        }
    }
}

#[cfg(test)]
mod tests;
