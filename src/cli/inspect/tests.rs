use super::*;
use crate::volume::Grid;

#[test]
fn a_file_is_described_and_a_missing_one_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    let grid = Grid::with_spacing([10, 10, 1], [1.0, 1.5, 2.0]).unwrap();
    let mut values: Vec<f32> = (0..100).map(|i| i as f32).collect();
    values[50] = f32::NAN;
    nifti::write(&path, &Volume::from_vec(values, grid).unwrap(), None).unwrap();
    let mut out = Vec::new();
    let failed = inspect(&[folder.path().join("none.nii"), path], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(failed, 1);
    for part in [
        "error       ",
        "opening failed: No such file",
        "NIfTI-1, single file, gzip, little endian",
        "10 x 10 x 1 (x, y, z)",
        "f32, 0.0 MB",
        "1 x 1.5 x 2 mm",
        "orientation RAS",
        "sform 2 (aligned), qform 2 (aligned); the affine is the sform",
        "0 to 99, mean 49.4949",
        "1 of 100 voxels",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn codes_are_shown_with_their_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let grid = Grid::with_spacing([2, 2, 2], [1.0; 3]).unwrap();
    nifti::write(&path, &Volume::from_vec(vec![0u8; 8], grid).unwrap(), None).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // `intent_code`, `intent_name` and `sform_code`.
    bytes[68..70].copy_from_slice(&1002i16.to_ne_bytes());
    bytes[328..334].copy_from_slice(b"organs");
    bytes[254..256].copy_from_slice(&4i16.to_ne_bytes());
    std::fs::write(&path, bytes).unwrap();
    let mut out = Vec::new();
    inspect(&[path], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("1002 (Label), `organs`"), "{text}");
    assert!(text.contains("sform 4 (MNI 152), qform 2"), "{text}");
}

#[test]
fn the_histogram_shows_both_hills() {
    let mut values = vec![0f32; 900];
    values.extend([10.0; 100]);
    assert_eq!(
        bars(&values, 0.0, 10.0),
        format!("█{}▃", " ".repeat(BINS - 2))
    );
    assert_eq!(histogram(&[7.0; 5], 7.0), "every voxel is 7");
    // One lesion voxel in a thousand lies outside the percentiles, but is shown.
    let mut values = vec![0f32; 1000];
    values[3] = 2.0;
    assert!(histogram(&values, 0.0).starts_with("min 0 |█"));
}

#[test]
fn values_beyond_f32_are_finite() {
    let grid = Grid::with_spacing([4, 1, 1], [1.0; 3]).unwrap();
    let volume = Volume::from_vec(vec![1e300, 2e300, 3e300, f64::NAN], grid).unwrap();
    let lines = valued(&volume);
    assert_eq!(lines[0].1, "1.00000e300 to 3.00000e300, mean 2.00000e300");
    assert_eq!(lines[1].1, "1 of 4 voxels");
    assert_eq!(lines[2].1, "no value fits 32-bit floats");
}

#[test]
fn numbers_are_short() {
    assert_eq!(number(0.70312), "0.70312");
    assert_eq!(number(-1024.0), "-1024");
    assert_eq!(number(123456.7), "123457");
    assert_eq!(number(1e12), "1.00000e12");
    assert_eq!(number(2.5e-9), "2.50000e-9");
}
