use super::*;

fn grid() -> Grid {
    Grid::with_spacing([2, 1, 2], [1.0; 3]).unwrap()
}

#[test]
fn scaling_is_applied_once() {
    let stored = Buffer::from_vec(vec![0i16, 1, -2, 300]);
    let volume = Volume::try_new(
        stored,
        Dtype::I16,
        Scaling {
            slope: 0.5,
            intercept: 10.0,
        },
        grid(),
    )
    .unwrap();
    assert_eq!(volume.to_f32().as_ref(), [10.0, 10.5, 9.0, 160.0]);
    let changed = volume.clone().map_f32(|v| v[0] = -1.0);
    assert_eq!(changed.as_slice::<f32>().unwrap(), [-1.0, 10.5, 9.0, 160.0]);
    assert_eq!(volume.as_slice::<i16>().unwrap(), [0, 1, -2, 300]);
}

#[test]
fn shared_voxels_are_copied_before_a_change() {
    let first = Volume::from_vec(vec![1f32; 4], grid()).unwrap();
    let second = first.clone().map_f32(|v| v.fill(2.0));
    assert_eq!(first.to_f32()[0], 1.0);
    assert_eq!(second.to_f32()[0], 2.0);
}

#[test]
fn a_wrong_length_is_named() {
    let error = Volume::from_vec(vec![1f32; 3], grid()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a volume of shape [2, 1, 2] (z, y, x) as f32 needs 16 bytes, found 12"
    );
}
