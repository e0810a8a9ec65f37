//! The released CMC losses train nothing; csc and cac train the encoder.

use super::super::super::objective::as_released::CmcAsReleasedSpec;
use super::super::super::objective::{CacSpec, CscSpec, Term, Terms};
use super::*;
use crate::nn::cmc::CmcSpec;

pub(super) fn two_modalities(row: &Row) -> Row {
    let mut row = row.clone();
    let first = row.images[0].volume.clone().unwrap();
    let other: Vec<f32> = first.to_f32().iter().map(|v| v.cos()).collect();
    let other = Volume::from_vec(other, *first.grid()).unwrap();
    row.images.push(channel("ct", Some(other)));
    row.labels[0].name = "mr".to_owned();
    row.labels.push(channel("ct", row.labels[0].volume.clone()));
    row
}

/// Norm of the encoder's gradient from unlabelled rows alone, and the figures.
fn from_unlabelled(objective: ObjectiveSpec) -> (f64, f64, Terms<f64>) {
    let mut config = trainer(ObjectiveSpec::default()).config;
    config.model.network = NetworkSpec::Cmc(CmcSpec {
        width: 2,
        depth: 2,
        ..CmcSpec::default()
    });
    config.model.modalities.push("ct".to_owned());
    config.objective = objective;
    let mut trainer = Trainer::new(config, &Device::Cpu).unwrap();
    trainer.step = 8;
    trainer.student.clear().unwrap();
    let mut rows = rows(1);
    for (weak, strong) in &mut rows.unlabelled {
        *weak = two_modalities(weak);
        strong[0] = two_modalities(&strong[0]);
    }
    let mut sums = Sums::default();
    trainer.unlabelled(&rows, 1, &mut sums).unwrap();
    trainer.read_losses(&mut sums).unwrap();
    let encoder = trainer.student.gradient_norm().unwrap();
    (encoder, sums.total, sums.terms)
}

#[test]
fn released_losses_are_printed_and_train_nothing() {
    let (norm, total, terms) = from_unlabelled(ObjectiveSpec {
        supervised: None,
        cmc_as_released: Some(CmcAsReleasedSpec::default()),
        ..ObjectiveSpec::default()
    });
    assert_eq!(norm, 0.0);
    assert!(terms[Term::CmcAsReleased] > 1.0, "{terms:?}");
    assert_eq!(total as f32, terms[Term::CmcAsReleased] as f32);
    let (norm, _, terms) = from_unlabelled(ObjectiveSpec {
        supervised: None,
        csc: Some(CscSpec::default()),
        cac: Some(CacSpec::default()),
        ..ObjectiveSpec::default()
    });
    assert!(norm > 1e-4, "{norm}");
    assert_eq!(terms[Term::CmcAsReleased], 0.0);
}
