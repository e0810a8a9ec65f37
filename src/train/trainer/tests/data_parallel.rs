//! Two devices that train together come to what one comes to with the rows of both.

use super::super::super::data_parallel::DataParallel;
use super::super::super::objective::threshold::{FreematchSpec, ThresholdSpec};
use super::unpaired::{unpaired_rows, unpaired_trainer};
use super::*;
use crate::train::objective::cac::Pairing;
use crate::train::objective::cutmix::CutMixSpec;

fn config(objective: ObjectiveSpec) -> TrainerConfig {
    trainer(objective).config
}

fn with_pseudo_labels() -> ObjectiveSpec {
    ObjectiveSpec {
        pseudo_label: Some(PseudoLabelSpec {
            ramp: 0.0,
            ..PseudoLabelSpec::default()
        }),
        ..ObjectiveSpec::default()
    }
}

fn weights(trainer: &Trainer) -> Vec<f32> {
    let tensors = trainer.student.model.params.snapshot().unwrap();
    let flat = |t: &Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
    tensors.iter().flat_map(|(_, t)| flat(t)).collect()
}

/// The rows of two devices, first as one batch, then as a batch each.
fn shared() -> (StepRows, Vec<StepRows>) {
    let whole = rows(1);
    let part = |i: usize| StepRows {
        labelled: vec![whole.labelled[i].clone()],
        unlabelled: vec![whole.unlabelled[i].clone()],
    };
    let parts = vec![part(0), part(1)];
    (whole, parts)
}

#[test]
fn two_devices_equal_one_that_adds_up_both_batches() {
    for (objective, exact) in [
        (ObjectiveSpec::default(), true),
        (with_pseudo_labels(), true),
    ] {
        let mut alone = Trainer::new(config(objective.clone()), &Device::Cpu).unwrap();
        let devices = [Device::Cpu, Device::Cpu];
        let mut trainers = DataParallel::new(&config(objective), &devices).unwrap();
        for _ in 0..3 {
            let (whole, parts) = shared();
            let expected = alone.train(&parts).unwrap();
            let found = trainers.train(vec![whole]).unwrap();
            for (a, b) in expected.iter().zip(&found) {
                assert_eq!((a.name, &a.class), (b.name, &b.class));
                let near = (a.value - b.value).abs() <= 1e-5 * a.value.abs().max(1e-3);
                assert!(near || !exact, "{a:?} {b:?}");
            }
        }
        let (a, b) = (weights(&alone), weights(&trainers.first));
        let apart = a
            .iter()
            .zip(&b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(apart < 1e-5, "{apart}");
    }
}

#[test]
fn what_pseudo_labels_and_unpaired_modalities_showed_is_shared() {
    let mut freematch = config(with_pseudo_labels());
    let spec = FreematchSpec {
        momentum: 0.5,
        ..FreematchSpec::default()
    };
    freematch.teacher = Some((ThresholdSpec::Freematch(spec), 0.9));
    let devices = [Device::Cpu, Device::Cpu];
    let mut trainers = DataParallel::new(&freematch, &devices).unwrap();
    let (whole, parts) = shared();
    trainers.train(vec![whole]).unwrap();
    // Each device saw one of the rows; the running means are halfway between.
    let of = |part: &StepRows| {
        let mut trainer = Trainer::new(freematch.clone(), &Device::Cpu).unwrap();
        trainer.train(std::slice::from_ref(part)).unwrap();
        trainer.thresholds.unwrap()
    };
    let (a, b) = (of(&parts[0]), of(&parts[1]));
    let mean = Thresholds::mean(&[&a, &b]).unwrap();
    assert_ne!(a, b);
    assert_eq!(trainers.first.thresholds.as_ref(), Some(&mean));
    // One device gets the CT, the other the MR: only by sharing is there anything to compare.
    let unpaired = unpaired_trainer(Pairing::Unpaired).config;
    let mut trainers = DataParallel::new(&unpaired, &devices).unwrap();
    let loss = |figures: &[Figure]| figures.iter().find(|f| f.name == "loss_cac").unwrap().value;
    assert_eq!(loss(&trainers.train(vec![unpaired_rows()]).unwrap()), 0.0);
    assert!(loss(&trainers.train(vec![unpaired_rows()]).unwrap()) > 0.0);
}

#[test]
fn an_error_of_one_device_is_told_and_ends_the_step_of_all() {
    let devices = [Device::Cpu, Device::Cpu];
    let mut trainers = DataParallel::new(&config(ObjectiveSpec::default()), &devices).unwrap();
    let before = weights(&trainers.first);
    let (mut whole, _) = shared();
    // The second row goes to the second device.
    let grid = *whole.labelled[1].images[0].volume.as_ref().unwrap().grid();
    let broken = Volume::from_vec(vec![f32::NAN; 512], grid).unwrap();
    whole.labelled[1].images[0].volume = Some(broken);
    let error = trainers.train(vec![whole]).unwrap_err();
    assert!(
        matches!(&error, TrainError::NotFinite { subjects, .. } if *subjects == ["b"]),
        "{error}"
    );
    assert_eq!(before, weights(&trainers.first));
    // One unlabelled row a device leaves CutMix nothing to mix.
    let mut mixing = with_pseudo_labels();
    mixing.pseudo_label.as_mut().unwrap().cutmix = Some(CutMixSpec::default());
    let mut mixing = DataParallel::new(&config(mixing), &devices).unwrap();
    let text = mixing.train(vec![shared().0]).unwrap_err().to_string();
    assert!(
        text.contains("`train.batch.unlabelled` 4 or more"),
        "{text}"
    );
    let mut odd = rows(1);
    odd.labelled.pop();
    let text = trainers.train(vec![odd]).unwrap_err().to_string();
    assert!(text.contains("multiples of 2"), "{text}");
    // All trainers still run.
    trainers.train(vec![shared().0]).unwrap();
}
