//! Rows that hold one modality each, compared by class statistics alone.

use super::super::super::objective::CacSpec;
use super::super::super::objective::cac::Pairing;
use super::released::two_modalities;
use super::*;
use crate::nn::cmc::CmcSpec;

/// Unlabelled rows of which the first has no `ct` and the second no `mr`.
pub(super) fn unpaired_rows() -> StepRows {
    let mut rows = rows(1);
    rows.labelled.clear();
    for (i, (weak, strong)) in rows.unlabelled.iter_mut().enumerate() {
        *weak = two_modalities(weak);
        strong[0] = two_modalities(&strong[0]);
        weak.images[1 - i].volume = None;
        strong[0].images[1 - i].volume = None;
    }
    rows
}

pub(super) fn unpaired_trainer(pairing: Pairing) -> Trainer {
    let mut config = trainer(ObjectiveSpec::default()).config;
    config.model.network = NetworkSpec::Cmc(CmcSpec {
        width: 2,
        depth: 2,
        ..CmcSpec::default()
    });
    config.model.modalities.push("ct".to_owned());
    config.objective = ObjectiveSpec {
        supervised: None,
        cac: Some(CacSpec {
            pairing,
            ramp: 0.0,
            ..CacSpec::default()
        }),
        ..ObjectiveSpec::default()
    };
    Trainer::new(config, &Device::Cpu).unwrap()
}

fn loss_of(figures: &[Figure]) -> f64 {
    figures.iter().find(|f| f.name == "loss_cac").unwrap().value
}

#[test]
fn subjects_without_a_partner_train_both_encoders() {
    let mut trainer = unpaired_trainer(Pairing::Unpaired);
    let before = trainer.student.model.params.snapshot().unwrap();
    let losses: Vec<f64> = (0..6)
        .map(|_| loss_of(&trainer.train(&[unpaired_rows()]).unwrap()))
        .collect();
    assert!(losses.iter().all(|l| *l > 0.0 && *l < 1.0), "{losses:?}");
    let after = trainer.student.model.params.snapshot().unwrap();
    let moved = |part: &str| {
        let of = |t: &Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
        let mut both = before.iter().zip(&after);
        both.any(|((n, a), (_, b))| n.starts_with(part) && of(a) != of(b))
    };
    // The encoders share kernels; their norms are a modality's own.
    for part in ["encoder.0", "encoder.1", "decoder.0", "decoder.1"] {
        assert!(moved(part), "{part}");
    }
    // In one frame there is nothing to compare, and nothing learns.
    let mut trainer = unpaired_trainer(Pairing::Paired);
    let figures = trainer.train(&[unpaired_rows()]).unwrap();
    assert_eq!(loss_of(&figures), 0.0);
}

#[test]
fn running_statistics_survive_a_resume() {
    let mut whole = unpaired_trainer(Pairing::Unpaired);
    whole.train(&[unpaired_rows()]).unwrap();
    let text = serde_json::to_string(&whole.statistics).unwrap();
    let mut resumed = unpaired_trainer(Pairing::Unpaired);
    resumed.statistics = serde_json::from_str(&text).unwrap();
    assert_eq!(resumed.statistics, whole.statistics);
}
