//! Probabilities carried from one grid to another, and the class that each voxel gets there.

use glam::{DAffine3, DVec3};
use rayon::prelude::*;

/// Probabilities of every class or region on a grid.
#[derive(Debug, Clone, Copy)]
pub struct Votes<'a> {
    /// `[z, y, x, output]`.
    pub values: &'a [f32],
    /// Voxels along x, y, z.
    pub shape_xyz: [usize; 3],
    /// Number of classes or regions.
    pub outputs: usize,
}

/// The winning class and its probability at every voxel of another grid.
///
/// **Law** trilinear interpolation of all classes, then arg-max, so that borders are smooth and no
/// class is invented; outside the box of voxel centres by more than half a voxel class 0 wins
/// with probability 1. Ties go to the lower class.
///
/// **Shape** `(labels, probabilities)`, each `[z, y, x]` of `target_xyz`.
pub fn winners(
    votes: Votes<'_>,
    source_from_target: DAffine3,
    target_xyz: [usize; 3],
) -> (Vec<u8>, Vec<f32>) {
    labelled(votes, source_from_target, target_xyz, |sums| {
        let mut best = 0;
        for class in 1..sums.len() {
            if sums[class] > sums[best] {
                best = class;
            }
        }
        (best as u8, sums[best])
    })
}

/// The class that overlapping regions are painted as, and its probability, at every voxel of another grid.
///
/// **Law** trilinear interpolation of every region; `class_of` receives the probabilities and returns the
/// class, 0 for the background. Its probability is the largest of the regions, for the background 1 less
/// that. Outside the box of voxel centres by more than half a voxel is no region.
///
/// **Shape** `(labels, probabilities)`, each `[z, y, x]` of `target_xyz`.
pub fn painted(
    votes: Votes<'_>,
    source_from_target: DAffine3,
    target_xyz: [usize; 3],
    class_of: impl Fn(&[f32]) -> u8 + Sync,
) -> (Vec<u8>, Vec<f32>) {
    labelled(votes, source_from_target, target_xyz, |sums| {
        let largest = sums.iter().copied().fold(0f32, f32::max);
        match class_of(sums) {
            0 => (0, 1.0 - largest),
            class => (class, largest),
        }
    })
}

/// What `decide` makes of the interpolated probabilities; background with probability 1 outside.
fn labelled(
    votes: Votes<'_>,
    source_from_target: DAffine3,
    target_xyz: [usize; 3],
    decide: impl Fn(&[f32]) -> (u8, f32) + Sync,
) -> (Vec<u8>, Vec<f32>) {
    let [nx, ny, nz] = target_xyz;
    let mut labels = vec![0u8; nx * ny * nz];
    let mut confidence = vec![1f32; nx * ny * nz];
    let planes = labels
        .par_chunks_mut(nx * ny)
        .zip(confidence.par_chunks_mut(nx * ny))
        .enumerate();
    planes.for_each(|(z, (labels, confidence))| {
        let mut sums = vec![0f32; votes.outputs];
        for y in 0..ny {
            for x in 0..nx {
                let at = DVec3::new(x as f64, y as f64, z as f64);
                if interpolate(votes, source_from_target.transform_point3(at), &mut sums).is_some()
                {
                    (labels[y * nx + x], confidence[y * nx + x]) = decide(&sums);
                }
            }
        }
    });
    (labels, confidence)
}

/// The two neighbours of a coordinate and the weight of the upper one; `None` outside.
fn neighbours(at: f64, count: usize) -> Option<(usize, usize, f32)> {
    let last = (count - 1) as f64;
    if !(at >= -0.5 && at <= last + 0.5) {
        return None;
    }
    let inside = at.clamp(0.0, last);
    let low = inside.floor();
    let low_index = low as usize;
    Some((
        low_index,
        (low_index + 1).min(count - 1),
        (inside - low) as f32,
    ))
}

/// Writes the probabilities at a place into `sums`; `None` outside.
fn interpolate(votes: Votes<'_>, at: DVec3, sums: &mut [f32]) -> Option<()> {
    let [nx, ny, nz] = votes.shape_xyz;
    let (x0, x1, fx) = neighbours(at.x, nx)?;
    let (y0, y1, fy) = neighbours(at.y, ny)?;
    let (z0, z1, fz) = neighbours(at.z, nz)?;
    sums.fill(0.0);
    for (z, wz) in [(z0, 1.0 - fz), (z1, fz)] {
        for (y, wy) in [(y0, 1.0 - fy), (y1, fy)] {
            for (x, wx) in [(x0, 1.0 - fx), (x1, fx)] {
                let weight = wz * wy * wx;
                if weight > 0.0 {
                    let voxel =
                        &votes.values[((z * ny + y) * nx + x) * votes.outputs..][..votes.outputs];
                    sums.iter_mut()
                        .zip(voxel)
                        .for_each(|(s, v)| *s += weight * v);
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_grid_gives_the_arg_max() {
        let values = [0.6, 0.4, 0.2, 0.8, 0.5, 0.5, 0.9, 0.1];
        let votes = Votes {
            values: &values,
            shape_xyz: [2, 2, 1],
            outputs: 2,
        };
        let (labels, confidence) = winners(votes, DAffine3::IDENTITY, [2, 2, 1]);
        assert_eq!(labels, [0, 1, 0, 0]);
        assert_eq!(confidence, [0.6, 0.8, 0.5, 0.9]);
    }

    #[test]
    fn between_voxels_probabilities_are_mixed_and_outside_is_background() {
        let values = [0.4, 0.6, 0.0, 1.0];
        let votes = Votes {
            values: &values,
            shape_xyz: [2, 1, 1],
            outputs: 2,
        };
        let shift = DAffine3::from_translation(DVec3::new(0.5, 0.0, 0.0));
        let (labels, confidence) = winners(votes, shift, [3, 1, 1]);
        assert_eq!(labels, [1, 1, 0]);
        assert_eq!(confidence, [0.8, 1.0, 1.0]);
    }

    #[test]
    fn regions_are_painted_by_their_interpolated_probabilities() {
        // Two regions: neither, the first, both, the second alone.
        let values = [0.5, 0.2, 0.7, 0.1, 0.6, 0.9, 0.3, 0.8];
        let votes = Votes {
            values: &values,
            shape_xyz: [2, 2, 1],
            outputs: 2,
        };
        let class_of = |p: &[f32]| match (p[0] > 0.5, p[1] > 0.5) {
            (_, true) => 2,
            (first, false) => u8::from(first),
        };
        let (labels, confidence) = painted(votes, DAffine3::IDENTITY, [2, 2, 1], class_of);
        assert_eq!(labels, [0, 1, 2, 2]);
        assert_eq!(confidence, [0.5, 0.7, 0.9, 0.8]);
        let outside = DAffine3::from_translation(DVec3::new(5.0, 0.0, 0.0));
        let (labels, confidence) = painted(votes, outside, [1, 1, 1], class_of);
        assert_eq!((labels, confidence), (vec![0], vec![1.0]));
    }
}
