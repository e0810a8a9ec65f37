use super::*;
use proptest::prelude::*;

#[test]
fn the_voxel_size_of_a_single_slice_belongs_to_its_grid() {
    let grid = |shape, spacing_mm| Grid::with_spacing(shape, spacing_mm).unwrap();
    let slice = grid([4, 4, 1], [1.0, 1.0, 5.0]);
    assert!(slice.is_same(&slice, 1e-9));
    assert!(!slice.is_same(&grid([4, 4, 1], [1.0, 1.0, 3.0]), 0.01));
    let stack = grid([4, 4, 2], [1.0, 1.0, 5.0]);
    assert!(stack.is_same(&grid([4, 4, 2], [1.0, 1.0, 5.005]), 0.01));
}

#[test]
fn oblique_grid_names_three_axes() {
    let turn = DAffine3::from_rotation_z(0.7) * DAffine3::from_scale(DVec3::new(-1.0, 2.0, 3.0));
    let grid = Grid::try_new([4, 5, 6], turn).unwrap();
    assert_eq!(grid.orientation(), "LAS");
    assert_eq!(grid.shape_zyx(), [6, 5, 4]);
}

#[test]
fn ties_follow_the_world_however_axes_are_kept() {
    let ties = |columns: [[f64; 3]; 3]| {
        let [x, y, z] = columns.map(DVec3::from);
        let affine = DAffine3::from_mat3(DMat3::from_cols(x, y, z));
        Grid::try_new([4, 5, 6], affine).unwrap().ties().up
    };
    let s = 0.5f64.sqrt();
    assert_eq!(
        ties([[1.0, 0.1, 0.0], [0.0, -2.0, 0.3], [0.0, 0.0, 3.0]]),
        [true, false, true]
    );
    // An axis halfway between two world axes: the same answer wherever it is stored.
    assert_eq!(
        ties([[-s, s, 0.0], [s, s, 0.0], [0.0, 0.0, -1.0]]),
        [false, true, false]
    );
    assert_eq!(
        ties([[s, s, 0.0], [0.0, 0.0, 1.0], [s, -s, 0.0]]),
        [true, true, true]
    );
}

#[test]
fn singular_and_empty_are_refused() {
    assert!(matches!(
        Grid::with_spacing([4, 0, 4], [1.0; 3]),
        Err(GridError::Empty { .. })
    ));
    assert!(matches!(
        Grid::with_spacing([4, 4, 4], [1.0, 0.0, 1.0]),
        Err(GridError::Singular { .. })
    ));
    assert!(matches!(
        Grid::with_spacing([4, 4, 4], [1.0, f64::NAN, 1.0]),
        Err(GridError::NotFinite { .. })
    ));
}

proptest! {
    #[test]
    fn world_and_voxel_are_inverse(a in -3.0..3.0f64, b in -1.5..1.5f64, s in 0.2..5.0f64, p in prop::array::uniform3(-50.0..50.0f64)) {
        let affine = DAffine3::from_rotation_z(a) * DAffine3::from_rotation_x(b) * DAffine3::from_scale(DVec3::new(s, 1.0, -2.0));
        let grid = Grid::try_new([3, 4, 5], affine).unwrap();
        let there = grid.world_from_voxel().transform_point3(DVec3::from(p));
        prop_assert!(grid.voxel_from_world().transform_point3(there).distance(DVec3::from(p)) < 1e-9);
    }

    #[test]
    fn window_keeps_world_positions(o in prop::array::uniform3(-5i64..5)) {
        let grid = Grid::try_new([9, 9, 9], DAffine3::from_rotation_y(0.3)).unwrap();
        let window = grid.window(o, [2, 3, 4]).unwrap();
        let at = DVec3::new(o[0] as f64, o[1] as f64, o[2] as f64);
        prop_assert!(window.world_from_voxel().translation.distance(grid.world_from_voxel().transform_point3(at)) < 1e-9);
    }
}
