//! An object of a store is read as the file is: the same volumes, the same complaints.

use super::build::{Build, gzip};
use crate::store;
use crate::volume::nifti::{
    LabelValues, fetch_bytes, prefetch_headers, read, read_header, read_labels,
};
use crate::volume::{Dtype, VolumeError};
use object_store::memory::InMemory;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file in a temporary folder and an object of the same name, with the same bytes.
fn both(folder: &Path, name: &str, bytes: &[u8]) -> [PathBuf; 2] {
    let paths = [
        folder.join(name),
        PathBuf::from(format!("memory://nifti/{name}")),
    ];
    for path in &paths {
        store::write(path, bytes).unwrap();
    }
    paths
}

/// What an outcome says, without the place of the file and of its voxels in memory.
fn said<T: std::fmt::Debug>(outcome: &Result<T, VolumeError>, path: &Path) -> String {
    let text = format!("{outcome:?}").replace(&path.display().to_string(), "FILE");
    let pointers = regex::Regex::new("ptr: 0x[0-9a-f]+").unwrap();
    pointers.replace_all(&text, "ptr").into_owned()
}

#[test]
fn objects_are_read_as_files_are() {
    store::register("memory://nifti", Arc::new(InMemory::new())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bytes = Build::new(Dtype::F32).bytes();
    let zipped = gzip(&bytes);
    let halves = [gzip(&bytes[..370]), gzip(&bytes[370..])].concat();
    let mut wrong_sum = zipped.clone();
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    let mut flipped = zipped.clone();
    flipped[zipped.len() / 2] ^= 0x55;
    let four = Build {
        dim: [4, 2, 3, 4, 3, 1, 1, 1],
        values: (0..72).map(f64::from).collect(),
        ..Build::new(Dtype::I16)
    };
    let big = Build {
        big: true,
        ..Build::new(Dtype::I16)
    };
    for (name, bytes) in [
        ("plain.nii", bytes.clone()),
        ("zipped.nii.gz", zipped.clone()),
        ("members.nii.gz", halves.clone()),
        ("rubbish.nii.gz", [&halves[..], b"rubbish"].concat()),
        ("four.nii", four.bytes()),
        ("four.nii.gz", gzip(&four.bytes())),
        ("big.nii", big.bytes()),
        ("cut.nii", bytes[..400].to_vec()),
        ("cut.nii.gz", zipped[..zipped.len() - 3].to_vec()),
        ("cut-member.nii.gz", gzip(&bytes[..370])),
        ("sum.nii.gz", wrong_sum),
        ("flipped.nii.gz", flipped),
        ("empty.nii", Vec::new()),
        ("short.nii", bytes[..100].to_vec()),
    ] {
        let [local, object] = both(folder.path(), name, &bytes);
        prefetch_headers(&[&local, &object]);
        let header = |path: &Path| said(&read_header(path), path);
        assert_eq!(header(&local), header(&object), "{name}");
        for index in [None, Some(1)] {
            let volume = |path: &Path| said(&read(path, index), path);
            assert_eq!(volume(&local), volume(&object), "{name} {index:?}");
        }
        let labels = |path: &Path| said(&read_labels(path, None, &LabelValues::default()), path);
        assert_eq!(labels(&local), labels(&object), "{name}");
        assert_eq!(fetch_bytes(&local), 0);
    }
    let object = Path::new("memory://nifti/plain.nii");
    assert_eq!(fetch_bytes(object), bytes.len() as u64);
    let absent = read_header(Path::new("memory://nifti/absent.nii")).unwrap_err();
    let text = crate::sink::causes(&absent);
    assert_eq!(
        text,
        "memory://nifti/absent.nii: reading the header failed: there is no such object"
    );
}

#[test]
fn a_pair_in_a_store_is_found_by_either_half() {
    store::register("memory://pair", Arc::new(InMemory::new())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pair = Build {
        pair: true,
        ..Build::new(Dtype::I16)
    };
    let local = folder.path().join("a.hdr");
    for (half, bytes) in [("a.hdr", pair.header()), ("a.img", pair.voxels())] {
        store::write(&folder.path().join(half), &bytes).unwrap();
        store::write(&PathBuf::from(format!("memory://pair/{half}")), &bytes).unwrap();
    }
    let volume = |path: &Path| said(&read(path, None), Path::new("a.img"));
    let expected = volume(&local);
    assert!(expected.starts_with("Ok"), "{expected}");
    for half in ["a.hdr", "a.img"] {
        let object = PathBuf::from(format!("memory://pair/{half}"));
        assert_eq!(volume(&object), expected);
    }
}

#[test]
fn an_object_that_changes_behind_its_header_fails_by_name() {
    store::register("memory://changed", Arc::new(InMemory::new())).unwrap();
    let path = Path::new("memory://changed/a.nii.gz");
    store::write(path, &gzip(&Build::new(Dtype::I16).bytes())).unwrap();
    read_header(path).unwrap();
    store::write(path, &gzip(&Build::new(Dtype::I16).bytes())).unwrap();
    let error = read(path, None).unwrap_err();
    let text = crate::sink::causes(&error);
    assert!(matches!(error, VolumeError::Io { .. }), "{error:?}");
    assert!(
        text.contains("a.nii.gz") && text.contains("has changed"),
        "{text}"
    );
}
