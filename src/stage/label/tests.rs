//! What the label steps promise, on maps small enough to read.

use super::keep_largest::KeepLargest;
use super::merge::{Group, Merge};
use super::remap::{Others, Remap};
use super::*;
use crate::spec::node::Document;
use crate::stage::intensity::tests::row_of;
use crate::stage::{ChannelSchema, Stage};
use crate::volume::{Channel, Grid};

/// A row with one label map on a grid of `[x, y, 1]` voxels.
fn labelled(labels: Volume) -> Row {
    let mut row = row_of(&[0.0; 4]);
    row.labels = vec![Channel {
        name: String::new(),
        volume: Some(labels),
    }];
    row
}

fn narrow(values: &[u8]) -> Volume {
    let grid = Grid::with_spacing([4, values.len() / 4, 1], [1.0; 3]).unwrap();
    Volume::from_vec(values.to_vec(), grid).unwrap()
}

fn wide(values: &[u16]) -> Volume {
    let grid = Grid::with_spacing([values.len(), 1, 1], [1.0; 3]).unwrap();
    Volume::from_vec(values.to_vec(), grid).unwrap()
}

fn out(stage: &impl Stage, labels: Volume) -> Result<Volume, StageError> {
    let rows = stage.map(labelled(labels))?;
    Ok(rows[0].labels[0].volume.clone().unwrap())
}

fn edge(dtype: Option<Dtype>) -> EdgeSchema {
    let label = ChannelSchema {
        name: String::new(),
        role: Role::Label,
        dtype,
        shape_xyz: None,
        spacing_mm: None,
        orientation: None,
    };
    EdgeSchema {
        channels: vec![label],
        rows_per_subject: Some(1),
    }
}

fn planned(stage: &impl Stage, dtype: Dtype) -> Option<Dtype> {
    stage.check(&edge(Some(dtype))).unwrap().channels[0].dtype
}

#[test]
fn remap_changes_all_numbers_at_once() {
    let map = [(1, 2), (2, 1), (7, 0)].into();
    let keep = Remap::new(map, Others::Keep);
    let found = out(&keep, narrow(&[0, 1, 2, 7, 9, 255, 1, 0])).unwrap();
    assert_eq!(found.as_slice::<u8>().unwrap(), [0, 2, 1, 0, 9, 255, 2, 0]);
    let zero = Remap::new(keep.map.clone(), Others::Zero);
    let found = out(&zero, narrow(&[0, 1, 2, 7, 9, 255, 1, 0])).unwrap();
    assert_eq!(found.as_slice::<u8>().unwrap(), [0, 2, 1, 0, 0, 255, 2, 0]);
    let fail = Remap::new(keep.map.clone(), Others::Fail);
    assert!(out(&fail, narrow(&[0, 1, 2, 255])).is_ok());
    let error = out(&fail, narrow(&[0, 1, 9, 7])).unwrap_err().to_string();
    assert!(
        error.contains("`label`: class 9 is not in `map`"),
        "{error}"
    );
    let error = out(&fail, wide(&[300, 1])).unwrap_err().to_string();
    assert!(error.contains("class 300"), "{error}");
}

#[test]
fn maps_widen_only_where_a_number_needs_it() {
    let high = Remap::new([(1, 300)].into(), Others::Keep);
    assert_eq!(planned(&high, Dtype::U8), Some(Dtype::U16));
    let found = out(&high, narrow(&[0, 1, 2, 255])).unwrap();
    assert_eq!(found.as_slice::<u16>().unwrap(), [0, 300, 2, 255]);
    let low = Remap::new([(300, 1)].into(), Others::Keep);
    assert_eq!(planned(&low, Dtype::U8), Some(Dtype::U8));
    assert_eq!(planned(&low, Dtype::U16), Some(Dtype::U16));
    let found = out(&low, wide(&[300, 2, 0])).unwrap();
    assert_eq!(found.as_slice::<u16>().unwrap(), [1, 2, 0]);
    // Numbers above 255 cannot arrive in a u8 map, whatever becomes of them.
    let never = Remap::new([(300, 400)].into(), Others::Keep);
    assert_eq!(planned(&never, Dtype::U8), Some(Dtype::U8));
}

#[test]
fn keys_are_numbers_in_yaml_and_text_in_json() {
    for text in ["{ map: { 14: 0, 3: 1 } }", r#"{"map":{"14":0,"3":1}}"#] {
        let document = Document::parse(text).unwrap();
        let remap: Remap = document.root().read().unwrap();
        assert_eq!(remap.map, [(14, 0), (3, 1)].into());
    }
    let document = Document::parse("{ map: { liver: 0 } }").unwrap();
    let errors = document.root().read::<Remap>().unwrap_err();
    assert!(errors[0].message.contains("class number"), "{errors:?}");
}

#[test]
fn merge_forms_groups_of_what_arrives() {
    let group = |classes: &[u16], into| Group {
        classes: classes.to_vec(),
        into,
    };
    let merge = Merge {
        groups: vec![group(&[1, 2], 2), group(&[3, 0], 1)],
    };
    let found = out(&merge, narrow(&[0, 1, 2, 3])).unwrap();
    assert_eq!(found.as_slice::<u8>().unwrap(), [1, 2, 2, 1]);
    assert_eq!(planned(&merge, Dtype::U8), Some(Dtype::U8));
    let twice = Merge {
        groups: vec![group(&[1, 2], 2), group(&[2], 1)],
    };
    let error = twice.check(&edge(None)).unwrap_err();
    assert!(error.contains("class 2") && error.contains("twice"));
    let none = Merge {
        groups: vec![group(&[], 1)],
    };
    assert!(none.check(&edge(None)).is_err());
}

#[test]
fn keep_largest_keeps_one_piece_of_each_class() {
    #[rustfmt::skip]
    let values = [
        1, 1, 0, 2,
        0, 0, 1, 0,
        2, 0, 0, 1,
        2, 0, 255, 0,
    ];
    let faces = KeepLargest {
        connectivity: 6,
        ..KeepLargest::default()
    };
    #[rustfmt::skip]
    let largest = [
        1, 1, 0, 0,
        0, 0, 0, 0,
        2, 0, 0, 0,
        2, 0, 255, 0,
    ];
    let found = out(&faces, narrow(&values)).unwrap();
    assert_eq!(found.as_slice::<u8>().unwrap(), largest);
    // Over edges and corners class 1 hangs together.
    let found = out(&KeepLargest::default(), narrow(&values)).unwrap();
    let mut expected = values;
    expected[3] = 0;
    assert_eq!(found.as_slice::<u8>().unwrap(), expected);
    // Half of the largest is enough for the others; a class that is not named is left alone.
    let half = KeepLargest {
        connectivity: 6,
        min_share: Some(0.5),
        classes: Some(vec![1]),
    };
    let found = out(&half, narrow(&values)).unwrap();
    assert_eq!(found.as_slice::<u8>().unwrap(), values);
    let found = out(&faces, wide(&[400, 0, 400, 400])).unwrap();
    assert_eq!(found.as_slice::<u16>().unwrap(), [0, 0, 400, 400]);
    // Of equal pieces the first stays.
    let found = out(&faces, wide(&[5, 0, 5, 0])).unwrap();
    assert_eq!(found.as_slice::<u16>().unwrap(), [5, 0, 0, 0]);
}

#[test]
fn plans_without_sense_are_refused() {
    let none = EdgeSchema {
        channels: vec![],
        rows_per_subject: Some(1),
    };
    let error = KeepLargest::default().check(&none).unwrap_err();
    assert!(error.contains("no label map"), "{error}");
    let refused = |stage: KeepLargest, what: &str| {
        let error = stage.check(&edge(None)).unwrap_err();
        assert!(error.contains(what), "{error}");
    };
    let connectivity = KeepLargest {
        connectivity: 8,
        ..KeepLargest::default()
    };
    refused(connectivity, "6, 18 or 26");
    for share in [0.0, 1.5, f64::NAN] {
        let stage = KeepLargest {
            min_share: Some(share),
            ..KeepLargest::default()
        };
        refused(stage, "`min_share`");
    }
    let background = KeepLargest {
        classes: Some(vec![0, 1]),
        ..KeepLargest::default()
    };
    refused(background, "background");
    assert!(
        Remap::new([].into(), Others::Keep)
            .check(&edge(None))
            .is_err()
    );
}

#[test]
fn labels_stored_as_anything_else_are_refused() {
    let grid = Grid::with_spacing([2, 1, 1], [1.0; 3]).unwrap();
    let float = Volume::from_vec(vec![1.0f32, 2.0], grid).unwrap();
    let error = out(&KeepLargest::default(), float).unwrap_err().to_string();
    assert!(error.contains("stored as f32"), "{error}");
}
