//! Training on nested regions.

use super::*;
use crate::nn::dice_ce::IGNORE;
use crate::train::infer::{Window, predict};
use crate::volume::region::tests::nested;

/// Nested boxes of the classes 1 to 3, each in a tone of its own; `hidden` is what an unannotated slice holds.
fn boxes(hidden: u8) -> Row {
    let grid = Grid::with_spacing([8; 3], [1.0; 3]).unwrap();
    let class = |i: usize| {
        let at = [i % 8, i / 8 % 8, i / 64];
        let is_in = |margin| at.iter().all(|v| (margin..8 - margin).contains(v));
        u8::from(is_in(1)) + u8::from(is_in(2)) + u8::from(is_in(3))
    };
    let classes: Vec<u8> = (0..512).map(class).collect();
    let tone = |(i, class): (usize, &u8)| f32::from(*class) - 1.0 + (i % 7) as f32 * 0.02;
    let image: Vec<f32> = classes.iter().enumerate().map(tone).collect();
    let label = classes.iter().enumerate();
    let label = label.map(|(i, class)| if i / 64 == 2 { hidden } else { *class });
    Row {
        subject: "a".to_owned(),
        view: "weak".to_owned(),
        images: vec![channel("mr", Some(Volume::from_vec(image, grid).unwrap()))],
        labels: vec![channel(
            "",
            Some(Volume::from_vec(label.collect(), grid).unwrap()),
        )],
        ..Row::default()
    }
}

fn of_regions() -> Trainer {
    let plain = trainer(ObjectiveSpec::default());
    let mut config = plain.config.clone();
    config.model.classes = ["background", "a", "b", "c"].map(str::to_owned).into();
    config.model.regions = nested();
    config.teacher = None;
    config.steps = 150;
    config.lr = 0.03;
    Trainer::new(config, &Device::Cpu).unwrap()
}

/// Dice of each region of the painted label map.
fn dice(trainer: &Trainer) -> Vec<f64> {
    let row = boxes(0);
    let window = Window {
        size_xyz: [8; 3],
        overlap: 0.5,
        flips: [false; 3],
    };
    let models = std::slice::from_ref(trainer.predictor());
    let found = predict(models, &row, window).unwrap().remove(0).unwrap();
    let (painted, _) = found.on_grid(row.images[0].volume.as_ref().unwrap().grid());
    let truth = boxes(3).labels[0]
        .volume
        .as_ref()
        .unwrap()
        .to_f32()
        .into_owned();
    let truth: Vec<u8> = truth.iter().map(|v| *v as u8).collect();
    // Slices that everybody knows.
    let kept = |map: &[u8]| [&map[..128], &map[192..]].concat();
    let counts = crate::metric::confusion(&kept(&painted), &kept(&truth), 4).unwrap();
    let of = |classes: &[usize]| counts.union(0, classes, 1.0).dice.unwrap();
    vec![of(&[1, 2, 3]), of(&[2, 3]), of(&[3])]
}

#[test]
fn a_few_steps_raise_the_dice_of_every_region() {
    let mut trainer = of_regions();
    let before = dice(&trainer);
    let rows = StepRows {
        labelled: vec![boxes(IGNORE)],
        unlabelled: Vec::new(),
    };
    let mut losses = Vec::new();
    for _ in 0..150 {
        losses.push(trainer.train(std::slice::from_ref(&rows)).unwrap()[0].value);
    }
    let after = dice(&trainer);
    assert!(losses[149] < 0.5 * losses[0], "{losses:?}");
    for (before, after) in before.iter().zip(&after) {
        assert!(
            *after > 0.8 && after > before,
            "{before} {after}: {losses:?}"
        );
    }
}

#[test]
fn ignored_voxels_and_stray_labels() {
    let step = |row: Row| {
        let mut trainer = of_regions();
        let rows = StepRows {
            labelled: vec![row],
            unlabelled: Vec::new(),
        };
        trainer.train(&[rows]).map(|figures| figures[0].value)
    };
    // An unannotated slice is no background: the loss differs from that of either.
    let ignored = step(boxes(IGNORE)).unwrap();
    assert!(ignored != step(boxes(0)).unwrap() && ignored != step(boxes(1)).unwrap());
    let error = step(boxes(7)).unwrap_err().to_string();
    assert!(
        error.contains("label value 7") && error.contains("names 4 classes"),
        "{error}"
    );
}

#[test]
fn a_network_is_refused_without_fitting_regions() {
    let mut config = of_regions().config;
    config.model.classes.pop();
    let error = Trainer::new(config, &Device::Cpu).err().unwrap();
    let text = crate::sink::causes(&error);
    assert!(
        text.contains("region `whole` has the class 3, expected 1 to 2"),
        "{text}"
    );
}
