use super::*;
use crate::kernel::reorient::AxisMap;
use glam::DVec3;

#[test]
fn turned_windows_over_every_edge_are_what_the_affine_says() {
    let shape = [37, 5, 41];
    let source: Vec<u32> = (1..=37 * 5 * 41).collect();
    for axes in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        for bits in 0..8 {
            let turn = AxisMap {
                source_axis: axes,
                reversed: [0, 1, 2].map(|i| bits >> i & 1 == 1),
            };
            for (offset, size) in [
                ([0.0, 0.0, 0.0], turn.output_shape(shape)),
                ([-2.0, 1.0, -3.0], [9, 8, 40]),
                ([3.0, -1.0, 2.0], [2, 3, 2]),
                ([99.0, 0.0, 0.0], [2, 2, 2]),
            ] {
                let affine = turn.source_from_output(shape)
                    * DAffine3::from_translation(DVec3::from(offset));
                let map = Lattice::from_affine(&affine).unwrap();
                let out = copy_lattice(&source, shape, &map, size, 0);
                let seen = map.seen(&shape.map(|n| [0, n as i64]));
                let mut kept = vec![1u32; out.len()];
                fill_outside(&mut kept, size, &seen, 0);
                let mut outside = false;
                for (i, &value) in out.iter().enumerate() {
                    let [x, y] = [size[0], size[1]];
                    let at = [i % x, i / x % y, i / x / y].map(|n| n as f64);
                    let from = affine.transform_point3(DVec3::from(at)).to_array();
                    let is_in = (0..3).all(|a| (0.0..shape[a] as f64).contains(&from[a]));
                    outside |= !is_in;
                    assert_eq!(kept[i] == 1, is_in, "{map:?}");
                    let from = from.map(|v| v as i64);
                    let index = (from[2] * 5 + from[1]) * 37 + from[0] + 1;
                    assert_eq!(i64::from(value), if is_in { index } else { 0 }, "{map:?}");
                }
                assert_eq!(map.reaches_out(shape, size), outside, "{map:?}");
            }
        }
    }
}

#[test]
fn maps_between_voxels_are_no_lattice() {
    for affine in [
        DAffine3::from_translation(DVec3::new(0.5, 0.0, 0.0)),
        DAffine3::from_scale(DVec3::new(2.0, 1.0, 1.0)),
        DAffine3::from_rotation_z(0.1),
    ] {
        assert_eq!(Lattice::from_affine(&affine), None);
    }
}
