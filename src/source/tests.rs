use super::*;
use crate::spec::node::Document;
use crate::volume::Dtype;
use std::collections::BTreeSet;
use std::path::Path;

/// An uncompressed NIfTI-1 file of u8 voxels with a diagonal sform.
pub(super) fn write_nifti(path: &Path, shape: [usize; 3], frames: usize, spacing: f32, fill: u8) {
    let mut bytes = vec![0u8; 352];
    bytes[..4].copy_from_slice(&348i32.to_le_bytes());
    let rank = if frames > 1 { 4 } else { 3 };
    let dim = [rank, shape[0], shape[1], shape[2], frames, 1, 1, 1];
    for (i, n) in dim.iter().enumerate() {
        bytes[40 + 2 * i..42 + 2 * i].copy_from_slice(&(*n as i16).to_le_bytes());
    }
    bytes[70..72].copy_from_slice(&2i16.to_le_bytes());
    bytes[72..74].copy_from_slice(&8i16.to_le_bytes());
    for i in 0..4 {
        let pixdim = if i == 0 { 1.0 } else { spacing };
        bytes[76 + 4 * i..80 + 4 * i].copy_from_slice(&pixdim.to_le_bytes());
    }
    bytes[108..112].copy_from_slice(&352f32.to_le_bytes());
    bytes[254..256].copy_from_slice(&1i16.to_le_bytes());
    for i in 0..3 {
        let at = 280 + 16 * i + 4 * i;
        bytes[at..at + 4].copy_from_slice(&spacing.to_le_bytes());
    }
    bytes[344..348].copy_from_slice(b"n+1\0");
    for frame in 0..frames {
        bytes.extend(vec![fill + frame as u8; shape.iter().product()]);
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

pub(super) fn spec(yaml: &str) -> SourceSpec {
    Document::parse(yaml)
        .unwrap()
        .root()
        .read::<SourceSpec>()
        .unwrap()
}

pub(super) fn open(yaml: &str) -> Result<Box<dyn Cohort>, SourceError> {
    spec(yaml).open(Path::new("/nowhere"), 7)
}

pub(super) fn refusal(yaml: &str) -> String {
    match open(yaml) {
        Ok(_) => panic!("opened: {yaml}"),
        Err(error) => error.to_string(),
    }
}

pub(super) fn ids(cohort: &dyn Cohort) -> Vec<&str> {
    cohort.subjects().iter().map(|s| s.id.as_str()).collect()
}

#[test]
fn every_option_is_documented_in_the_schema() {
    let schema = schemars::schema_for!(SourceSpec).to_value();
    let mut undocumented = BTreeSet::new();
    fn walk(value: &serde_json::Value, undocumented: &mut BTreeSet<String>) {
        if let Some(properties) = value.get("properties").and_then(|p| p.as_object()) {
            for (name, property) in properties {
                let sources = ["manifest", "folders", "phantom"];
                if property.get("description").is_none() && !sources.contains(&name.as_str()) {
                    undocumented.insert(name.clone());
                }
            }
        }
        match value {
            serde_json::Value::Object(map) => map.values().for_each(|v| walk(v, undocumented)),
            serde_json::Value::Array(items) => items.iter().for_each(|v| walk(v, undocumented)),
            _ => {}
        }
    }
    walk(&schema, &mut undocumented);
    assert!(undocumented.is_empty(), "{undocumented:?}");
    let text = schema.to_string();
    for option in ["misalign_mm", "where", "labelled", "modalities", "images"] {
        assert!(text.contains(&format!("\"{option}\"")), "{option}");
    }
}

#[test]
fn contradicting_options_are_told_together_before_a_file_is_touched() {
    let problems = spec("folders: { path: /absent, images: '{modality}.nii', labels: 'l/{name}.nii', modalities: [a, a, 'b c'] }")
        .check()
        .unwrap_err();
    for part in [
        "`b c` cannot name a modality",
        "modality `a` is named twice",
        "`images: {modality}.nii` has no {subject}",
        "`labels: l/{name}.nii` has no {subject}",
    ] {
        assert!(
            problems.iter().any(|p| p.contains(part)),
            "{part}: {problems:?}"
        );
    }
    let phantom = spec(
        "phantom: { subjects: 4, validation: 2, test: 1, labelled: 2, size: [8, 8, 8], missing: 2 }",
    );
    let problems = phantom.check().unwrap_err().join("\n");
    for part in [
        "1 subject is left for training",
        "16 to 1024",
        "`missing` is a probability",
    ] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    assert!(
        refusal("manifest: { path: subjects.csv }").contains("`columns` is missing"),
        "csv needs columns"
    );
}

/// The shape that a cohort of two promises whose second subject has this spacing in mm.
fn shape_of_two(second_mm: f32) -> Option<[usize; 3]> {
    let folder = tempfile::tempdir().unwrap();
    for (id, mm) in [("a", 1.0), ("b", second_mm)] {
        let path = folder.path().join(id).join("t1.nii");
        write_nifti(&path, [4, 5, 6], 1, mm, 0);
    }
    let yaml = format!(
        "folders: {{ path: '{}', images: '{{subject}}/{{modality}}.nii', modalities: [t1] }}",
        folder.path().display()
    );
    open(&yaml).unwrap().schema().unwrap().channels[0].shape_xyz
}

#[test]
fn the_schema_knows_what_subjects_agree_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap().to_owned();
    write_nifti(&folder.path().join("a/t1.nii"), [4, 5, 6], 1, 1.0, 0);
    write_nifti(&folder.path().join("b/t1.nii"), [4, 5, 7], 1, 1.00001, 0);
    std::fs::create_dir(folder.path().join("c")).unwrap();
    std::fs::write(folder.path().join("c/t1.nii"), b"broken").unwrap();
    let yaml = format!(
        "folders: {{ path: '{root}', images: '{{subject}}/{{modality}}.nii', labels: '{{subject}}/seg.nii', modalities: [t1, t2] }}"
    );
    let cohort = open(&yaml).unwrap();
    let schema = cohort.schema().unwrap();
    let columns: Vec<String> = schema
        .channels
        .iter()
        .map(crate::stage::ChannelSchema::column)
        .collect();
    assert_eq!(columns, ["image.t1", "image.t2", "label"]);
    let t1 = &schema.channels[0];
    assert_eq!((t1.dtype, t1.shape_xyz), (Some(Dtype::U8), None));
    assert_eq!(t1.orientation.as_deref(), Some("RAS"));
    assert!(t1.spacing_mm.is_some_and(|s| (s[0] - 1.0).abs() < 1e-6));
    assert_eq!(schema.channels[1].dtype, None);
    assert_eq!(shape_of_two(1.0), Some([4, 5, 6]));
    // Four voxels of 1 mm are two of 2 mm, four of 1.00001 mm are three.
    assert_eq!(shape_of_two(1.00001), None);
    let broken = &cohort.subjects()[2];
    assert!(cohort.load(broken).is_err() && cohort.headers(broken).is_err());
    for good in ["a", "b"] {
        std::fs::remove_file(folder.path().join(good).join("t1.nii")).unwrap();
    }
    assert!(cohort.schema().is_err());
}
