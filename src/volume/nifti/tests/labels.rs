use super::build::Build;
use crate::volume::nifti::{LabelValues, read_header, read_labels};
use crate::volume::{Dtype, Scaling};
use tempfile::tempdir;

#[test]
fn labels_of_any_type_become_u8_or_u16() {
    let folder = tempdir().unwrap();
    for dtype in Dtype::ALL.into_iter().filter(|&d| d != Dtype::F16) {
        for name in ["l.nii", "l.nii.gz"] {
            let small = Build::new(dtype);
            let map = read_labels(
                &small.save(folder.path(), name),
                None,
                &LabelValues::default(),
            )
            .unwrap();
            assert_eq!(map.as_slice::<u8>().unwrap(), (0..24).collect::<Vec<u8>>());
            if dtype.bytes() > 1 {
                let mut wide = Build::new(dtype);
                wide.values[5] = 30_000.0;
                let map = read_labels(
                    &wide.save(folder.path(), name),
                    None,
                    &LabelValues::default(),
                )
                .unwrap();
                assert_eq!(map.as_slice::<u16>().unwrap()[4..7], [4, 30_000, 6]);
                assert_eq!(map.scaling(), Scaling::NONE);
            }
        }
    }
}

#[test]
fn scaled_labels_are_whole_after_scaling() {
    let folder = tempdir().unwrap();
    // 1/255 in f32 makes 3.0000000447 and the like.
    let build = Build {
        slope: 1.0 / 255.0,
        values: (0..24).map(|i| f64::from(i % 4) * 255.0).collect(),
        ..Build::new(Dtype::I16)
    };
    let map = read_labels(
        &build.save(folder.path(), "s.nii"),
        None,
        &LabelValues::default(),
    )
    .unwrap();
    assert_eq!(map.as_slice::<u8>().unwrap()[..5], [0, 1, 2, 3, 0]);
    // An intercept turns stored -1 into 0.
    let build = Build {
        slope: 1.0,
        inter: 1.0,
        values: vec![-1.0; 24],
        ..Build::new(Dtype::I8)
    };
    let map = read_labels(
        &build.save(folder.path(), "i.nii"),
        None,
        &LabelValues::default(),
    )
    .unwrap();
    assert_eq!(map.as_slice::<u8>().unwrap(), [0; 24]);
    let build = Build {
        slope: 0.5,
        ..Build::new(Dtype::U8)
    };
    let error = read_labels(
        &build.save(folder.path(), "h.nii"),
        None,
        &LabelValues::default(),
    )
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
        // Index 17 of 2 x 3 x 4 is x 1, y 2, z 2; a later offence must not be the one reported.
        build.values[17] = value;
        build.values[20] = -7.0;
        let error = read_labels(
            &build.save(folder.path(), "b.nii"),
            None,
            &LabelValues::default(),
        )
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

#[test]
fn what_a_writer_rounded_is_the_class_it_rounded() {
    let folder = tempdir().unwrap();
    let read = |build: &Build| {
        read_labels(
            &build.save(folder.path(), "q.nii"),
            None,
            &LabelValues::default(),
        )
    };
    // As nibabel stores the classes 0 to 7 in all 256 numbers: class 1 becomes 36 * 7 / 255 = 0.988.
    let slope = 7.0 / 255.0;
    let spread = Build {
        slope,
        values: (0..24)
            .map(|i| (f64::from(i % 8) / slope).round())
            .collect(),
        ..Build::new(Dtype::U8)
    };
    let expected: Vec<u8> = (0..24).map(|i| i % 8).collect();
    assert_eq!(read(&spread).unwrap().as_slice::<u8>().unwrap(), expected);
    // 0 to 7000 in 16 bits, with an intercept.
    let slope = 7000.0 / 65535.0;
    let classes: Vec<u16> = (0..24).map(|i| i * 304).collect();
    let wide = Build {
        slope,
        inter: 32768.0 * slope,
        values: (classes.iter())
            .map(|c| (f64::from(*c) / slope - 32768.0).round())
            .collect(),
        ..Build::new(Dtype::I16)
    };
    assert_eq!(read(&wide).unwrap().as_slice::<u16>().unwrap(), classes);
    // A third, three times.
    let third = Build {
        slope: 1.0 / 3.0,
        values: (0..24).map(|i| f64::from(i % 5) * 3.0).collect(),
        ..Build::new(Dtype::I16)
    };
    assert_eq!(
        read(&third).unwrap().as_slice::<u8>().unwrap()[..5],
        [0, 1, 2, 3, 4]
    );
    // Floats one step below and within 1e-3; more is no class.
    let mut float = Build::new(Dtype::F32);
    float.values[1..5].copy_from_slice(&[0.999_999_94, 1.999_999_8, 2.9991, 4.0009]);
    assert_eq!(
        read(&float).unwrap().as_slice::<u8>().unwrap()[..6],
        [0, 1, 2, 3, 4, 5]
    );
    float.values[3] = 2.998;
    assert!(read(&float).is_err());
    // Further than half a slope, and a slope that leaves nothing to round.
    for (slope, stored, value) in [(0.4, 1.0, "0.4"), (1.5, 1.0, "1.5")] {
        let mut build = Build {
            slope,
            ..Build::new(Dtype::U8)
        };
        build.values.fill(0.0);
        build.values[5] = stored;
        let error = read(&build).unwrap_err().to_string();
        assert!(
            error.contains("voxel x 1, y 2, z 0 is ") && error.contains(value),
            "{error}"
        );
        assert!(
            error.contains("(stored 1, scl_slope ") && error.contains("is scl_slope wrong?"),
            "{error}"
        );
    }
}

#[test]
fn a_header_that_contradicts_itself_is_remarked() {
    let folder = tempdir().unwrap();
    let header = |build: &Build| read_header(&build.save(folder.path(), "h.nii"));
    let rows = [
        [2.0, 0.0, 0.0, 5.0],
        [0.0, 2.0, 0.0, 6.0],
        [0.0, 0.0, 3.0, 7.0],
    ];
    let mut build = Build {
        pixdim: [1.0, 2.0, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0],
        sform_code: 1,
        qform_code: 1,
        quatern: [0.0; 3],
        qoffset: [5.0, 6.0, 7.0],
        srow: rows,
        ..Build::new(Dtype::U8)
    };
    assert!(header(&build).unwrap().remarks.is_empty());
    build.qoffset[0] = 5.9;
    assert!(
        header(&build).unwrap().remarks.is_empty(),
        "less than half a voxel"
    );
    build.qoffset[0] = 8.0;
    let found = header(&build).unwrap();
    assert_eq!(found.grid.rows(), rows);
    assert_eq!(
        found.remarks,
        [
            "its sform (code 1) and qform (code 1) are up to 3.00 mm apart, 1.5 voxels; the sform is used: write one affine into both, or set qform_code to 0"
        ]
    );
    build.srow = [[0.0; 4]; 3];
    let error = header(&build).unwrap_err().to_string();
    assert!(
        error.ends_with("srow: sform_code is 1, but the sform holds zeros only; the qform (qform_code 1) is sound: 2 x 2 x 3 mm, RAS; set sform_code to 0, or copy the qform into the sform"),
        "{error}"
    );
    (build.sform_code, build.qform_code) = (0, 0);
    assert!(header(&build).unwrap().remarks.is_empty());
    build.pixdim[3] = 0.0;
    assert_eq!(
        header(&build).unwrap().remarks,
        [
            "its voxel size (pixdim) along z is 0 and there is neither sform nor qform: 1 mm is assumed; write the true size into the header"
        ]
    );
}
