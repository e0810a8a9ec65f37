//! Measuring the gradient of each term changes nothing, and measures what is added up.

use super::*;
use std::num::NonZeroU64;

fn with_every(objective: ObjectiveSpec, every: u64) -> Trainer {
    let config = TrainerConfig {
        gradient_norms: NonZeroU64::new(every),
        ..trainer(objective).config
    };
    Trainer::new(config, &Device::Cpu).unwrap()
}

fn value(figures: &[Figure], name: &str) -> Option<f64> {
    figures.iter().find(|f| f.name == name).map(|f| f.value)
}

#[test]
fn each_terms_gradient_is_measured_and_training_stays_as_it_is() {
    let objective = || ObjectiveSpec {
        pseudo_label: pseudo(false),
        ..ObjectiveSpec::default()
    };
    let (mut measuring, mut plain) = (with_every(objective(), 2), with_every(objective(), 0));
    let mut norms = Vec::new();
    for step in 0..3 {
        let found = measuring.train(&[rows(1)]).unwrap();
        let expected = plain.train(&[rows(1)]).unwrap();
        let rest = found.iter().filter(|f| !f.name.starts_with("grad_norm_"));
        assert_eq!(rest.cloned().collect::<Vec<_>>(), expected, "step {step}");
        let [supervised, pseudo] =
            ["grad_norm_supervised", "grad_norm_pseudo_label"].map(|name| value(&found, name));
        assert_eq!(supervised.is_some(), step != 1, "step {step}");
        let whole = value(&found, "grad_norm").unwrap();
        if let (Some(supervised), Some(pseudo)) = (supervised, pseudo) {
            assert!(supervised > 0.0 && pseudo > 0.0);
            assert!(
                whole <= supervised + pseudo + 1e-6,
                "{whole} {supervised} {pseudo}"
            );
            assert!(whole >= (supervised - pseudo).abs() - 1e-6);
            norms.push(pseudo);
        }
        assert_eq!(value(&found, "grad_norm_csc"), None);
    }
    assert_eq!(norms.len(), 2);
}

#[test]
fn a_single_terms_gradient_is_the_whole_one() {
    let supervised = |weight| ObjectiveSpec {
        supervised: Some(SupervisedSpec {
            weight,
            ..SupervisedSpec::default()
        }),
        ..ObjectiveSpec::default()
    };
    let rows = || StepRows {
        unlabelled: Vec::new(),
        ..rows(0)
    };
    let figures = |weight| with_every(supervised(weight), 1).train(&[rows()]).unwrap();
    let (one, two) = (figures(1.0), figures(2.0));
    let norm = |figures: &[Figure]| value(figures, "grad_norm_supervised").unwrap();
    assert!((norm(&one) - value(&one, "grad_norm").unwrap()).abs() <= 1e-6 * norm(&one));
    assert!(
        (norm(&two) / norm(&one) - 2.0).abs() <= 1e-5,
        "weights count"
    );
}
