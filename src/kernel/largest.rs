//! The largest component of each class of a label map.

use super::components::{Connectivity, components};
use std::collections::BTreeMap;

/// Removes the components of each class but the largest: their voxels become 0. Returns `None` if
/// nothing is removed.
///
/// **Law** Sizes are voxels; of components of one size, the first in memory order is the largest. With
/// `min_share`, components of at least this share of the largest one's voxels stay, too. Classes for
/// which `is_cleaned` does not hold stay as they are.
/// **Shape** `values` `[z, y, x]` of `shape_xyz`.
pub fn keep_largest<T>(
    values: &[T],
    shape_xyz: [usize; 3],
    connectivity: Connectivity,
    min_share: Option<f64>,
    is_cleaned: impl Fn(T) -> bool,
) -> Option<Vec<T>>
where
    T: Copy + PartialEq + Into<u16> + bytemuck::Zeroable,
{
    let found = components(values, shape_xyz, connectivity, is_cleaned);
    let mut largest: BTreeMap<u16, (usize, usize)> = BTreeMap::new();
    for (i, component) in found.list.iter().enumerate() {
        let best = largest
            .entry(component.value.into())
            .or_insert((i, component.voxels));
        if component.voxels > best.1 {
            *best = (i, component.voxels);
        }
    }
    let is_kept = |(i, component): (usize, &super::components::Component<T>)| {
        let (first, voxels) = largest[&component.value.into()];
        let share = component.voxels as f64 / voxels as f64;
        i == first || min_share.is_some_and(|least| share >= least)
    };
    let kept: Vec<bool> = found.list.iter().enumerate().map(is_kept).collect();
    if kept.iter().all(|kept| *kept) {
        return None;
    }
    let mut values = values.to_vec();
    for run in &found.runs {
        if !kept[run.component as usize] {
            let end = run.start + run.length as usize;
            values[run.start..end].fill(T::zeroed());
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_piece_of_a_class_goes_and_others_stay() {
        let values: [u8; 10] = [1, 1, 0, 1, 2, 0, 2, 2, 3, 3];
        let cleaned = |share, is_cleaned: fn(u8) -> bool| {
            keep_largest(&values, [10, 1, 1], Connectivity::Faces, share, is_cleaned)
        };
        let all = cleaned(None, |class| class != 0).unwrap();
        assert_eq!(all, [1, 1, 0, 0, 0, 0, 2, 2, 3, 3]);
        let one = cleaned(None, |class| class == 1).unwrap();
        assert_eq!(one, [1, 1, 0, 0, 2, 0, 2, 2, 3, 3]);
        assert_eq!(cleaned(None, |class| class == 3), None);
        assert_eq!(cleaned(Some(0.5), |class| class != 0), None);
    }
}
