//! Boxes of voxels, smallest values, and stretches of one class.

use std::collections::BTreeMap;
use std::ops::Range;

/// A box of voxels that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First voxel, x, y, z.
    pub offset_xyz: [usize; 3],
    /// Voxels along x, y, z, at least one each.
    pub shape_xyz: [usize; 3],
}

impl Region {
    /// All voxels of a volume.
    pub fn of(shape_xyz: [usize; 3]) -> Self {
        Self {
            offset_xyz: [0; 3],
            shape_xyz,
        }
    }

    /// Half-open ranges along x, y, z.
    pub fn ranges(&self) -> [Range<usize>; 3] {
        [0, 1, 2].map(|a| {
            let [begin, end] = self.ends(a);
            begin..end
        })
    }

    /// The box with another range along one axis.
    #[must_use]
    pub fn with_range(mut self, axis: usize, range: Range<usize>) -> Self {
        (self.offset_xyz[axis], self.shape_xyz[axis]) = (range.start, range.len());
        self
    }

    /// First voxel, and one behind the last, along an axis.
    pub fn ends(&self, axis: usize) -> [usize; 2] {
        let first = self.offset_xyz[axis];
        [first, first + self.shape_xyz[axis]]
    }

    /// The part of the box in one slice.
    #[must_use]
    pub fn slice(self, z: usize) -> Self {
        self.with_range(2, z..z + 1)
    }

    /// Voxels in the box.
    pub fn voxels(&self) -> usize {
        self.shape_xyz.iter().product()
    }

    /// The smallest box that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let offset_xyz = [0, 1, 2].map(|a| self.offset_xyz[a].min(other.offset_xyz[a]));
        let shape_xyz = [0, 1, 2].map(|a| {
            let end = (self.offset_xyz[a] + self.shape_xyz[a])
                .max(other.offset_xyz[a] + other.shape_xyz[a]);
            end - offset_xyz[a]
        });
        Self {
            offset_xyz,
            shape_xyz,
        }
    }

    /// The box grown by a margin on every side, clipped to a volume of `limit_xyz` voxels.
    #[must_use]
    pub fn grown(self, margin_xyz: [usize; 3], limit_xyz: [usize; 3]) -> Self {
        let offset_xyz = [0, 1, 2].map(|a| self.offset_xyz[a].saturating_sub(margin_xyz[a]));
        let shape_xyz = [0, 1, 2].map(|a| {
            let end = self.offset_xyz[a] + self.shape_xyz[a];
            end.saturating_add(margin_xyz[a]).min(limit_xyz[a]) - offset_xyz[a]
        });
        Self {
            offset_xyz,
            shape_xyz,
        }
    }
}

/// Voxels asked together whether any is foreground.
const TOGETHER: usize = 32;

/// The smallest box that holds every voxel for which `is_foreground` holds; `None` without any.
#[inline(always)]
pub fn bounding_box<T: Copy>(
    source: &[T],
    shape_xyz: [usize; 3],
    is_foreground: impl Fn(T) -> bool + Copy,
) -> Option<Region> {
    let [nx, ny, _] = shape_xyz;
    let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
    for (row, values) in source.chunks_exact(nx.max(1)).enumerate() {
        let (y, z) = (row % ny, row / ny);
        // Of a row in the box only what is beside the box can make it larger.
        let is_in = low[2] != usize::MAX && (low[1]..=high[1]).contains(&y) && z == high[2];
        let [left, right] = if is_in {
            [low[0], high[0] + 1]
        } else {
            [nx, 0]
        };
        let first = first_of(&values[..left], is_foreground);
        let last = last_of(&values[right..], is_foreground).map(|at| right + at);
        let (Some(begin), Some(end)) = (first.or(last), last.or(first)) else {
            continue;
        };
        for (axis, [begin, end]) in [[begin, end], [y; 2], [z; 2]].into_iter().enumerate() {
            low[axis] = low[axis].min(begin);
            high[axis] = high[axis].max(end);
        }
    }
    (low[0] != usize::MAX).then(|| Region {
        offset_xyz: low,
        shape_xyz: [0, 1, 2].map(|a| high[a] + 1 - low[a]),
    })
}

/// The first voxel that is foreground. Blocks are asked as a whole, in one vector operation or two.
#[inline(always)]
fn first_of<T: Copy>(values: &[T], is_foreground: impl Fn(T) -> bool + Copy) -> Option<usize> {
    let any = |block: &[T]| (block.iter()).fold(false, |any, &v| any | is_foreground(v));
    let block = values.chunks(TOGETHER).position(any)?;
    let from = block * TOGETHER;
    let within = values[from..].iter().position(|&v| is_foreground(v))?;
    Some(from + within)
}

/// The last voxel that is foreground.
#[inline(always)]
fn last_of<T: Copy>(values: &[T], is_foreground: impl Fn(T) -> bool + Copy) -> Option<usize> {
    let any = |block: &[T]| (block.iter()).fold(false, |any, &v| any | is_foreground(v));
    let after = values.rchunks(TOGETHER).position(any)?;
    let end = values.len() - after * TOGETHER;
    values[..end].iter().rposition(|&v| is_foreground(v))
}

/// Smallest finite number; `None` where there is none.
pub fn minimum(values: &[f32]) -> Option<f32> {
    const LANES: usize = 16;
    let mut lanes = [f32::INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            // A comparison with NaN is false, so NaN never enters.
            *lane = if (v < *lane) & (v > f32::NEG_INFINITY) {
                v
            } else {
                *lane
            };
        }
    }
    let least = lanes
        .iter()
        .chain(rest)
        .filter(|v| v.is_finite())
        .fold(f32::INFINITY, |a, &b| if b < a { b } else { a });
    (least < f32::INFINITY).then_some(least)
}

/// Stretches of one number in memory order: number and length.
///
/// Label maps are long stretches, so that a class is looked up once a stretch and a voxel costs
/// one vector lane's comparison.
pub fn runs<T: Copy + PartialEq>(values: &[T]) -> impl Iterator<Item = (T, usize)> {
    const BLOCK: usize = 64;
    let mut rest = values;
    std::iter::from_fn(move || {
        let &value = rest.first()?;
        let blocks = rest.chunks_exact(BLOCK);
        let whole = blocks
            .take_while(|block| block.iter().fold(true, |same, &v| same & (v == value)))
            .count();
        let tail = &rest[whole * BLOCK..];
        let length = whole * BLOCK + tail.iter().position(|&v| v != value).unwrap_or(tail.len());
        // A NaN differs from itself; it is a run of its own.
        let length = length.max(1);
        rest = &rest[length..];
        Some((value, length))
    })
}

/// How many voxels each class has, by class number.
pub fn class_counts<T: Copy + PartialEq>(
    labels: &[T],
    class_of: impl Fn(T) -> i64,
) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for (value, length) in runs(labels) {
        *counts.entry(class_of(value)).or_default() += length;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_counts_and_picks() {
        let mut labels = vec![0u8; 5 * 4 * 3];
        for [x, y, z, c] in [[1, 2, 0, 3], [4, 1, 2, 3], [2, 2, 1, 7]] {
            labels[(z * 4 + y) * 5 + x] = c as u8;
        }
        let region = bounding_box(&labels, [5, 4, 3], |v| v > 0).unwrap();
        assert_eq!(region.offset_xyz, [1, 1, 0]);
        assert_eq!(region.shape_xyz, [4, 2, 3]);
        assert_eq!(bounding_box(&labels, [5, 4, 3], |v| v > 7), None);
        let counts = class_counts(&labels, i64::from);
        assert_eq!(counts, BTreeMap::from([(0, 57), (3, 2), (7, 1)]));
        let grown = region.grown([1, 9, 0], [5, 4, 3]);
        assert_eq!((grown.offset_xyz, grown.shape_xyz), ([0; 3], [5, 4, 3]));
    }

    #[test]
    fn a_box_is_that_of_every_voxel_asked_alone() {
        let shape = [70, 5, 4];
        for seed in 0..400usize {
            // From none to many, in clusters and alone.
            let is_foreground =
                |i: usize| (i * 7919 + seed * 104_729) % (1 + seed * seed) < seed / 20;
            let voxels: Vec<bool> = (0..1400).map(is_foreground).collect();
            let at = |i: usize| [i % 70, i / 70 % 5, i / 350];
            let alone = (0..1400).filter(|i| voxels[*i]).map(|i| Region {
                offset_xyz: at(i),
                shape_xyz: [1; 3],
            });
            assert_eq!(
                bounding_box(&voxels, shape, |v| v),
                alone.reduce(Region::union),
                "{seed}"
            );
        }
    }

    #[test]
    fn what_is_not_finite_is_no_minimum() {
        let mut values = vec![f32::NAN; 40];
        assert_eq!(minimum(&values), None);
        values[39] = -3.0;
        (values[2], values[4], values[38]) = (5.0, f32::NEG_INFINITY, f32::NEG_INFINITY);
        assert_eq!(minimum(&values), Some(-3.0));
        assert_eq!(class_counts(&[f32::NAN; 3], |_| 0)[&0], 3);
    }
}
