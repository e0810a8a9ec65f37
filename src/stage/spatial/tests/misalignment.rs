//! Modalities that are moved against each other on purpose.

use super::warps::{balls, bits, draws, light, middle_of};
use super::*;
use crate::draw::Range;
use crate::stage::Augment as _;
use crate::stage::spatial::misalign::{Direction, Misalign};
use std::collections::BTreeMap;

#[test]
fn misaligned_modalities_move_by_the_length_asked_for_and_others_stay() {
    let row = balls();
    let mut stage = Misalign {
        modalities: vec!["ct".to_owned()],
        shift_mm: Some(Range::Fixed(4.0)),
        ..Misalign::default()
    };
    for draw in draws(&stage, &row, 4).into_iter().flatten() {
        let out = stage.apply(&draw, row.clone()).unwrap();
        let moved = light(image(&out, 0)).distance(light(image(&row, 0)));
        assert!((moved - 4.0).abs() < 0.1, "{moved}");
        let (out, row) = (bits(&out), bits(&row));
        assert!(out[0] != row[0] && out[1..] == row[1..]);
    }
    stage.modalities = vec!["mr".to_owned()];
    stage.move_labels = true;
    stage.shift_mm = None;
    stage.shift_voxels = Some(Range::Fixed(3.0));
    stage.direction = Direction::Axis;
    for draw in draws(&stage, &row, 4).into_iter().flatten() {
        let shift = draw["mr"].shift_mm;
        let unit = [1.0, 1.0, 1.5];
        let voxels = [0, 1, 2].map(|a| shift[a].abs() / unit[a]);
        assert_eq!(voxels.iter().sum::<f32>(), 3.0);
        let out = stage.apply(&draw, row.clone()).unwrap();
        let (after, before) = (bits(&out), bits(&row));
        assert!(after[0] == before[0] && after[2] == before[2]);
        let own = out.labels[1].volume.as_ref().unwrap();
        let moved = middle_of(own, 1).distance(middle_of(label(&row), 1));
        let length = f64::from(shift.iter().map(|s| s * s).sum::<f32>().sqrt());
        assert!((moved - length).abs() < 1e-3, "{moved} {length}");
        // Whole voxels: the values themselves move.
        let values = image(&out, 1).to_f32();
        let before = image(&row, 1).to_f32();
        assert!(values.iter().all(|v| before.contains(v)));
    }
    let other = BTreeMap::from([(
        "pet".to_owned(),
        *draws(&stage, &row, 1)[0]
            .as_ref()
            .unwrap()
            .values()
            .next()
            .unwrap(),
    )]);
    let error = stage.apply(&other, row).unwrap_err().to_string();
    assert!(error.contains("`pet`"), "{error}");
}
