use super::copy_paste::{CopyPaste, Pasted};
use super::cutmix::CutMix;
use super::fourier_mix::FourierMix;
use super::*;
use crate::volume::{Channel, Grid};

const SHAPE: [usize; 3] = [6, 5, 4];

/// A subject whose voxels are `value` plus their place, labelled `class` in the lower half of x.
fn row(subject: &str, value: f32, class: Option<u8>, shape: [usize; 3]) -> Row {
    let grid = Grid::with_spacing(shape, [1.0; 3]).unwrap();
    let count = grid.voxel_count();
    let values: Vec<f32> = (0..count).map(|i| value + i as f32).collect();
    let labels = class.map(|class| -> Vec<u8> {
        let lower = |i: usize| i % shape[0] < shape[0] / 2;
        (0..count)
            .map(|i| if lower(i) { class } else { class + 1 })
            .collect()
    });
    let channel = |name: &str, volume| Channel {
        name: name.to_owned(),
        volume,
    };
    Row {
        subject: subject.to_owned(),
        images: vec![channel("ct", Volume::from_vec(values, grid).ok())],
        labels: vec![channel(
            "",
            labels.and_then(|l| Volume::from_vec(l, grid).ok()),
        )],
        ..Row::default()
    }
}

fn mixed(stage: &dyn AnyStage, own: Row, partner: &Row) -> Row {
    let give = &mut |_: &Row| Ok(partner.clone());
    stage.mix("views.shared[0]", 5, own, give).unwrap()
}

fn values(row: &Row) -> Vec<f32> {
    row.images[0].volume.as_ref().unwrap().to_f32().to_vec()
}

fn labels(row: &Row) -> Vec<u8> {
    let volume = row.labels[0].volume.as_ref().unwrap();
    volume.as_slice::<u8>().unwrap().to_vec()
}

#[test]
fn voxels_of_the_box_and_their_labels_are_the_partners() {
    let stage = MixStage(CutMix {
        edge: [0.25, 0.75],
        p: 1.0,
    });
    let (own, other) = (
        row("a", 0.0, Some(0), SHAPE),
        row("b", 1000.0, Some(7), SHAPE),
    );
    let found = mixed(&stage, own.clone(), &other);
    let draw = &found.draws[0].draw;
    assert_eq!(draw["partner"], "b");
    let drawn: DrawnBox = serde_json::from_value(draw.clone()).unwrap();
    let picked = |i: usize| {
        let at = [i % 6, i / 6 % 5, i / 30];
        (0..3).all(|a| (drawn.first[a]..drawn.first[a] + drawn.size[a]).contains(&at[a]))
    };
    let mut inside = 0;
    for (i, (value, label)) in values(&found).into_iter().zip(labels(&found)).enumerate() {
        let source = if picked(i) { &other } else { &own };
        inside += usize::from(picked(i));
        assert_eq!((value, label), (values(source)[i], labels(source)[i]));
    }
    assert_eq!(inside, drawn.size.iter().product::<usize>());
    assert!(found.sites.is_none());
}

#[test]
fn unlabelled_rows_stay_so_and_rows_that_do_not_fit_are_refused() {
    let stage = MixStage(CutMix {
        p: 1.0,
        ..CutMix::default()
    });
    let own = row("a", 0.0, None, SHAPE);
    let found = mixed(&stage, own.clone(), &row("b", 9.0, None, SHAPE));
    assert!(found.labels[0].volume.is_none());
    assert_ne!(values(&found), values(&own));
    let mut lacking = row("b", 9.0, None, SHAPE);
    lacking.images[0].volume = None;
    let found = mixed(&stage, own.clone(), &lacking);
    assert_eq!(values(&found), values(&own), "only what both have is mixed");
    let error = |partner: Row| {
        let give = &mut |_: &Row| Ok(partner.clone());
        let result = stage.mix("views.shared[0]", 5, own.clone(), give);
        result.unwrap_err().to_string()
    };
    let shape = error(row("b", 9.0, None, [6, 5, 5]));
    assert!(shape.contains("patch"), "{shape}");
    assert!(error(row("b", 9.0, Some(1), SHAPE)).contains("only one is labelled"));
    let alone = stage.run("stages[0]", 5, own.clone()).unwrap_err();
    assert!(alone.to_string().contains("views.shared"), "{alone}");
}

#[test]
fn both_directions_are_drawn_and_share_the_volume() {
    let stage = MixStage(CopyPaste {
        p: 1.0,
        ..CopyPaste::default()
    });
    let other = row("b", 1000.0, Some(7), SHAPE);
    let mut seen = [0usize; 2];
    for epoch in 0..200 {
        let mut own = row("a", 0.0, Some(0), SHAPE);
        own.epoch = epoch;
        let found = mixed(&stage, own, &other);
        let drawn: Pasted = serde_json::from_value(found.draws[0].draw.clone()).unwrap();
        assert_eq!(drawn.size, [4, 3, 3]);
        seen[usize::from(drawn.inside)] += 1;
        let taken = values(&found).iter().filter(|v| **v >= 1000.0).count();
        assert_eq!(taken, if drawn.inside { 36 } else { 120 - 36 });
        assert_eq!(labels(&found).iter().filter(|l| **l >= 7).count(), taken);
    }
    assert!(seen.iter().all(|n| *n > 70), "{seen:?}");
}

#[test]
fn only_voxels_of_the_classes_are_pasted() {
    let stage = MixStage(CopyPaste {
        edge: 1.0,
        inside: 1.0,
        classes: Some(vec![8]),
        p: 1.0,
    });
    let (own, other) = (
        row("a", 0.0, Some(0), SHAPE),
        row("b", 1000.0, Some(7), SHAPE),
    );
    let found = mixed(&stage, own.clone(), &other);
    for (i, (value, label)) in values(&found).into_iter().zip(labels(&found)).enumerate() {
        let source = if i % 6 >= 3 { &other } else { &own };
        assert_eq!((value, label), (values(source)[i], labels(source)[i]));
    }
    let unlabelled = row("a", 0.0, None, SHAPE);
    let found = mixed(&stage, unlabelled.clone(), &row("b", 9.0, None, SHAPE));
    assert_eq!(values(&found), values(&unlabelled));
}

#[test]
fn a_look_is_taken_and_the_anatomy_stays() {
    let stage = |lambda| {
        MixStage(FourierMix {
            lambda: crate::draw::Range::Fixed(lambda),
            p: 1.0,
            ..FourierMix::default()
        })
    };
    let (own, other) = (
        row("a", 0.0, Some(0), SHAPE),
        row("b", 1000.0, Some(7), SHAPE),
    );
    let found = mixed(&stage(1.0), own.clone(), &other);
    assert_eq!(labels(&found), labels(&own));
    // A band of a tenth of six voxels is the mean alone.
    for (found, own) in values(&found).iter().zip(values(&own)) {
        assert!((found - own - 1000.0).abs() < 1e-3, "{found} {own}");
    }
    assert_eq!(
        values(&mixed(&stage(0.0), own.clone(), &other)),
        values(&own)
    );
}
