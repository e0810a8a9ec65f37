//! Headers that describe no volume, or one that no pipeline can use.

use super::build::{Build, gzip, save};
use super::hostile::{refused, unsupported};
use crate::volume::nifti::read;
use crate::volume::{Dtype, VolumeError};
use tempfile::tempdir;

#[test]
fn offsets_that_cannot_be_are_refused() {
    let folder = tempdir().unwrap();
    for offset in [
        0.0,
        348.0,
        351.0,
        -352.0,
        352.5,
        f64::NAN,
        f64::INFINITY,
        1e30,
    ] {
        let build = Build {
            vox_offset: Some(offset),
            ..Build::new(Dtype::U8)
        };
        assert_eq!(
            refused(&build.save(folder.path(), "o.nii")).0,
            "vox_offset",
            "{offset}"
        );
    }
    let build = Build {
        vox_offset: Some(4e9),
        ..Build::new(Dtype::U8)
    };
    assert_eq!(refused(&build.save(folder.path(), "o.nii")).0, "voxels");
    assert_eq!(refused(&build.save(folder.path(), "o.nii.gz")).0, "dim");
}

#[test]
fn grids_that_are_none_are_refused() {
    let folder = tempdir().unwrap();
    let mut nan = Build::new(Dtype::U8);
    nan.srow[1][2] = f64::NAN;
    let mut flat = Build::new(Dtype::U8);
    flat.srow[2] = [0.0; 4];
    let quaternion = Build {
        sform_code: 0,
        qform_code: 1,
        quatern: [f64::NAN; 3],
        ..Build::new(Dtype::U8)
    };
    let sizes = Build {
        sform_code: 0,
        pixdim: [f64::NAN; 8],
        ..Build::new(Dtype::U8)
    };
    for build in [nan, flat, quaternion, sizes] {
        let error = read(&build.save(folder.path(), "g.nii"), None).unwrap_err();
        assert!(
            matches!(error, VolumeError::Grid { path: Some(_), .. }),
            "{error:?}"
        );
    }
}

#[test]
fn what_no_pipeline_can_use_is_unsupported_with_a_hint() {
    let folder = tempdir().unwrap();
    for (datatype, bitpix, text) in [
        (1, 1, "one bit a voxel"),
        (32, 64, "complex numbers (datatype 32)"),
        (128, 24, "RGB colour"),
        (1536, 128, "128-bit floats"),
        (1792, 128, "complex"),
        (2048, 256, "complex"),
        (2304, 32, "RGBA colour"),
    ] {
        let build = Build {
            datatype,
            bitpix,
            ..Build::new(Dtype::U8)
        };
        let found = unsupported(&build.save(folder.path(), "u.nii"));
        assert!(found.contains(text), "{found}");
    }
    let vectors = Build {
        dim: [5, 2, 3, 4, 1, 3, 1, 1],
        values: vec![0.0; 72],
        ..Build::new(Dtype::F32)
    };
    assert!(unsupported(&vectors.save(folder.path(), "v.nii")).contains("5 axes [2, 3, 4, 1, 3]"));
    let mut analyze = Build::new(Dtype::I16).bytes();
    analyze[344..348].fill(0);
    assert!(unsupported(&save(folder.path(), "a.nii", &analyze)).contains("ANALYZE 7.5"));
    let build = Build {
        datatype: 0,
        ..Build::new(Dtype::U8)
    };
    assert_eq!(refused(&build.save(folder.path(), "z.nii")).0, "datatype");
}

#[test]
fn what_is_no_nifti_is_said_so() {
    let folder = tempdir().unwrap();
    assert_eq!(
        refused(&save(folder.path(), "x.nii", &[0x47; 600])).0,
        "sizeof_hdr"
    );
    assert_eq!(
        refused(&save(folder.path(), "x.nii.gz", &gzip(&[0x47; 600]))).0,
        "sizeof_hdr"
    );
    let mut text = Build {
        version: 2,
        ..Build::new(Dtype::U8)
    }
    .bytes();
    text[8] = b'\n';
    let (field, problem) = refused(&save(folder.path(), "x.nii", &text));
    assert!(
        field == "magic" && problem.contains("copied as text"),
        "{problem}"
    );
    let build = Build {
        slope: 1.0,
        inter: f64::NAN,
        ..Build::new(Dtype::U8)
    };
    assert_eq!(refused(&build.save(folder.path(), "x.nii")).0, "scl_inter");
    let build = Build {
        units: 5,
        ..Build::new(Dtype::U8)
    };
    assert_eq!(refused(&build.save(folder.path(), "x.nii")).0, "xyzt_units");
    // A pair's header under a single file's name, a pair without image, a folder, nothing.
    let build = Build {
        pair: true,
        ..Build::new(Dtype::U8)
    };
    assert_eq!(
        refused(&save(folder.path(), "x.nii", &build.header())).0,
        "magic"
    );
    let alone = save(folder.path(), "alone.hdr", &build.header());
    for path in [
        alone,
        folder.path().to_path_buf(),
        folder.path().join("none.nii"),
    ] {
        assert!(
            matches!(read(&path, None), Err(VolumeError::Io { .. })),
            "{path:?}"
        );
    }
}
