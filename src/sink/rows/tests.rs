use super::*;

#[test]
fn nulls_lists_and_nan_survive() {
    let row = SubjectRow {
        subject_id: "s1".into(),
        patient: "p1".into(),
        entities: [
            ("session".into(), "02".into()),
            ("acq".into(), "tse".into()),
        ]
        .into(),
        cohort: "demo".into(),
        split: "train".into(),
        labelled: true,
        modalities: vec!["ct".into(), "mr".into()],
        shape_x: 4,
        shape_y: 5,
        shape_z: 6,
        spacing_x_mm: 0.5,
        spacing_y_mm: 0.5,
        spacing_z_mm: 2.0,
        orientation: "RAS".into(),
        digest: "ab".into(),
        prepared_shape_x: None,
        prepared_shape_y: Some(3),
        prepared_shape_z: None,
        seconds: None,
        bytes: 240,
        status: "failed".into(),
    };
    let other = SubjectRow {
        modalities: vec![],
        entities: BTreeMap::new(),
        labelled: false,
        seconds: Some(1.5),
        ..row.clone()
    };
    let rows = [row, other];
    let batch = SubjectRow::batch(&rows).unwrap();
    assert_eq!(batch.schema(), SUBJECTS.arrow_schema());
    assert_eq!(SubjectRow::read(&batch).unwrap(), rows);
    let text = serde_json::to_string(&rows).unwrap();
    let back: Vec<SubjectRow> = serde_json::from_str(&text).unwrap();
    assert_eq!(back, rows);

    let diverged = MetricRow {
        step: 3,
        epoch: 0,
        split: "train".into(),
        subject_id: None,
        modality: None,
        class: None,
        name: "loss".into(),
        value: f64::NAN,
        unit: "1".into(),
    };
    let back = MetricRow::read(&MetricRow::batch(&[diverged]).unwrap()).unwrap();
    assert!(back[0].value.is_nan());
    assert_eq!(EdgeRow::batch(&[]).unwrap().num_rows(), 0);
}

#[test]
fn an_absent_column_is_named() {
    let batch = FailureRow::batch(&[]).unwrap();
    let error = EdgeRow::read(&batch).unwrap_err().to_string();
    assert!(error.contains("column `node`"), "{error}");
}
