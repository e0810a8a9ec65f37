//! Axis permutations and reversals: the same numbers in another order.

use glam::{DAffine3, DMat3, DVec3};

/// Voxels of one tile edge: two tiles of 8-byte voxels fit the first-level cache.
const TILE: usize = 32;

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
    /// **Law** one turn gives `out[i, j] = source[j, n - 1 - i]` for indices along `first`,
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
/// **Law** runs along x are copied whole where x stays x; otherwise square tiles keep reads and
/// writes in the cache.
pub fn reorient<T: Copy>(source: &[T], source_shape_xyz: [usize; 3], map: &AxisMap) -> Vec<T> {
    let [nx, ny, _] = source_shape_xyz;
    let stride = [1, nx as isize, (nx * ny) as isize];
    let shape = map.output_shape(source_shape_xyz);
    let mut start = 0isize;
    let step: [isize; 3] = std::array::from_fn(|axis| {
        let stride = stride[map.source_axis[axis]];
        if map.reversed[axis] {
            start += stride * (shape[axis] as isize - 1);
            -stride
        } else {
            stride
        }
    });
    if map.source_axis[0] == 0 {
        return copy_runs(source, shape, start, step);
    }
    let Some(&first) = source.first() else {
        return Vec::new();
    };
    let mut out = vec![first; source.len()];
    // One of output y, z walks the source's x: tile it against output x.
    let along = if map.source_axis[1] == 0 { 1 } else { 2 };
    let other = 3 - along;
    let out_stride = [1, shape[0], shape[0] * shape[1]];
    for o in 0..shape[other] {
        for tile_a in (0..shape[along]).step_by(TILE) {
            for tile_x in (0..shape[0]).step_by(TILE) {
                let count = TILE.min(shape[0] - tile_x);
                for a in tile_a..(tile_a + TILE).min(shape[along]) {
                    let to = o * out_stride[other] + a * out_stride[along] + tile_x;
                    let mut from = start
                        + o as isize * step[other]
                        + a as isize * step[along]
                        + tile_x as isize * step[0];
                    for value in &mut out[to..to + count] {
                        *value = source[from as usize];
                        from += step[0];
                    }
                }
            }
        }
    }
    out
}

fn copy_runs<T: Copy>(source: &[T], shape: [usize; 3], start: isize, step: [isize; 3]) -> Vec<T> {
    let mut out = Vec::with_capacity(source.len());
    for z in 0..shape[2] as isize {
        for y in 0..shape[1] as isize {
            let from = start + z * step[2] + y * step[1];
            if step[0] == 1 {
                out.extend_from_slice(&source[from as usize..from as usize + shape[0]]);
            } else {
                let first = from as usize + 1 - shape[0];
                out.extend(source[first..first + shape[0]].iter().rev());
            }
        }
    }
    out
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
