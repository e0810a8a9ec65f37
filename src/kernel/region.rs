//! Boxes of voxels, smallest values, and stretches of one class.

use std::collections::BTreeMap;

/// A box of voxels that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First voxel, x, y, z.
    pub offset_xyz: [usize; 3],
    /// Voxels along x, y, z, at least one each.
    pub shape_xyz: [usize; 3],
}

impl Region {
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

/// The smallest box that holds every voxel for which `is_foreground` holds; `None` without any.
pub fn bounding_box<T: Copy>(
    source: &[T],
    shape_xyz: [usize; 3],
    is_foreground: impl Fn(T) -> bool,
) -> Option<Region> {
    let [nx, ny, _] = shape_xyz;
    let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
    for (row, values) in source.chunks_exact(nx.max(1)).enumerate() {
        let Some(first) = values.iter().position(|&v| is_foreground(v)) else {
            continue;
        };
        let last = values.iter().rposition(|&v| is_foreground(v));
        for (axis, [begin, end]) in [[first, last.unwrap_or(first)], [row % ny; 2], [row / ny; 2]]
            .into_iter()
            .enumerate()
        {
            low[axis] = low[axis].min(begin);
            high[axis] = high[axis].max(end);
        }
    }
    (low[0] != usize::MAX).then(|| Region {
        offset_xyz: low,
        shape_xyz: [0, 1, 2].map(|a| high[a] + 1 - low[a]),
    })
}

/// Smallest number that is not NaN; `None` where there is none.
pub fn minimum(values: &[f32]) -> Option<f32> {
    const LANES: usize = 16;
    let mut lanes = [f32::INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            // A comparison with NaN is false, so NaN never enters.
            *lane = if v < *lane { v } else { *lane };
        }
    }
    let least = lanes
        .iter()
        .chain(rest)
        .fold(f32::INFINITY, |a, &b| if b < a { b } else { a });
    (least < f32::INFINITY || values.contains(&f32::INFINITY)).then_some(least)
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
    fn nan_is_no_minimum() {
        let mut values = vec![f32::NAN; 40];
        assert_eq!(minimum(&values), None);
        values[39] = -3.0;
        values[2] = 5.0;
        assert_eq!(minimum(&values), Some(-3.0));
        assert_eq!(class_counts(&[f32::NAN; 3], |_| 0)[&0], 3);
    }
}
