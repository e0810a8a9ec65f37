//! What a header says of the grid: affine, units, axes, and volumes of a 4-D file.

use super::build::Build;
use super::reading::stored;
use crate::volume::Dtype;
use crate::volume::nifti::{read, read_header};
use tempfile::tempdir;

#[test]
fn affine_is_sform_then_qform_then_sizes() {
    let folder = tempdir().unwrap();
    let half = std::f64::consts::FRAC_1_SQRT_2;
    // A quarter turn about z: x to y, y to -x.
    let mut build = Build {
        qform_code: 1,
        quatern: [0.0, 0.0, half],
        qoffset: [5.0, 6.0, 7.0],
        ..Build::new(Dtype::U8)
    };
    let rows = |build: &Build| {
        read_header(&build.save(folder.path(), "f.nii"))
            .unwrap()
            .grid
            .rows()
    };
    assert_eq!(rows(&build), build.srow);
    build.sform_code = 0;
    let close = |found: [[f64; 4]; 3], wanted: [[f64; 4]; 3]| {
        for (f, w) in found.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((f - w).abs() < 1e-6, "{found:?}");
        }
    };
    // pixdim[0] is 0 in many files and means +1; negative sizes lose their sign; 0 counts as 1.
    for (pixdim, z) in [
        ([1.0, 1.0, 2.0, 3.0], 3.0),
        ([0.0, 1.0, 2.0, 3.0], 3.0),
        ([-1.0, 1.0, 2.0, 3.0], -3.0),
        ([0.0, -1.0, -2.0, -3.0], 3.0),
        ([1.0, 1.0, 2.0, 0.0], 1.0),
    ] {
        build.pixdim[..4].copy_from_slice(&pixdim);
        close(
            rows(&build),
            [
                [0.0, -2.0, 0.0, 5.0],
                [1.0, 0.0, 0.0, 6.0],
                [0.0, 0.0, z, 7.0],
            ],
        );
    }
    build.qform_code = 0;
    build.pixdim = [1.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0];
    close(
        rows(&build),
        [
            [-1.0, 0.0, 0.0, 0.5],
            [0.0, 2.0, 0.0, -2.0],
            [0.0, 0.0, 3.0, -4.5],
        ],
    );
}

#[test]
fn metres_and_micrometres_become_millimetres() {
    let folder = tempdir().unwrap();
    for (units, mm) in [(0, 1.0), (2, 1.0), (2 | 8, 1.0), (1, 1000.0), (3, 0.001)] {
        let build = Build {
            units,
            ..Build::new(Dtype::U8)
        };
        let grid = read_header(&build.save(folder.path(), "u.nii"))
            .unwrap()
            .grid;
        assert!((grid.spacing_mm()[2] - 3.0 * mm).abs() < 1e-9);
        assert!((grid.rows()[2][3] - 30.5 * mm).abs() < 1e-9);
    }
}

#[test]
fn missing_axes_have_one_voxel() {
    let folder = tempdir().unwrap();
    for (dim, shape) in [
        // Sizes behind dim[0] axes are ignored.
        ([2, 4, 6, 0, -1, 9, 9, 9], [1, 6, 4]),
        ([1, 24, 0, 0, 0, 0, 0, 0], [1, 1, 24]),
        ([4, 2, 3, 4, 1, 0, 0, 0], [4, 3, 2]),
        ([7, 2, 3, 4, 1, 1, 1, 1], [4, 3, 2]),
    ] {
        let build = Build {
            dim,
            ..Build::new(Dtype::I32)
        };
        let volume = read(&build.save(folder.path(), "d.nii"), None).unwrap();
        assert_eq!(volume.grid().shape_zyx(), shape);
        assert_eq!(stored(&volume), build.values);
    }
}

#[test]
fn one_volume_of_a_4d_file_is_chosen() {
    let folder = tempdir().unwrap();
    for name in ["m.nii", "m.nii.gz"] {
        for big in [false, true] {
            let build = Build {
                big,
                dim: [4, 2, 3, 2, 3, 1, 1, 1],
                values: (0..36).map(f64::from).collect(),
                ..Build::new(Dtype::I16)
            };
            let path = build.save(folder.path(), name);
            assert_eq!(read_header(&path).unwrap().volumes, 3);
            for index in 0..3 {
                let volume = read(&path, Some(index)).unwrap();
                assert_eq!(stored(&volume), build.values[12 * index..12 * (index + 1)]);
            }
            let none = read(&path, None).unwrap_err().to_string();
            assert!(
                none.ends_with(
                    "dim: a 4-D file with 3 volumes; a manifest chooses one of them: `{ column: NAME, index: 0 }`, from 0 to 2"
                ),
                "{none}"
            );
            let far = read(&path, Some(3)).unwrap_err().to_string();
            assert!(
                far.ends_with("dim: volume 3 was asked for, but the file has 3, counted from 0"),
                "{far}"
            );
        }
    }
}
