//! How well two volumes of one subject are registered, measured, not believed.

use super::grid::Grid;
use super::voxels::Volume;
use crate::kernel::mutual_information::{binned, bins_for, normalised_mutual_information};
use crate::kernel::sample::sample_linear;
use glam::{DAffine3, DVec3};

/// Points along each axis at which fields of view are compared.
const POINTS: usize = 16;
/// Most voxels along an axis at which images are compared.
const MOST_VOXELS: usize = 64;
/// A shift is tried where at least this many times as many voxels remain along its axis.
const ROOM: usize = 3;

/// Share of a grid's voxel box that is within another's, 0 to 1.
///
/// **Law** counted at 16 x 16 x 16 points, spread evenly from the outermost faces' half step on.
pub fn overlap(reference: &Grid, other: &Grid) -> f64 {
    let map = other.voxel_from_world() * reference.world_from_voxel();
    let (from, into) = (reference.shape_xyz(), other.shape_xyz());
    let at = |i: usize, n: usize| (i as f64 + 0.5) / POINTS as f64 * n as f64 - 0.5;
    let mut inside = 0;
    for point in 0..POINTS.pow(3) {
        let index = [
            point % POINTS,
            point / POINTS % POINTS,
            point / POINTS / POINTS,
        ];
        let voxel = DVec3::new(
            at(index[0], from[0]),
            at(index[1], from[1]),
            at(index[2], from[2]),
        );
        let p = map.transform_point3(voxel);
        // Faces that touch to rounding are one.
        let is_in = |a: usize| p[a] > -0.5 - 1e-6 && p[a] < into[a] as f64 - 0.5 + 1e-6;
        inside += usize::from((0..3).all(is_in));
    }
    inside as f64 / POINTS.pow(3) as f64
}

/// Returns `true` if two grids share nothing that [`overlap`] would see, from either side.
pub fn are_apart(a: &Grid, b: &Grid) -> bool {
    overlap(a, b) == 0.0 && overlap(b, a) == 0.0
}

/// Normalised mutual information of two images in place, and of the best of the shifted copies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// In place; 1 to 2.
    pub in_place: f64,
    /// The largest among the copies of the second image shifted along one axis of the first.
    pub shifted: f64,
    /// That shift, in voxels of the first image along x, y, z.
    pub shift_xyz: [i64; 3],
}

/// Compares two images in place and shifted by `shift_voxels` forwards and backwards along each
/// axis of the first one's grid.
///
/// Every comparison is over the same voxels: at most 64 along each axis of the first grid, of
/// those that have a value in all copies. `None` where the images share nothing that could be
/// compared, one of them is constant, or no axis has room for the shift.
pub fn likeness(reference: &Volume, other: &Volume, shift_voxels: usize) -> Option<Likeness> {
    let shape = reference.grid().shape_xyz();
    let step = shape.map(|n| n.div_ceil(MOST_VOXELS));
    let small = [0, 1, 2].map(|a| shape[a].div_ceil(step[a]));
    let voxel_from_small = DAffine3::from_scale(DVec3::from(step.map(|s| s as f64)));
    let to_other = other.grid().voxel_from_world() * reference.grid().world_from_voxel();
    let mut shifts = vec![[0i64; 3]];
    for axis in (0..3).filter(|&a| shift_voxels > 0 && shape[a] >= ROOM * shift_voxels) {
        for sign in [-1, 1] {
            let mut shift = [0; 3];
            shift[axis] = sign * shift_voxels as i64;
            shifts.push(shift);
        }
    }
    if shifts.len() == 1 {
        return None;
    }
    let (values, others) = (reference.to_f32(), other.to_f32());
    let read = |volume: &[f32], from: [usize; 3], map: &DAffine3| {
        sample_linear(volume, from, map, small, f32::NAN)
    };
    let mut first = read(&values, shape, &voxel_from_small);
    let copies = shifts.iter().map(|shift| {
        let moved = DAffine3::from_translation(DVec3::from(shift.map(|s| s as f64)));
        let map = to_other * moved * voxel_from_small;
        read(&others, other.grid().shape_xyz(), &map)
    });
    let copies: Vec<Vec<f32>> = copies.collect();
    for (i, value) in first.iter_mut().enumerate() {
        if !copies.iter().all(|copy| copy[i].is_finite()) {
            *value = f32::NAN;
        }
    }
    let bins = bins_for(first.iter().filter(|v| v.is_finite()).count());
    let first = binned(&first, bins);
    let measured: Option<Vec<f64>> = (copies.iter())
        .map(|copy| normalised_mutual_information(&first, &binned(copy, bins), bins))
        .collect();
    let measured = measured?;
    let best = (1..shifts.len()).max_by(|&a, &b| measured[a].total_cmp(&measured[b]))?;
    Some(Likeness {
        in_place: measured[0],
        shifted: measured[best],
        shift_xyz: shifts[best],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(shift: f64, contrast: impl Fn(f64) -> f64) -> Volume {
        let shape = [70, 40, 30];
        let grid = Grid::with_spacing(shape, [1.0, 1.5, 2.0]).unwrap();
        let value = |i: usize| {
            let at = [i % 70, i / 70 % 40, i / 2800].map(|n| n as f64);
            let waves = ((at[0] - shift) / 5.0).sin() + (at[1] / 4.0).cos() + (at[2] / 3.0).sin();
            contrast(waves) as f32
        };
        Volume::from_vec(
            (0..grid.voxel_count()).map(value).collect::<Vec<f32>>(),
            grid,
        )
        .unwrap()
    }

    #[test]
    fn images_in_place_are_more_alike_than_shifted_ones() {
        let (ct, mr) = (volume(0.0, |w| w), volume(0.0, |w| (w - 0.5).powi(2)));
        let found = likeness(&ct, &mr, 3).unwrap();
        assert!(found.in_place > found.shifted + 0.05, "{found:?}");
        // The anatomy of the second is 3 voxels further along x.
        let off = volume(3.0, |w| (w - 0.5).powi(2));
        let found = likeness(&ct, &off, 3).unwrap();
        assert_eq!(found.shift_xyz, [3, 0, 0]);
        assert!(found.shifted > found.in_place + 0.05, "{found:?}");
        assert_eq!(likeness(&ct, &volume(0.0, |_| 2.0), 20), None);
        assert_eq!(likeness(&ct, &mr, 30), None);
        assert_eq!(likeness(&ct, &mr, 0), None);
    }

    #[test]
    fn overlap_is_the_shared_part_of_the_reference() {
        let grid = Grid::with_spacing([64, 32, 16], [1.0, 1.0, 2.0]).unwrap();
        assert_eq!(overlap(&grid, &grid), 1.0);
        let half = grid.window([32, 0, 0], [64, 32, 16]).unwrap();
        assert_eq!(overlap(&grid, &half), 0.5);
        let inner = grid.window([16, 8, 4], [32, 16, 8]).unwrap();
        assert_eq!(overlap(&grid, &inner), 0.125);
        assert_eq!(overlap(&inner, &grid), 1.0);
        let away = grid.window([64, 0, 0], [64, 32, 16]).unwrap();
        assert_eq!(overlap(&grid, &away), 0.0);
    }
}
