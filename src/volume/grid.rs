//! Where voxels stand in the world; the only file that converts between x, y, z and `[z, y, x]`.

use crate::kernel::sample::Ties;
use glam::{DAffine3, DMat3, DVec3};
use serde::{Deserialize, Serialize};

/// Grids closer than this at every corner are one grid, in mm: NIfTI stores affines as f32.
pub const SAME_GRID_TOLERANCE_MM: f64 = 1e-2;

/// Most voxels of one volume: 16 GiB of f32, more than any scanner makes; offsets fit 32 bits.
pub const MOST_VOXELS: usize = 1 << 32;

/// Returns `true` if a volume may have this shape.
pub fn is_in_bounds(shape_xyz: [usize; 3]) -> bool {
    let count = shape_xyz
        .iter()
        .try_fold(1, |n: usize, &m| n.checked_mul(m));
    count.is_some_and(|n| n <= MOST_VOXELS)
}

/// Why three axes and an affine are no grid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GridError {
    /// An axis without voxels.
    #[error("the grid has {shape_xyz:?} voxels along x, y, z; every axis needs at least one")]
    Empty {
        /// The shape found.
        shape_xyz: [usize; 3],
    },
    /// More voxels than a volume may have.
    #[error(
        "the grid has {shape_xyz:?} voxels along x, y, z; a volume has at most 4294967296 in all"
    )]
    TooLarge {
        /// The shape found.
        shape_xyz: [usize; 3],
    },
    /// An affine with NaN or infinite entries.
    #[error(
        "the affine holds a value that is not finite ({rows:?}); rewrite the file's sform or qform"
    )]
    NotFinite {
        /// Rows of the 3x4 affine.
        rows: [[f64; 4]; 3],
    },
    /// An affine that maps the grid onto a plane or a line.
    #[error(
        "the affine is singular (determinant {determinant:.3e}); two voxel axes point the same way or a spacing is zero"
    )]
    Singular {
        /// Determinant of the 3x3 part, mm³ per voxel.
        determinant: f64,
    },
}

/// A regular grid of voxels in world space: shape and affine.
///
/// **Shape** x, y, z in voxels, x fastest in memory, which is row-major `[z, y, x]`.
/// **Units** mm, RAS+ (x to the right, y to the front, z up).
/// **Source** NIfTI-1 `dim`, `sform`/`qform`: voxel indices are voxel *centres*.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    shape_xyz: [usize; 3],
    world_from_voxel: DAffine3,
}

impl Grid {
    /// A grid from its shape and its affine.
    ///
    /// **Errors** when an axis is empty, the voxels are too many, or the affine is not finite or not
    /// invertible.
    pub fn try_new(shape_xyz: [usize; 3], world_from_voxel: DAffine3) -> Result<Self, GridError> {
        let grid = Self {
            shape_xyz,
            world_from_voxel,
        };
        if shape_xyz.contains(&0) {
            return Err(GridError::Empty { shape_xyz });
        }
        if !is_in_bounds(shape_xyz) {
            return Err(GridError::TooLarge { shape_xyz });
        }
        if !world_from_voxel.is_finite() {
            return Err(GridError::NotFinite { rows: grid.rows() });
        }
        let m = world_from_voxel.matrix3;
        let determinant = m.determinant();
        let scale = m.x_axis.length() * m.y_axis.length() * m.z_axis.length();
        if determinant.abs() <= 1e-6 * scale || determinant == 0.0 {
            return Err(GridError::Singular { determinant });
        }
        Ok(grid)
    }

    /// An axis-aligned RAS+ grid whose first voxel's centre is the world's origin.
    ///
    /// **Errors** as [`Grid::try_new`].
    pub fn with_spacing(shape_xyz: [usize; 3], spacing_mm: [f64; 3]) -> Result<Self, GridError> {
        Self::try_new(shape_xyz, DAffine3::from_scale(DVec3::from(spacing_mm)))
    }

    /// A grid from the three rows of its 3x4 affine.
    ///
    /// **Errors** as [`Grid::try_new`].
    pub fn from_rows(shape_xyz: [usize; 3], rows: [[f64; 4]; 3]) -> Result<Self, GridError> {
        let column = |j: usize| DVec3::new(rows[0][j], rows[1][j], rows[2][j]);
        let matrix = DMat3::from_cols(column(0), column(1), column(2));
        Self::try_new(
            shape_xyz,
            DAffine3 {
                matrix3: matrix,
                translation: column(3),
            },
        )
    }

    /// Voxels along x, y, z.
    pub fn shape_xyz(&self) -> [usize; 3] {
        self.shape_xyz
    }

    /// Voxels along z, y, x: the shape of the row-major buffer.
    pub fn shape_zyx(&self) -> [usize; 3] {
        let [x, y, z] = self.shape_xyz;
        [z, y, x]
    }

    /// How many voxels there are.
    pub fn voxel_count(&self) -> usize {
        self.shape_xyz.iter().product()
    }

    /// World position in mm of a voxel index (x, y, z).
    pub fn world_from_voxel(&self) -> DAffine3 {
        self.world_from_voxel
    }

    /// Voxel index (x, y, z) of a world position in mm.
    pub fn voxel_from_world(&self) -> DAffine3 {
        self.world_from_voxel.inverse()
    }

    /// The three rows of the 3x4 affine.
    pub fn rows(&self) -> [[f64; 4]; 3] {
        let m = self.world_from_voxel.matrix3;
        let t = self.world_from_voxel.translation;
        [0, 1, 2].map(|i| [m.x_axis[i], m.y_axis[i], m.z_axis[i], t[i]])
    }

    /// Distance of neighbouring voxel centres along the grid's x, y, z axes, in mm.
    pub fn spacing_mm(&self) -> [f64; 3] {
        let m = self.world_from_voxel.matrix3;
        [m.x_axis.length(), m.y_axis.length(), m.z_axis.length()]
    }

    /// Volume of one voxel in mm³.
    pub fn voxel_volume_mm3(&self) -> f64 {
        self.world_from_voxel.matrix3.determinant().abs()
    }

    /// The anatomical directions in which x, y and z grow, such as `RAS` or `LPI`.
    ///
    /// **Law** each voxel axis is given the world axis it is closest to, best fit first, so
    /// that an oblique grid still names three different axes.
    pub fn orientation(&self) -> String {
        const LETTERS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];
        self.axes()
            .iter()
            .map(|&(world, positive)| LETTERS[world][usize::from(positive)])
            .collect()
    }

    /// For each voxel axis the world axis (0 = x) it is closest to, and whether it grows with it.
    pub fn axes(&self) -> [(usize, bool); 3] {
        let m = self.world_from_voxel.matrix3;
        let columns = [
            m.x_axis.normalize(),
            m.y_axis.normalize(),
            m.z_axis.normalize(),
        ];
        const PERMUTATIONS: [[usize; 3]; 6] = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        let fit = |p: &[usize; 3]| -> f64 { (0..3).map(|v| columns[v][p[v]].abs()).sum() };
        let mut best = PERMUTATIONS[0];
        for p in &PERMUTATIONS[1..] {
            if fit(p) > fit(&best) + 1e-12 {
                best = *p;
            }
        }
        [0, 1, 2].map(|v| (best[v], columns[v][best[v]] > 0.0))
    }

    /// The same voxels in the order of the world's axes: x, y and z grow to the right, the front and up.
    #[must_use]
    pub fn along_world(&self) -> Self {
        let m = self.world_from_voxel.matrix3;
        let columns = [m.x_axis, m.y_axis, m.z_axis];
        let mut sorted = *self;
        let mut turned = columns;
        for (axis, (world, grows)) in self.axes().into_iter().enumerate() {
            let last = self.shape_xyz[axis] as f64 - 1.0;
            sorted.shape_xyz[world] = self.shape_xyz[axis];
            turned[world] = if grows { columns[axis] } else { -columns[axis] };
            if !grows {
                sorted.world_from_voxel.translation += columns[axis] * last;
            }
        }
        sorted.world_from_voxel.matrix3 = DMat3::from_cols(turned[0], turned[1], turned[2]);
        sorted
    }

    /// On which side of a voxel axis a position halfway between two voxels is.
    ///
    /// **Law** towards growing world coordinates: along each voxel axis, the world axis with the
    /// largest component decides (x before y before z where they are equal within 1e-6). Turning,
    /// flipping or permuting the voxel axes therefore changes no label.
    pub fn ties(&self) -> Ties {
        let m = self.world_from_voxel.matrix3;
        let grows = |column: DVec3| {
            let largest = column.abs().max_element() * (1.0 - 1e-6);
            let decides = column.to_array().into_iter().find(|c| c.abs() >= largest);
            decides.is_none_or(|c| c > 0.0)
        };
        Ties {
            up: [m.x_axis, m.y_axis, m.z_axis].map(grows),
        }
    }

    /// The grid that begins `offset_xyz` voxels further (may be negative) with another shape.
    ///
    /// **Errors** when the new shape has an empty axis.
    pub fn window(&self, offset_xyz: [i64; 3], shape_xyz: [usize; 3]) -> Result<Self, GridError> {
        let o = DVec3::new(
            offset_xyz[0] as f64,
            offset_xyz[1] as f64,
            offset_xyz[2] as f64,
        );
        let mut affine = self.world_from_voxel;
        affine.translation = self.world_from_voxel.transform_point3(o);
        Self::try_new(shape_xyz, affine)
    }

    /// Largest distance in mm between the centres of corresponding corner voxels of two grids.
    pub fn corner_distance_mm(&self, other: &Self) -> f64 {
        let corner = |g: &Self, i: usize| {
            let pick = |axis: usize| {
                if i >> axis & 1 == 1 {
                    g.shape_xyz[axis] as f64 - 1.0
                } else {
                    0.0
                }
            };
            g.world_from_voxel
                .transform_point3(DVec3::new(pick(0), pick(1), pick(2)))
        };
        (0..8)
            .map(|i| corner(self, i).distance(corner(other, i)))
            .fold(0.0, f64::max)
    }

    /// Returns `true` if both grids have one shape, and corners within `tolerance_mm`.
    ///
    /// Along an axis of one voxel, whose corners coincide whatever its size, the voxel's size and
    /// direction must agree within the same tolerance.
    pub fn is_same(&self, other: &Self, tolerance_mm: f64) -> bool {
        let column = |grid: &Self, axis: usize| grid.world_from_voxel.matrix3.col(axis);
        let single_alike = |axis: usize| {
            self.shape_xyz[axis] > 1
                || column(self, axis).distance(column(other, axis)) <= tolerance_mm
        };
        self.shape_xyz == other.shape_xyz
            && self.corner_distance_mm(other) <= tolerance_mm
            && (0..3).all(single_alike)
    }
}

#[cfg(test)]
mod tests;
