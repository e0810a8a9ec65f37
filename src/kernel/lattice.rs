//! Voxels moved to other places of the same lattice: turned, reversed, cut and padded in one copy.
//!
//! Every chain of quarter turns, flips, crops and pads is one [`Lattice`], however long it is.

mod copy;

pub use copy::{AsStored, Converted, CopiedLines, append_lattice, copy_lattice};

use super::region::Region;
use glam::DAffine3;

/// Where each output voxel of a copy comes from.
///
/// **Law** output index `i` along axis `a` reads source axis `source_axis[a]` at
/// `start[source_axis[a]] + i`, or `- i` where `reversed[a]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lattice {
    /// For output x, y, z the source axis (0 = x).
    pub source_axis: [usize; 3],
    /// For output x, y, z whether the source axis is read backwards.
    pub reversed: [bool; 3],
    /// Source voxel x, y, z of the output's first voxel; may lie outside.
    pub start: [i64; 3],
}

impl Lattice {
    /// The lattice map that an affine is; `None` where a voxel would fall between voxels.
    ///
    /// Products of such maps hold whole numbers only, which f64 keeps exactly.
    pub fn from_affine(source_from_output: &DAffine3) -> Option<Self> {
        let (mut source_axis, mut reversed, mut used) = ([0; 3], [false; 3], [false; 3]);
        for output in 0..3 {
            let column = source_from_output.matrix3.col(output).to_array();
            let axis = column.iter().position(|v| v.abs() == 1.0)?;
            if used[axis] || column.iter().filter(|v| **v != 0.0).count() != 1 {
                return None;
            }
            used[axis] = true;
            source_axis[output] = axis;
            reversed[output] = column[axis] < 0.0;
        }
        let start = source_from_output.translation.to_array();
        let is_whole = |v: &f64| v.fract() == 0.0 && v.abs() < 1e15;
        start.iter().all(is_whole).then(|| Self {
            source_axis,
            reversed,
            start: start.map(|v| v as i64),
        })
    }

    /// Half-open range of output indices that have a source voxel, x, y, z.
    fn inside(&self, source_shape: [usize; 3], shape: [usize; 3]) -> [[usize; 2]; 3] {
        [0, 1, 2].map(|a| {
            let (n, count) = (source_shape[self.source_axis[a]] as i64, shape[a] as i64);
            let start = self.start[self.source_axis[a]];
            let [begin, end] = if self.reversed[a] {
                [start.saturating_sub(n - 1), start.saturating_add(1)]
            } else {
                [start.saturating_neg(), n.saturating_sub(start)]
            };
            let begin = begin.clamp(0, count);
            [begin as usize, end.clamp(begin, count) as usize]
        })
    }

    /// The box of source voxels that a copy reads: the first one and the number along x, y, z, 0 where
    /// none is read.
    pub fn read_box(
        &self,
        source_shape: [usize; 3],
        shape: [usize; 3],
    ) -> ([usize; 3], [usize; 3]) {
        let inside = self.inside(source_shape, shape);
        let (mut first, mut count) = ([0; 3], [0; 3]);
        if inside.iter().any(|[begin, end]| begin == end) {
            return (first, count);
        }
        for (a, [begin, end]) in inside.into_iter().enumerate() {
            let (axis, start) = (self.source_axis[a], self.start[self.source_axis[a]]);
            let low = match self.reversed[a] {
                true => start - end as i64 + 1,
                false => start + begin as i64,
            };
            (first[axis], count[axis]) = (low as usize, end - begin);
        }
        (first, count)
    }

    /// Returns `true` if some output voxel has no source voxel.
    pub fn reaches_out(&self, source_shape: [usize; 3], shape: [usize; 3]) -> bool {
        self.inside(source_shape, shape) != shape.map(|n| [0, n])
    }
}

/// A box of voxels, half-open along x, y, z; may be empty or lie outside.
pub type Inside = [[i64; 2]; 3];

impl Lattice {
    /// The output voxels that read source voxels of a box.
    pub fn seen(&self, source: &Inside) -> Inside {
        [0, 1, 2].map(|a| {
            let axis = self.source_axis[a];
            let ([low, high], start) = (source[axis], self.start[axis]);
            if self.reversed[a] {
                [start - high + 1, start - low + 1]
            } else {
                [low - start, high - start]
            }
        })
    }
}

/// The part of a box that is in a volume of `shape_xyz`; `None` if it is empty.
pub fn within(inside: &Inside, shape_xyz: [usize; 3]) -> Option<Region> {
    let clamped = [0, 1, 2].map(|a| inside[a].map(|v| v.clamp(0, shape_xyz[a] as i64) as usize));
    (clamped.iter().all(|[begin, end]| begin < end)).then(|| Region {
        offset_xyz: clamped.map(|[begin, _]| begin),
        shape_xyz: clamped.map(|[begin, end]| end - begin),
    })
}

/// Sets every voxel outside a box to one value.
///
/// **Shape** `voxels` `[z, y, x]` of `shape_xyz`.
pub fn fill_outside<T: Copy>(voxels: &mut [T], shape_xyz: [usize; 3], inside: &Inside, fill: T) {
    let Some(region) = within(inside, shape_xyz) else {
        return voxels.fill(fill);
    };
    let [x, y, z] = region.ranges();
    for (row, values) in voxels.chunks_exact_mut(shape_xyz[0]).enumerate() {
        if z.contains(&(row / shape_xyz[1])) && y.contains(&(row % shape_xyz[1])) {
            values[..x.start].fill(fill);
            values[x.end..].fill(fill);
        } else {
            values.fill(fill);
        }
    }
}

#[cfg(test)]
mod tests;
