use super::build::Build;
use crate::volume::Dtype;
use crate::volume::nifti::{LabelValues, read_labels};
use tempfile::tempdir;

fn ignoring(values: &[i64]) -> LabelValues {
    LabelValues {
        ignore: values.to_vec(),
        ..LabelValues::default()
    }
}

#[test]
fn voxels_that_nobody_annotated_are_255() {
    let folder = tempdir().unwrap();
    let mut build = Build::new(Dtype::I16);
    build.values[3..7].copy_from_slice(&[-1.0, 255.0, 300.0, 4.0]);
    let path = build.save(folder.path(), "i.nii");
    let error = read_labels(&path, None, &LabelValues::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("y 1, z 0 is -1,") && error.contains("`labels: { ignore: -1 }`"),
        "{error}"
    );
    let error = read_labels(&path, None, &ignoring(&[-1]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is 255,") && error.contains("add 255 to `ignore`"),
        "{error}"
    );
    let map = read_labels(&path, None, &ignoring(&[-1, 255])).unwrap();
    assert_eq!(
        map.as_slice::<u16>().unwrap()[2..8],
        [2, 255, 255, 300, 4, 7]
    );
    let map = read_labels(&path, None, &ignoring(&[-1, 255, 300])).unwrap();
    assert_eq!(
        map.as_slice::<u8>().unwrap()[2..8],
        [2, 255, 255, 255, 4, 7]
    );
    // A map that is u8 already.
    let path = Build::new(Dtype::U8).save(folder.path(), "u.nii");
    let map = read_labels(&path, None, &ignoring(&[7])).unwrap();
    assert_eq!(map.as_slice::<u8>().unwrap()[6..9], [6, 255, 8]);
}

#[test]
fn a_map_turns_stored_values_into_classes_once() {
    let folder = tempdir().unwrap();
    let mapped = |map: &[(i64, i64)], ignore: &[i64]| LabelValues {
        map: map.iter().copied().collect(),
        ignore: ignore.to_vec(),
    };
    let mut build = Build::new(Dtype::I32);
    build.values[..8].copy_from_slice(&[0.0, 205.0, 420.0, -1.0, 2.0, 3.0, 90210.0, 205.0]);
    let path = build.save(folder.path(), "f.nii");
    let read = |values: &LabelValues| read_labels(&path, None, values);
    // The map comes first: 2 and 3 change places, and what becomes 7 is ignored.
    let values = mapped(
        &[(205, 1), (420, 7), (-1, 0), (2, 3), (3, 2), (90210, 4)],
        &[7],
    );
    // Values 8 and up of the phantom file stay as they are.
    let classes = read(&values).unwrap();
    assert_eq!(
        classes.as_slice::<u8>().unwrap()[..8],
        [0, 1, 255, 0, 3, 2, 4, 1]
    );
    assert_eq!(classes.as_slice::<u8>().unwrap()[8..10], [8, 9]);
    let error = read(&mapped(&[(-1, 0)], &[])).unwrap_err().to_string();
    assert!(
        error.contains("is 90210,") && error.contains("`labels: { map: { 90210: CLASS } }`"),
        "{error}"
    );
    let error = read(&mapped(&[(90210, 4)], &[])).unwrap_err().to_string();
    assert!(
        error.contains("is -1,") && error.contains("`labels: { map: { -1: CLASS } }`"),
        "{error}"
    );
    // A file of bytes with a slope: the map names values, not what is stored.
    let mut halves = Build {
        slope: 0.5,
        ..Build::new(Dtype::U8)
    };
    halves.values.fill(4.0);
    halves.values[1] = 6.0;
    let path = halves.save(folder.path(), "h.nii");
    let classes = read_labels(&path, None, &mapped(&[(3, 300)], &[])).unwrap();
    assert_eq!(classes.as_slice::<u16>().unwrap()[..3], [2, 300, 2]);
    // 255 is a mark as soon as a value is mapped to it.
    let mut bytes = Build::new(Dtype::U8);
    bytes.values[0] = 255.0;
    let path = bytes.save(folder.path(), "b.nii");
    let classes = read_labels(&path, None, &mapped(&[(1, 2), (2, 2), (255, 0)], &[])).unwrap();
    assert_eq!(classes.as_slice::<u8>().unwrap()[..3], [0, 2, 2]);
    let error = read_labels(&path, None, &mapped(&[(1, 255)], &[])).unwrap_err();
    assert!(error.to_string().contains("is 255,"), "{error}");
}

#[test]
fn a_value_that_another_is_turned_into_is_refused_unless_the_map_names_it() {
    let folder = tempdir().unwrap();
    let mapped = |map: &[(i64, i64)], ignore: &[i64]| LabelValues {
        map: map.iter().copied().collect(),
        ignore: ignore.to_vec(),
    };
    // Bytes and integers take two ways through the reader.
    for dtype in [Dtype::U8, Dtype::I32] {
        let mut build = Build::new(dtype);
        build.values.fill(0.0);
        build.values[..5].copy_from_slice(&[0.0, 1.0, 3.0, 2.0, 3.0]);
        let path = build.save(folder.path(), "g.nii");
        let read = |map: &[(i64, i64)], ignore: &[i64]| {
            let map = read_labels(&path, None, &mapped(map, ignore))?;
            Ok::<_, crate::volume::VolumeError>(map.as_slice::<u8>().unwrap()[..5].to_vec())
        };
        let error = read(&[(3, 2)], &[]).unwrap_err().to_string();
        for part in [
            "x 1, y 1, z 0 is 2, which `source.labels.map` does not name, but it turns 3 into 2",
            "write `2: 2` into the map to join them on purpose, or `2: CLASS`",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(read(&[(3, 2), (2, 2)], &[]).unwrap(), [0, 1, 2, 2, 2]);
        assert_eq!(read(&[(3, 2), (2, 3)], &[]).unwrap(), [0, 1, 2, 3, 2]);
        // Background takes what is turned into it, and an ignored value is no class.
        assert_eq!(read(&[(3, 0)], &[]).unwrap(), [0, 1, 0, 2, 0]);
        assert_eq!(read(&[(3, 2)], &[2]).unwrap(), [0, 1, 255, 255, 255]);
    }
}

#[test]
fn a_digest_changes_with_the_map_and_stays_without_one() {
    let digest = |values: &LabelValues| {
        let mut hasher = blake3::Hasher::new();
        values.update_digest(&mut hasher);
        hasher.finalize()
    };
    let mut ignored = blake3::Hasher::new();
    ignored.update(&(-1i64).to_le_bytes());
    assert_eq!(
        digest(&LabelValues::default()),
        blake3::Hasher::new().finalize()
    );
    assert_eq!(digest(&ignoring(&[-1])), ignored.finalize());
    let mapped = |from, to| LabelValues {
        map: [(from, to)].into(),
        ignore: vec![-1],
    };
    let digests = [
        digest(&ignoring(&[-1])),
        digest(&mapped(205, 1)),
        digest(&mapped(205, 2)),
        digest(&mapped(1, 205)),
    ];
    for (i, one) in digests.iter().enumerate() {
        assert!(digests[..i].iter().all(|other| other != one));
    }
}
