//! Steps of training on small volumes.

use super::super::checkpoint::{self, ModelFile, State};
use super::super::model::ModelSpec;
use super::super::objective::bcp::BcpSpec;
use super::super::objective::cps::CpsSpec;
use super::super::objective::cutmix::CutMixSpec;
use super::super::objective::feature_dropout::FeatureDropoutSpec;
use super::super::objective::mean_teacher::{MeanTeacherSpec, UncertaintySpec};
use super::super::objective::threshold::ThresholdSpec;
use super::super::objective::{ObjectiveSpec, PseudoLabelSpec, SupervisedSpec};
use super::super::schedule::Schedule;
use super::*;
use crate::nn::adamw::AdamWConfig;
use crate::nn::network::NetworkSpec;
use crate::nn::optimizer::OptimizerConfig;
use crate::nn::unet3d::Unet3dSpec;
use crate::train::postprocessing::PostProcessing;
use crate::volume::row::Channel;
use crate::volume::{Grid, Volume};

mod bcp;
mod data_parallel;
mod gradient_norms;
mod regions;
mod released;
mod unpaired;

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
    // A strong view shows other tones, which no norm undoes.
    let image = match view.starts_with("strong") {
        true => image.iter().map(|v| v * v * v + 0.3 * v * v).collect(),
        false => image,
    };
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
        gradient_norms: None,
        precision: Default::default(),
        recompute: false,
        model: ModelSpec {
            network: NetworkSpec::Unet3d(network),
            classes: vec!["background".to_owned(), "organ".to_owned()],
            modalities: vec!["mr".to_owned()],
            regions: Vec::new(),
        },
        objective,
        teacher: Some((ThresholdSpec::Fixed(0.5), 0.9)),
        steps: 10,
        lr: 0.01,
        optimizer: OptimizerConfig::AdamW(AdamWConfig {
            weight_decay: 0.0,
            ..AdamWConfig::default()
        }),
        schedule: Schedule::default(),
        warmup: 0.0,
        clip_norm: None,
        seed: 3,
    };
    Trainer::new(config, &Device::Cpu).unwrap()
}

fn pseudo(complementary_dropout: bool) -> Option<PseudoLabelSpec> {
    Some(PseudoLabelSpec {
        ramp: 0.0,
        complementary_dropout,
        cutmix: Some(CutMixSpec::default()),
        ..PseudoLabelSpec::default()
    })
}

/// Every method that learns from unlabelled rows, under the name of a figure it must report.
fn methods() -> Vec<(&'static str, ObjectiveSpec)> {
    let mean_teacher = |uncertainty| ObjectiveSpec {
        mean_teacher: Some(MeanTeacherSpec {
            uncertainty,
            ramp: 0.0,
            ..MeanTeacherSpec::default()
        }),
        ..ObjectiveSpec::default()
    };
    let uncertainty = UncertaintySpec {
        passes: 2,
        ..UncertaintySpec::default()
    };
    let with_pseudo = |pseudo_label| ObjectiveSpec {
        pseudo_label,
        ..ObjectiveSpec::default()
    };
    let dropout = FeatureDropoutSpec {
        ramp: 0.0,
        ..FeatureDropoutSpec::default()
    };
    let unimatch = ObjectiveSpec {
        feature_dropout: Some(dropout),
        ..with_pseudo(pseudo(false))
    };
    let bcp = ObjectiveSpec {
        bcp: Some(BcpSpec {
            ramp: 0.0,
            ..BcpSpec::default()
        }),
        ..ObjectiveSpec::default()
    };
    let cps = ObjectiveSpec {
        cps: Some(CpsSpec {
            ramp: 0.0,
            ..CpsSpec::default()
        }),
        ..ObjectiveSpec::default()
    };
    vec![
        ("loss_pseudo_label", with_pseudo(pseudo(false))),
        ("loss_pseudo_label", with_pseudo(pseudo(true))),
        ("loss_feature_dropout", unimatch),
        ("loss_bcp", bcp),
        ("loss_cps", cps),
        ("loss_mean_teacher", mean_teacher(None)),
        ("loss_mean_teacher", mean_teacher(Some(uncertainty))),
    ]
}

#[test]
fn every_method_trains_and_resumes_to_equal_figures() {
    for (name, objective) in methods() {
        let mut whole = trainer(objective.clone());
        let first = whole.train(&[rows(2)]).unwrap();
        assert!(
            first.iter().any(|f| f.name == name && f.value > 0.0),
            "{name}: {first:?}"
        );
        let folder = tempfile::tempdir().unwrap();
        let state = State {
            step: whole.step,
            positions: (),
            thresholds: whole.thresholds.clone(),
            statistics: whole.statistics.clone(),
            best: None,
        };
        let file = ModelFile {
            model: whole.student.model.spec.clone(),
            window: [8; 3],
            overlap: 0.5,
            flips: [false; 3],
            stages: serde_json::Value::Null,
            version: String::new(),
            predictor: "teacher".to_owned(),
            postprocessing: PostProcessing::NONE,
        };
        let saved = checkpoint::save(folder.path(), &whole, &state, &file, |_| Ok(())).unwrap();
        let mut resumed = trainer(objective);
        let _: State<()> = checkpoint::restore(&saved, &mut resumed).unwrap();
        for _ in 0..2 {
            // Tensors made while the step before is computed are those made in their own step.
            resumed.expect(vec![rows(2)]);
            let (a, b) = (
                whole.train(&[rows(2)]).unwrap(),
                resumed.train(&[rows(2)]).unwrap(),
            );
            assert_eq!(a, b, "{name}");
            assert!(!resumed.ahead.is_empty(), "{name}");
        }
    }
}

#[test]
fn unlabelled_rows_alone_move_encoder_and_decoder_and_never_the_teacher() {
    for (name, objective) in methods() {
        let objective = ObjectiveSpec {
            supervised: None,
            ..objective
        };
        let mut trainer = trainer(objective);
        let teacher = trainer.teacher.as_ref().unwrap().params.snapshot().unwrap();
        trainer.student.clear().unwrap();
        let mut sums = Sums {
            kept: vec![(0.0, 0.0); 2],
            ..Sums::default()
        };
        trainer.unlabelled(&rows(2), 1, &mut sums).unwrap();
        assert!(trainer.student.gradient_norm().unwrap() > 0.0, "{name}");
        let before = trainer.student.model.params.snapshot().unwrap();
        trainer.student.update(0.0, None, 0.01).unwrap();
        let moved = |part: &str| {
            let after = trainer.student.model.params.snapshot().unwrap();
            let of = |t: &Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
            let mut both = before.iter().zip(&after);
            both.any(|((n, a), (_, b))| n.starts_with(part) && of(a) != of(b))
        };
        assert!(moved("encoder.") && moved("decoder."), "{name}");
        let now = trainer.teacher.as_ref().unwrap().params.snapshot().unwrap();
        for ((_, a), (_, b)) in teacher.iter().zip(&now) {
            let of = |t: &Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
            assert_eq!(of(a), of(b), "{name}");
        }
    }
}
