//! Where a subject's classes are: voxels to centre patches on, found once.

use super::grid::Grid;
use super::voxels::Volume;
use crate::with_voxel_type;
use std::collections::BTreeMap;

/// Most voxels remembered of one class, evenly spread over all it has in memory order.
pub const MOST_SITES: usize = 10_000;

/// Voxels of each class of a label map.
///
/// They are those of the prepared subject: a warp made later moves them, it does not look for them
/// again, so a patch is drawn without a warped volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Sites {
    grid: Grid,
    classes: BTreeMap<i64, Vec<u32>>,
}

impl Sites {
    /// Sites as they were kept.
    pub fn new(grid: Grid, classes: BTreeMap<i64, Vec<u32>>) -> Self {
        Self { grid, classes }
    }

    /// Finds the voxels of every class above 0 of a label map.
    ///
    /// **Law** of the `n` voxels of a class, in memory order, `min(n, 10 000)` are kept: those
    /// numbered `floor(i n / k)` of `k`.
    pub fn of(labels: &Volume) -> Self {
        let scaling = labels.scaling();
        let class_of = |stored: f64| (stored * scaling.slope + scaling.intercept).round() as i64;
        let all = with_voxel_type!(labels.dtype(), T => {
            let stored: &[T] = bytemuck::cast_slice(labels.buffer().as_slice());
            positions(stored, |v| class_of(crate::volume::Voxel::to_f64(v)))
        });
        let classes = all.into_iter().map(|(class, runs)| (class, spread(&runs)));
        Self::new(*labels.grid(), classes.collect())
    }

    /// The grid the voxels are counted on.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Bytes they take in memory.
    pub fn bytes(&self) -> usize {
        self.classes.values().map(|found| 4 * found.len()).sum()
    }

    /// Class numbers that have voxels, rising; 0 is not among them.
    pub fn classes(&self) -> impl Iterator<Item = i64> {
        self.classes.keys().copied()
    }

    /// Buffer indices of a class's voxels on [`Sites::grid`], rising.
    pub fn of_class(&self, class: i64) -> &[u32] {
        self.classes.get(&class).map_or(&[], Vec::as_slice)
    }

    /// Voxel index x, y, z of a buffer index.
    pub fn voxel(&self, index: u32) -> [usize; 3] {
        let [nx, ny, _] = self.grid.shape_xyz();
        let index = index as usize;
        [index % nx, index / nx % ny, index / nx / ny]
    }
}

/// Runs of each class above 0 in memory order: first voxel and length.
fn positions<T: Copy + PartialEq>(
    labels: &[T],
    class_of: impl Fn(T) -> i64,
) -> BTreeMap<i64, Vec<(u32, u32)>> {
    let mut classes: BTreeMap<i64, Vec<(u32, u32)>> = BTreeMap::new();
    let mut at = 0;
    for (value, length) in crate::kernel::region::runs(labels) {
        let class = class_of(value);
        // Volumes of more voxels than u32 counts keep the sites of their first part.
        if class > 0 && at + length <= u32::MAX as usize {
            let runs = classes.entry(class).or_default();
            runs.push((at as u32, length as u32));
        }
        at += length;
    }
    classes
}

fn spread(runs: &[(u32, u32)]) -> Vec<u32> {
    let count: usize = runs.iter().map(|r| r.1 as usize).sum();
    let kept = count.min(MOST_SITES);
    let (mut run, mut before) = (0, 0);
    (0..kept)
        .map(|i| {
            let wanted = (i as u64 * count as u64 / kept as u64) as usize;
            while wanted >= before + runs[run].1 as usize {
                before += runs[run].1 as usize;
                run += 1;
            }
            runs[run].0 + (wanted - before) as u32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_keeps_its_voxels_evenly() {
        let grid = Grid::with_spacing([100, 100, 10], [1.0; 3]).unwrap();
        let labels: Vec<u8> = (0..100_000u32)
            .map(|i| {
                if i < 50_000 {
                    (i % 2) as u8
                } else {
                    3 * u8::from(i == 70_001)
                }
            })
            .collect();
        let sites = Sites::of(&Volume::from_vec(labels.clone(), grid).unwrap());
        assert_eq!(sites.classes().collect::<Vec<_>>(), [1, 3]);
        let ones = sites.of_class(1);
        assert_eq!(ones.len(), MOST_SITES);
        assert!(ones.iter().all(|i| labels[*i as usize] == 1));
        assert!(ones.windows(2).all(|p| (4..=6).contains(&(p[1] - p[0]))));
        assert_eq!(sites.of_class(3), [70_001]);
        assert_eq!(sites.voxel(70_001), [1, 0, 7]);
        assert_eq!(sites.of_class(2), [0u32; 0]);
    }
}
