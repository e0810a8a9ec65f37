//! Steps of training on small volumes.

use super::super::objective::{ObjectiveSpec, PseudoLabelSpec};
use super::*;
use crate::nn::network::NetworkSpec;
use crate::nn::unet3d::Unet3dSpec;
use crate::volume::row::Channel;
use crate::volume::{Grid, Volume};

#[test]
fn equal_strong_views_count_as_one() {
    let losses = |views: usize| {
        let mut trainer = trainer(ObjectiveSpec {
            pseudo_label: Some(PseudoLabelSpec {
                ramp: 0.0,
                ..PseudoLabelSpec::default()
            }),
            ..ObjectiveSpec::default()
        });
        (0..2)
            .map(|_| trainer.train(&[rows(views)]).unwrap())
            .collect::<Vec<_>>()
    };
    let (one, two) = (losses(1), losses(2));
    for (a, b) in one.iter().flatten().zip(two.iter().flatten()) {
        assert_eq!((a.name, &a.class), (b.name, &b.class));
        assert!(
            (a.value - b.value).abs() <= 1e-5 * a.value.abs().max(1.0),
            "{a:?} {b:?}"
        );
    }
    assert!(
        one[0]
            .iter()
            .any(|f| f.name == "loss_pseudo_label" && f.value > 0.0)
    );
}

fn channel(name: &str, volume: Option<Volume>) -> Channel {
    Channel {
        name: name.to_owned(),
        volume,
    }
}

/// A row of one image, with its label map where wanted.
fn one(subject: &str, view: &str, labelled: bool) -> Row {
    let grid = Grid::with_spacing([8, 8, 8], [1.0; 3]).unwrap();
    let tone = f32::from(subject.as_bytes()[0] % 7) + 1.0;
    let image: Vec<f32> = (0..512).map(|i| (i as f32 * 0.37 * tone).sin()).collect();
    let label: Vec<u8> = image.iter().map(|v| u8::from(*v > 0.2)).collect();
    Row {
        subject: subject.to_owned(),
        view: view.to_owned(),
        images: vec![channel("mr", Some(Volume::from_vec(image, grid).unwrap()))],
        labels: vec![channel(
            "",
            labelled.then(|| Volume::from_vec(label, grid).unwrap()),
        )],
        ..Row::default()
    }
}

/// Two labelled and two unlabelled rows, these in `views` strong views.
fn rows(views: usize) -> StepRows {
    let strong = |subject: &str| -> Vec<Row> {
        let view = |i: usize| one(subject, &format!("strong.{i}"), false);
        (0..views).map(view).collect()
    };
    StepRows {
        labelled: vec![one("a", "weak", true), one("b", "weak", true)],
        unlabelled: ["c", "d"]
            .map(|s| (one(s, "weak", false), strong(s)))
            .into(),
    }
}

fn trainer(objective: ObjectiveSpec) -> Trainer {
    let network = Unet3dSpec {
        width: 4,
        depth: 2,
        ..Unet3dSpec::default()
    };
    let config = TrainerConfig {
        model: ModelSpec {
            network: NetworkSpec::Unet3d(network),
            classes: vec!["background".to_owned(), "organ".to_owned()],
            modalities: vec!["mr".to_owned()],
        },
        objective,
        teacher: Some((ThresholdSpec::Fixed(0.5), 0.9)),
        steps: 10,
        lr: 0.01,
        weight_decay: 0.0,
        warmup: 0.0,
        clip_norm: None,
        seed: 3,
    };
    Trainer::new(config, &Device::Cpu).unwrap()
}
