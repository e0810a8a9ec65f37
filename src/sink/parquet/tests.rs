use super::*;
use crate::sink::rows::{FailureRow, PseudoLabelRow};
use crate::sink::stored_volume_array;
use crate::volume::{Dtype, Grid, Scaling, Volume};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use std::fs::{self, File};
use std::sync::Arc;

fn failure(subject: &str) -> FailureRow {
    FailureRow {
        subject_id: subject.into(),
        stage: "source".into(),
        cause: "qform_code is 0".into(),
        file: None,
    }
}

fn label(value: u8) -> Volume {
    let grid = Grid::with_spacing([5, 4, 3], [1.0, 2.0, 3.0]).unwrap();
    let voxels = (0..60).map(|i| (i % 7) as u8 * value).collect();
    Volume::from_vec::<u8>(voxels, grid).unwrap()
}

fn pseudo_label(i: u8) -> PseudoLabelRow {
    let confidence = Volume::try_new(
        label(5).buffer().clone(),
        Dtype::U8,
        Scaling {
            slope: 1.0 / 255.0,
            intercept: 0.0,
        },
        *label(5).grid(),
    );
    PseudoLabelRow {
        subject_id: format!("s{i}"),
        epoch: 2,
        modality: "ct".into(),
        teacher_step: 400,
        label: label(i),
        confidence: (i.is_multiple_of(2)).then(|| confidence.unwrap()),
        thresholds: vec![0.9, 0.5],
        kept_fraction: vec![],
    }
}

#[test]
fn tables_are_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/failures.parquet");
    write_table(&path, &[failure("a")]).unwrap();
    let receipt = write_table(&path, &[failure("a"), failure("b")]).unwrap();
    assert_eq!(receipt.rows, 2);
    assert_eq!(receipt.bytes, path.metadata().unwrap().len());
    let rows: Vec<FailureRow> = read_table(&path).unwrap();
    assert_eq!(rows, [failure("a"), failure("b")]);
    write_table::<FailureRow>(&path, &[]).unwrap();
    assert!(read_table::<FailureRow>(&path).unwrap().is_empty());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn an_interrupted_writer_leaves_nothing_and_keeps_the_older_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failures.parquet");
    let batch = FailureRow::batch(&[failure("a")]).unwrap();
    let interrupted = || {
        let mut writer = TableWriter::create(&path, FailureRow::TABLE.arrow_schema()).unwrap();
        writer.write(&batch).unwrap();
    };
    interrupted();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    write_table(&path, &[failure("old")]).unwrap();
    interrupted();
    assert_eq!(read_table::<FailureRow>(&path).unwrap(), [failure("old")]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_failed_write_publishes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failures.parquet");
    let mut writer = TableWriter::create(&path, FailureRow::TABLE.arrow_schema()).unwrap();
    let other = PseudoLabelRow::batch(&[pseudo_label(1)]).unwrap();
    assert!(matches!(
        writer.write(&other),
        Err(SinkError::Schema { .. })
    ));
    let good = FailureRow::batch(&[failure("a")]).unwrap();
    assert!(matches!(writer.write(&good), Err(SinkError::Broken { .. })));
    assert!(matches!(writer.close(), Err(SinkError::Broken { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn volumes_survive_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pseudo_labels.parquet");
    let rows: Vec<PseudoLabelRow> = (0..19).map(pseudo_label).collect();
    write_table(&path, &rows).unwrap();
    let back: Vec<PseudoLabelRow> = read_table(&path).unwrap();
    assert_eq!(back.len(), rows.len());
    for (a, b) in back.iter().zip(&rows) {
        assert_eq!(a.label.buffer(), b.label.buffer());
        assert_eq!(a.label.grid(), b.label.grid());
        assert_eq!(a.confidence.is_some(), b.confidence.is_some());
        assert_eq!(
            a.confidence.as_ref().map(Volume::scaling),
            b.confidence.as_ref().map(Volume::scaling)
        );
        assert_eq!(
            (&a.thresholds, &a.kept_fraction),
            (&b.thresholds, &b.kept_fraction)
        );
    }
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let groups = reader.metadata().row_groups();
    assert_eq!(groups.len(), 1, "tiny rows share a group");
    let voxels = groups[0]
        .columns()
        .iter()
        .find(|c| c.column_path().string() == "label.voxels")
        .unwrap();
    assert_eq!(voxels.compression(), Compression::UNCOMPRESSED);
    assert!(voxels.statistics().is_none());
    assert!(voxels.dictionary_page_offset().is_none());
}

#[test]
fn a_large_volume_has_a_row_group_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pseudo_labels.parquet");
    let grid = Grid::with_spacing([128; 3], [1.0; 3]).unwrap();
    // What no codec makes smaller.
    let mut noise = vec![0u8; 128 * 128 * 128];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let row = PseudoLabelRow {
        label: Volume::from_vec(noise, grid).unwrap(),
        ..pseudo_label(1)
    };
    let batch = PseudoLabelRow::batch(std::slice::from_ref(&row)).unwrap();
    let mut writer = TableWriter::create(&path, batch.schema()).unwrap();
    (0..3).for_each(|_| writer.write(&batch).unwrap());
    writer.close().unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    assert_eq!(reader.metadata().row_groups().len(), 3);
    assert_eq!(read_table::<PseudoLabelRow>(&path).unwrap().len(), 3);
}

#[test]
fn another_table_or_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failures.parquet");
    write_table(&path, &[failure("a")]).unwrap();
    let error = read_table::<crate::sink::EdgeRow>(&path).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("found table `failures` version 1, expected `edges` version 1"),
        "{text}"
    );

    let batch = FailureRow::batch(&[failure("a")]).unwrap();
    let mut metadata = batch.schema().metadata().clone();
    metadata.insert(VERSION_KEY.into(), "2".into());
    let newer = Schema::clone(&batch.schema()).with_metadata(metadata);
    let mut writer = TableWriter::create(&path, Arc::new(newer)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(read_table::<FailureRow>(&path).is_err());
}

#[test]
fn units_and_meaning_stand_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volumes.parquet");
    write_table(&path, &[pseudo_label(2)]).unwrap();
    let schema = read_batches(&path).unwrap()[0].schema();
    assert_eq!(*schema, *PseudoLabelRow::TABLE.arrow_schema());
    let array = stored_volume_array(&[None]).unwrap();
    assert_eq!(arrow::array::Array::null_count(&array), 1);
}
