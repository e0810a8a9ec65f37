//! Volumes as numbers, read one voxel at a time.

use glam::{DAffine3, DMat3, DVec3};
use voxstream::volume::{Role, Volume, Voxel as _};

/// Positions this close to a voxel, or to the middle between two, are there.
const SNAP: f64 = 1e-6;

/// A volume as numbers.
#[derive(Debug, Clone)]
pub(super) struct Naive {
    pub(super) role: Role,
    pub(super) values: Vec<f64>,
    pub(super) shape: [usize; 3],
    pub(super) affine: DAffine3,
    /// What stands outside.
    pub(super) outside: f64,
}

impl Naive {
    pub(super) fn of(role: Role, volume: &Volume) -> Self {
        let scaling = volume.scaling();
        let values: Vec<f64> = voxstream::with_voxel_type!(volume.dtype(), T => {
            let stored = volume.as_slice::<T>().unwrap();
            stored.iter().map(|v| v.to_f64() * scaling.slope + scaling.intercept).collect()
        });
        let outside = match role {
            Role::Image => lowest(volume),
            Role::Label => 0.0,
        };
        Self {
            role,
            values,
            shape: volume.grid().shape_xyz(),
            affine: volume.grid().world_from_voxel(),
            outside,
        }
    }

    fn at(&self, [x, y, z]: [usize; 3]) -> f64 {
        self.values[(z * self.shape[1] + y) * self.shape[0] + x]
    }

    /// The volume on another grid, each voxel as `value` says.
    fn made(&self, shape: [usize; 3], affine: DAffine3, value: impl Fn([usize; 3]) -> f64) -> Self {
        let [nx, ny, nz] = shape;
        let at = |i: usize| value([i % nx, i / nx % ny, i / nx / ny]);
        Self {
            values: (0..nx * ny * nz).map(at).collect(),
            shape,
            affine,
            ..self.clone()
        }
    }

    /// The window that begins at `offset`.
    pub(super) fn window(&self, offset: [i64; 3], shape: [usize; 3]) -> Self {
        let affine =
            self.affine * DAffine3::from_translation(DVec3::from(offset.map(|o| o as f64)));
        self.made(shape, affine, |at| {
            let from = [0, 1, 2].map(|a| at[a] as i64 + offset[a]);
            match (0..3).all(|a| from[a] >= 0 && from[a] < self.shape[a] as i64) {
                true => self.at(from.map(|i| i as usize)),
                false => self.outside,
            }
        })
    }

    /// The volume with its axes reversed.
    pub(super) fn flipped(&self, reversed: [bool; 3]) -> Self {
        let turned = [0, 1, 2].map(|a| (a, reversed[a]));
        self.turned(turned)
    }

    /// The volume whose axes are these axes of it, some reversed.
    pub(super) fn turned(&self, axes: [(usize, bool); 3]) -> Self {
        let columns = self.affine.matrix3.to_cols_array_2d().map(DVec3::from);
        let last = |a: usize| self.shape[a] as f64 - 1.0;
        let mut translation = self.affine.translation;
        let turned = axes.map(|(a, reversed)| match reversed {
            true => {
                translation += columns[a] * last(a);
                -columns[a]
            }
            false => columns[a],
        });
        let affine = DAffine3 {
            matrix3: DMat3::from_cols(turned[0], turned[1], turned[2]),
            translation,
        };
        self.made(axes.map(|(a, _)| self.shape[a]), affine, |at| {
            let mut from = [0; 3];
            for (i, (a, reversed)) in axes.into_iter().enumerate() {
                from[a] = match reversed {
                    true => self.shape[a] - 1 - at[i],
                    false => at[i],
                };
            }
            self.at(from)
        })
    }

    pub(super) fn changed(&self, change: impl Fn(f64) -> f64) -> Self {
        let values = self.values.iter().map(|v| change(*v)).collect();
        Self {
            values,
            ..self.clone()
        }
    }

    /// The volume at the voxels of another grid.
    pub(super) fn sampled(&self, shape: [usize; 3], affine: DAffine3) -> Self {
        let map = straightened(self.affine.inverse() * affine, shape);
        let rows = map.matrix3.transpose().to_cols_array_2d().map(DVec3::from);
        let reach = rows.map(|row| 0.5 * row.length().max(1.0) + SNAP);
        let last = self.shape.map(|n| n as f64 - 1.0);
        self.made(shape, affine, |at| {
            let at = map.transform_point3(DVec3::from(at.map(|i| i as f64)));
            match (0..3).all(|a| at[a] >= -reach[a] && at[a] <= last[a] + reach[a]) {
                true => self.between(at, last),
                false => self.outside,
            }
        })
    }

    /// Images linearly; labels by the nearest voxel, of two as near that further along the world axis.
    fn between(&self, at: DVec3, last: [f64; 3]) -> f64 {
        if self.role == Role::Label {
            let columns = self.affine.matrix3.to_cols_array_2d();
            return self.at([0, 1, 2].map(|a| {
                let along = columns[a];
                let most = along.iter().fold(0.0, |m: f64, c| m.max(c.abs())) * (1.0 - SNAP);
                let up = *along.iter().find(|c| c.abs() >= most).unwrap() > 0.0;
                let nearest = at[a] + if up { 0.5 + SNAP } else { 0.5 - SNAP };
                nearest.floor().clamp(0.0, last[a]) as usize
            }));
        }
        let mut sum = 0.0;
        for corner in 0..8 {
            let (mut weight, mut from) = (1.0, [0; 3]);
            for a in 0..3 {
                let position = at[a].clamp(0.0, last[a]);
                let position = match (position - position.round()).abs() < SNAP {
                    true => position.round(),
                    false => position,
                };
                let upper = corner >> a & 1 == 1;
                let share = position - position.floor();
                weight *= if upper { share } else { 1.0 - share };
                from[a] = position as usize + usize::from(upper && share > 0.0);
            }
            // What has no weight does not count, not even as 0 times infinity.
            if weight > 0.0 {
                sum += weight * self.at(from);
            }
        }
        sum
    }
}

/// The map without what leads off its axes, where that is 1e-6 voxels at most over the whole grid:
/// files store affines as f32, and such a map counts as one along the axes.
fn straightened(map: DAffine3, shape: [usize; 3]) -> DAffine3 {
    let mut straight = map;
    for (a, length) in shape.into_iter().enumerate() {
        let column = map.matrix3.col(a);
        let along = column.abs().max_position();
        let off = (0..3)
            .filter(|i| *i != along)
            .map(|i| column[i].abs() * length as f64);
        if off.fold(0.0, f64::max) > SNAP {
            return map;
        }
        let kept = column[along];
        *straight.matrix3.col_mut(a) = DVec3::ZERO;
        straight.matrix3.col_mut(a)[along] = kept;
    }
    straight
}

/// The value that stands outside an image.
fn lowest(volume: &Volume) -> f64 {
    let (bytes, scaling) = (volume.lowest_bits().to_le_bytes(), volume.scaling());
    voxstream::with_voxel_type!(volume.dtype(), T => {
        let stored: T = bytemuck::pod_read_unaligned(&bytes[..size_of::<T>()]);
        stored.to_f64() * scaling.slope + scaling.intercept
    })
}
