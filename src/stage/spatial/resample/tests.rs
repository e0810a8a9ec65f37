use super::*;

#[test]
fn the_rounding_of_a_file_does_not_decide_a_length() {
    // Three steps of 1 mm are one and a half of 2 mm; 2.5 voxels are rounded to the even 2.
    assert_eq!(axis_length(4, 1.0, 2.0), 2.0);
    for old_mm in [1.0 + 1e-7, 1.0 - 1e-7, f64::from(1.000_000_1f32)] {
        assert_eq!(axis_length(4, old_mm, 2.0), 2.0, "{old_mm}");
    }
    assert_eq!(axis_length(4, 1.00001, 2.0), 3.0);
    // Not a half: as MONAI rounds.
    assert_eq!(axis_length(4, 1.0, 0.7), 5.0);
    assert_eq!(axis_length(1, 5.0, 1.0), 1.0);
}

#[test]
fn a_shape_is_promised_if_every_channel_would_have_it() {
    let known = |size: f64| ChannelSchema {
        name: "ct".to_owned(),
        role: Role::Image,
        dtype: None,
        shape_xyz: Some([4, 4, 4]),
        spacing_mm: Some([size, 1.0, 1.0]),
        orientation: None,
    };
    let of = |sizes: &[f64]| {
        let channels = sizes.iter().map(|size| known(*size)).collect();
        let input = EdgeSchema {
            channels,
            rows_per_subject: Some(1),
        };
        Reference::of(&input).resampled_shape([Some(2.0), None, None])
    };
    assert_eq!(of(&[1.0, 1.0]), Some([2, 4, 4]));
    // Equal within a thousandth of a millimetre, but one has three voxels.
    assert_eq!(of(&[1.0, 1.0001]), None);
}
