use super::build::{Build, gzip, save};
use crate::volume::nifti::{read, read_header};
use crate::volume::{Dtype, GridError, VolumeError};
use std::path::Path;
use tempfile::tempdir;

/// The field a `Format` error names, and its text.
pub(super) fn refused(path: &Path) -> (&'static str, String) {
    match read(path, None).unwrap_err() {
        VolumeError::Format { field, problem, .. } => (field, problem),
        other => panic!("expected a format error, found {other:?}"),
    }
}

pub(super) fn unsupported(path: &Path) -> String {
    match read(path, None).unwrap_err() {
        VolumeError::Unsupported { what, hint, .. } => format!("{what}; {hint}"),
        other => panic!("expected an unsupported file, found {other:?}"),
    }
}

#[test]
fn bitpix_must_fit_datatype() {
    let folder = tempdir().unwrap();
    for bitpix in [0, 8, 32, -16] {
        let build = Build {
            bitpix,
            ..Build::new(Dtype::I16)
        };
        let (field, problem) = refused(&build.save(folder.path(), "b.nii"));
        assert_eq!(field, "bitpix");
        assert!(problem.starts_with(&format!(
            "{bitpix} bits a voxel, but datatype 4 (i16) has 16"
        )));
    }
}

#[test]
fn hostile_dims_are_refused_before_memory_is_asked_for() {
    let folder = tempdir().unwrap();
    let cases: [([i64; 8], &str, &str); 9] = [
        ([0, 2, 3, 4, 1, 1, 1, 1], "dim", "dim[0] is 0"),
        ([8, 2, 3, 4, 1, 1, 1, 1], "dim", "dim[0] is 8"),
        ([-3, 2, 3, 4, 1, 1, 1, 1], "dim", "dim[0] is -3"),
        ([3, 2, 0, 4, 1, 1, 1, 1], "dim", "dim[2] is 0"),
        ([3, -2, 3, 4, 1, 1, 1, 1], "dim", "dim[1] is -2"),
        ([5, 2, 3, 4, 1, -1, 1, 1], "dim", "dim[5] is -1"),
        (
            [3, 1600, 1600, 1600, 1, 1, 1, 1],
            "voxels",
            "the header promises a file of 16384000352 bytes",
        ),
        (
            [7, 32767, 32767, 32767, 32767, 32767, 32767, 32767],
            "dim",
            "more than any file can hold",
        ),
        (
            [3, 1000, 1000, 1000, 1, 1, 1, 1],
            "voxels",
            "a file of 4000000352 bytes, found 448",
        ),
    ];
    for (dim, field, text) in cases {
        let build = Build {
            dim,
            ..Build::new(Dtype::F32)
        };
        let found = refused(&build.save(folder.path(), "d.nii"));
        assert!(
            found.0 == field && found.1.contains(text),
            "{dim:?}: {found:?}"
        );
    }
    let build = Build {
        dim: [3, 32767, 32767, 32767, 1, 1, 1, 1],
        ..Build::new(Dtype::F32)
    };
    let error = read(&build.save(folder.path(), "d.nii"), None).unwrap_err();
    assert!(
        matches!(
            error,
            VolumeError::Grid {
                source: GridError::TooLarge { .. },
                ..
            }
        ),
        "{error:?}"
    );
    // 64-bit dims can overflow with three axes, and exceed memory with one.
    for dim in [
        [3, i64::MAX, 2, 2, 1, 1, 1, 1],
        [3, i64::MAX, 1, 1, 1, 1, 1, 1],
    ] {
        let build = Build {
            version: 2,
            dim,
            ..Build::new(Dtype::F32)
        };
        assert_eq!(refused(&build.save(folder.path(), "d2.nii")).0, "dim");
    }
}

#[test]
fn a_gzip_file_cannot_promise_more_than_deflate_can_hold() {
    let folder = tempdir().unwrap();
    let build = Build {
        dim: [3, 1600, 1600, 1600, 1, 1, 1, 1],
        ..Build::new(Dtype::F32)
    };
    let (field, problem) = refused(&build.save(folder.path(), "d.nii.gz"));
    assert_eq!(field, "dim");
    assert!(problem.contains("bytes of gzip hold"), "{problem}");
    // A bomb: 20 MB of zeros behind a small volume are never stored.
    let build = Build::new(Dtype::U8);
    let path = save(
        folder.path(),
        "bomb.nii.gz",
        &gzip(&[build.bytes(), vec![0; 20_000_000]].concat()),
    );
    assert_eq!(read(&path, None).unwrap().bytes(), 24);
    // Plausible by its length, but not by its content: named with both sizes.
    let build = Build {
        dim: [3, 2, 3, 400, 1, 1, 1, 1],
        ..Build::new(Dtype::U8)
    };
    let (field, problem) = refused(&build.save(folder.path(), "short.nii.gz"));
    assert_eq!(field, "gzip");
    assert!(
        problem.starts_with("cut off: expected 2752 inflated bytes, found 376"),
        "{problem}"
    );
}

#[test]
fn truncation_is_named_with_both_sizes() {
    let folder = tempdir().unwrap();
    let build = Build::new(Dtype::I32);
    let bytes = build.bytes();
    assert_eq!(bytes.len(), 448);
    for length in [352, 353, 447] {
        let path = save(folder.path(), "t.nii", &bytes[..length]);
        let (field, problem) = refused(&path);
        assert_eq!(field, "voxels");
        assert!(
            problem.contains(&format!("448 bytes, found {length};")),
            "{problem}"
        );
        assert!(read_header(&path).is_err());
    }
    for length in [0, 3, 4, 347] {
        let (field, problem) = refused(&save(folder.path(), "t.nii", &bytes[..length]));
        assert_eq!(field, "header");
        assert!(
            problem.contains(&format!("expected 348 bytes, found {length};")),
            "{problem}"
        );
    }
    let long = Build {
        version: 2,
        ..Build::new(Dtype::U8)
    }
    .bytes();
    let (field, problem) = refused(&save(folder.path(), "t.nii", &long[..539]));
    assert!(
        field == "header" && problem.contains("expected 540 bytes, found 539"),
        "{problem}"
    );
    // Every prefix of a gzip file is refused, the one that lacks only the checksum included.
    let zipped = gzip(&bytes);
    for length in 2..zipped.len() {
        let (field, _) = refused(&save(folder.path(), "t.nii.gz", &zipped[..length]));
        assert!(
            ["gzip", "header", "dim"].contains(&field),
            "{length}: {field}"
        );
    }
    let (_, problem) = refused(&save(
        folder.path(),
        "t.nii.gz",
        &zipped[..zipped.len() - 8],
    ));
    assert!(problem.contains("not the checksum"), "{problem}");
}

#[test]
fn damaged_gzip_is_refused() {
    let folder = tempdir().unwrap();
    let zipped = gzip(&Build::new(Dtype::I32).bytes());
    for (at, what) in [(zipped.len() - 6, "checksum"), (zipped.len() - 2, "length")] {
        let mut bytes = zipped.clone();
        bytes[at] ^= 0x40;
        let (field, problem) = refused(&save(folder.path(), "c.nii.gz", &bytes));
        assert!(
            field == "gzip" && problem.starts_with("damaged after 448 of 448"),
            "{what}: {problem}"
        );
    }
    // Checksums of earlier members count as well.
    let bytes = Build::new(Dtype::I32).bytes();
    let mut first = gzip(&bytes[..360]);
    let at = first.len() - 6;
    first[at] ^= 1;
    let (field, _) = refused(&save(
        folder.path(),
        "m.nii.gz",
        &[first, gzip(&bytes[360..])].concat(),
    ));
    assert_eq!(field, "gzip");
}

#[test]
fn flipped_bits_and_random_bytes_never_panic() {
    let folder = tempdir().unwrap();
    let builds = [
        Build::new(Dtype::I16),
        Build {
            version: 2,
            big: true,
            qform_code: 1,
            sform_code: 0,
            ..Build::new(Dtype::F64)
        },
    ];
    for build in builds {
        let bytes = build.bytes();
        let mut read_anyway = 0;
        for at in 0..build.header().len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                read_anyway +=
                    usize::from(read(&save(folder.path(), "r.nii", &bytes), None).is_ok());
            }
        }
        assert!(read_anyway > 0, "most header bytes are comments");
        let zipped = gzip(&bytes);
        for at in 0..zipped.len() {
            let mut bytes = zipped.clone();
            bytes[at] ^= 0x10;
            let _ = read(&save(folder.path(), "r.nii.gz", &bytes), None);
        }
    }
}
