use super::*;
use crate::volume::WarningKind;

#[test]
fn a_row_survives_arrow_without_a_copy() {
    let grid = Grid::with_spacing([3, 2, 1], [0.5, 1.0, 2.0]).unwrap();
    let volume = Volume::from_vec(vec![1i16, 2, 3, 4, 5, 6], grid).unwrap();
    let row = Row {
        subject: "s1".into(),
        cohort: "demo".into(),
        split: Split::Validation,
        epoch: 3,
        sample: 2,
        view: "weak".into(),
        images: vec![
            Channel {
                name: "ct".into(),
                volume: Some(volume.clone()),
            },
            Channel {
                name: "mr".into(),
                volume: None,
            },
        ],
        labels: vec![Channel {
            name: String::new(),
            volume: None,
        }],
        draws: vec![DrawRecord {
            stage: "stages[0].flip".into(),
            draw: serde_json::json!({"x": true}),
        }],
        history: vec!["stages[0].flip".into()],
        quality: vec![Measure {
            step: 1,
            modality: "ct".into(),
            name: "snr".into(),
            value: 0.1 + 0.2,
        }],
        warnings: vec![Warning {
            stage: "stages[0].zscore".into(),
            modality: Some("ct".into()),
            kind: WarningKind::NoForeground,
            message: "no voxel is above 0".into(),
        }],
        ..Row::default()
    };
    let batch = row.to_batch();
    let back = Row::from_batch(&batch, 0).unwrap();
    assert_eq!(
        (back.subject.as_str(), back.split, back.epoch, back.sample),
        ("s1", Split::Validation, 3, 2)
    );
    assert_eq!(back.draws, row.draws);
    assert_eq!(back.quality, row.quality);
    assert_eq!(back.warnings, row.warnings);
    let image = back.images[0].volume.as_ref().unwrap();
    assert_eq!(image.buffer().as_ptr(), volume.buffer().as_ptr());
    assert_eq!(image.grid(), volume.grid());
    assert!(back.images[1].volume.is_none() && back.labels[0].volume.is_none());
    assert_eq!(back.to_batch(), batch);
}
