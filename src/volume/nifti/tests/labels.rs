use super::build::Build;
use crate::volume::nifti::read_labels;
use crate::volume::{Dtype, Scaling};
use tempfile::tempdir;

#[test]
fn labels_of_any_type_become_u8_or_u16() {
    let folder = tempdir().unwrap();
    for dtype in Dtype::ALL.into_iter().filter(|&d| d != Dtype::F16) {
        for name in ["l.nii", "l.nii.gz"] {
            let small = Build::new(dtype);
            let map = read_labels(&small.save(folder.path(), name), None).unwrap();
            assert_eq!(map.as_slice::<u8>().unwrap(), (0..24).collect::<Vec<u8>>());
            if dtype.bytes() > 1 {
                let mut wide = Build::new(dtype);
                wide.values[5] = 30_000.0;
                let map = read_labels(&wide.save(folder.path(), name), None).unwrap();
                assert_eq!(map.as_slice::<u16>().unwrap()[4..7], [4, 30_000, 6]);
                assert_eq!(map.scaling(), Scaling::NONE);
            }
        }
    }
}

#[test]
fn scaled_labels_are_whole_after_scaling() {
    let folder = tempdir().unwrap();
    // 1/255 in f32 gives 3.0000000447 and the like.
    let build = Build {
        slope: 1.0 / 255.0,
        values: (0..24).map(|i| f64::from(i % 4) * 255.0).collect(),
        ..Build::new(Dtype::I16)
    };
    let map = read_labels(&build.save(folder.path(), "s.nii"), None).unwrap();
    assert_eq!(map.as_slice::<u8>().unwrap()[..5], [0, 1, 2, 3, 0]);
    // An intercept turns stored -1 into 0.
    let build = Build {
        slope: 1.0,
        inter: 1.0,
        values: vec![-1.0; 24],
        ..Build::new(Dtype::I8)
    };
    let map = read_labels(&build.save(folder.path(), "i.nii"), None).unwrap();
    assert_eq!(map.as_slice::<u8>().unwrap(), [0; 24]);
    let build = Build {
        slope: 0.5,
        ..Build::new(Dtype::U8)
    };
    let error = read_labels(&build.save(folder.path(), "h.nii"), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("voxel x 1, y 0, z 0 is 0.5"), "{error}");
}

#[test]
fn what_is_no_label_is_named_with_its_voxel() {
    let folder = tempdir().unwrap();
    for (value, shown) in [
        (0.5, "0.5"),
        (-1.0, "-1"),
        (65_536.0, "65536"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
    ] {
        let mut build = Build::new(Dtype::F32);
        // Index 17 of 2 x 3 x 4 is x 1, y 2, z 2; a later offence must not be the one told.
        build.values[17] = value;
        build.values[20] = -7.0;
        let error = read_labels(&build.save(folder.path(), "b.nii"), None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!(
                "voxels: the value at voxel x 1, y 2, z 2 is {shown},"
            )),
            "{error}"
        );
    }
}
