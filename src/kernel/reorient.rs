//! Axis permutations and reversals: the same numbers in another order.

use super::lattice::{Lattice, copy_lattice};
use glam::{DAffine3, DMat3, DVec3};

/// Which source axis each output axis reads, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AxisMap {
    /// For output x, y, z the source axis (0 = x).
    pub source_axis: [usize; 3],
    /// For output x, y, z whether the source axis is read from its end.
    pub reversed: [bool; 3],
}

impl AxisMap {
    /// Leaves everything where it is.
    pub const IDENTITY: Self = Self {
        source_axis: [0, 1, 2],
        reversed: [false; 3],
    };

    /// Reverses the marked axes.
    pub const fn flip(axes_xyz: [bool; 3]) -> Self {
        Self {
            source_axis: [0, 1, 2],
            reversed: axes_xyz,
        }
    }

    /// `turns` quarter turns from axis `first` towards axis `second`.
    ///
    /// **Law** one turn is `out[i, j] = source[j, n - 1 - i]` for indices along `first`,
    /// `second`, which is NumPy's `rot90`.
    pub fn quarter_turns(first: usize, second: usize, turns: u32) -> Self {
        let mut map = Self::IDENTITY;
        match turns % 4 {
            0 => {}
            2 => {
                map.reversed[first] = true;
                map.reversed[second] = true;
            }
            odd => {
                map.source_axis.swap(first, second);
                map.reversed[if odd == 1 { first } else { second }] = true;
            }
        }
        map
    }

    /// Shape of the output, x, y, z.
    pub fn output_shape(&self, source_shape_xyz: [usize; 3]) -> [usize; 3] {
        self.source_axis.map(|axis| source_shape_xyz[axis])
    }

    /// Source voxel index of an output voxel index, as an affine in x, y, z.
    pub fn source_from_output(&self, source_shape_xyz: [usize; 3]) -> DAffine3 {
        let mut columns = [DVec3::ZERO; 3];
        let mut offset = DVec3::ZERO;
        for (column, (&axis, &reversed)) in columns
            .iter_mut()
            .zip(self.source_axis.iter().zip(&self.reversed))
        {
            column[axis] = if reversed { -1.0 } else { 1.0 };
            if reversed {
                offset[axis] = source_shape_xyz[axis] as f64 - 1.0;
            }
        }
        DAffine3 {
            matrix3: DMat3::from_cols(columns[0], columns[1], columns[2]),
            translation: offset,
        }
    }
}

/// Reorders voxels.
///
/// **Shape** source `[z, y, x]` of `source_shape_xyz`; the result has [`AxisMap::output_shape`].
pub fn reorient<T: bytemuck::Pod>(
    source: &[T],
    source_shape_xyz: [usize; 3],
    map: &AxisMap,
) -> Vec<T> {
    let Some(&first) = source.first() else {
        return Vec::new();
    };
    let mut start = [0; 3];
    for (&axis, &reversed) in map.source_axis.iter().zip(&map.reversed) {
        if reversed {
            start[axis] = source_shape_xyz[axis] as i64 - 1;
        }
    }
    let lattice = Lattice {
        source_axis: map.source_axis,
        reversed: map.reversed,
        start,
    };
    let shape = map.output_shape(source_shape_xyz);
    // Every output voxel has a source voxel; the fill is never seen.
    copy_lattice(source, source_shape_xyz, &lattice, shape, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_axis_map_moves_each_voxel_to_its_place() {
        let shape = [37, 5, 41];
        let source: Vec<u32> = (0..37 * 5 * 41).collect();
        for axes in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            for bits in 0..8 {
                let map = AxisMap {
                    source_axis: axes,
                    reversed: [0, 1, 2].map(|i| bits >> i & 1 == 1),
                };
                let out = reorient(&source, shape, &map);
                let [ox, oy, _] = map.output_shape(shape);
                let affine = map.source_from_output(shape);
                for (i, &value) in out.iter().enumerate() {
                    let at =
                        DVec3::new((i % ox) as f64, (i / ox % oy) as f64, (i / ox / oy) as f64);
                    let from = affine.transform_point3(at);
                    let index =
                        (from.z as usize * shape[1] + from.y as usize) * shape[0] + from.x as usize;
                    assert_eq!(value as usize, index, "{map:?} at {at}");
                }
            }
        }
    }
}
