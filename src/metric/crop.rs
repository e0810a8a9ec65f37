//! One class of two label maps, cut to the box that holds both.

use crate::kernel::region::{Region, runs};

/// A class in truth and prediction, as masks of 0 and 1 on the box that holds both.
#[derive(Debug, Clone, PartialEq)]
pub struct Masks {
    /// Truth, `[z, y, x]`.
    pub truth: Vec<u8>,
    /// Prediction, `[z, y, x]`.
    pub prediction: Vec<u8>,
    /// Voxels along x, y, z.
    pub shape_xyz: [usize; 3],
    /// Voxel size in mm along x, y, z.
    pub spacing_mm: [f64; 3],
}

/// For each class the smallest box that holds it in either label map; `None` where it is in none.
///
/// Classes from `classes` on are passed over. One pass over both maps.
pub fn boxes(maps: [&[u8]; 2], shape_xyz: [usize; 3], classes: usize) -> Vec<Option<Region>> {
    let [nx, ny, _] = shape_xyz;
    let mut found: Vec<Option<[[usize; 2]; 3]>> = vec![None; classes];
    for map in maps {
        for (row, values) in map.chunks_exact(nx.max(1)).enumerate() {
            let (y, z) = (row % ny, row / ny);
            let mut begin = 0;
            for (class, length) in runs(values) {
                let end = begin + length;
                if let Some(entry) = found.get_mut(usize::from(class)) {
                    let [bx, by, bz] = entry.get_or_insert([[begin, end], [y, y + 1], [z, z + 1]]);
                    *bx = [bx[0].min(begin), bx[1].max(end)];
                    *by = [by[0].min(y), by[1].max(y + 1)];
                    *bz = [bz[0].min(z), bz[1].max(z + 1)];
                }
                begin = end;
            }
        }
    }
    let region = |ends: [[usize; 2]; 3]| Region {
        offset_xyz: ends.map(|[low, _]| low),
        shape_xyz: ends.map(|[low, high]| high - low),
    };
    found.into_iter().map(|ends| ends.map(region)).collect()
}

/// 1 where a label map holds a class, on a box of it.
pub fn mask(map: &[u8], shape_xyz: [usize; 3], region: Region, class: u8) -> Vec<u8> {
    let [nx, ny, _] = shape_xyz;
    let [x, y, z] = region.offset_xyz;
    let [width, height, depth] = region.shape_xyz;
    let mut out = Vec::with_capacity(width * height * depth);
    for slice in z..z + depth {
        for row in y..y + height {
            let start = (slice * ny + row) * nx + x;
            let values = &map[start..start + width];
            out.extend(values.iter().map(|v| u8::from(*v == class)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_hold_a_class_of_both_maps_and_masks_are_cut_from_them() {
        let shape = [5, 3, 2];
        let (mut truth, mut prediction) = (vec![0u8; 30], vec![0u8; 30]);
        truth[3] = 2; // x 3, y 0, z 0
        prediction[15 + 5 + 1] = 2; // x 1, y 1, z 1
        prediction[29] = 9;
        let found = boxes([&truth, &prediction], shape, 4);
        let region = found[2].unwrap();
        assert_eq!(
            (region.offset_xyz, region.shape_xyz),
            ([1, 0, 0], [3, 2, 2])
        );
        assert_eq!((found[1], found[3]), (None, None));
        assert_eq!(found[0].unwrap().shape_xyz, shape);
        let cut = mask(&prediction, shape, region, 2);
        assert_eq!(cut, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
