//! Pseudo-labels and their thresholds.

use candle_core::{Device, Tensor, Var};

use super::super::pseudo_label::{
    Normalize, ProbabilityStats, consistency, probability_stats, pseudo_target,
};
use super::super::threshold::{FlexmatchSpec, FreematchSpec, ThresholdSpec, Thresholds};
use crate::nn::dice_ce::{DiceCe, IGNORE};
use crate::nn::testing::{noise, values};

/// Logits `[1, d, 2, 2, 3]` from class probabilities.
fn logits(probabilities: &[[f32; 3]]) -> Tensor {
    let logs: Vec<f32> = probabilities.iter().flatten().map(|p| p.ln()).collect();
    Tensor::from_vec(logs, (1, probabilities.len() / 4, 2, 2, 3), &Device::Cpu).unwrap()
}

fn labels(values: &[u8]) -> Tensor {
    Tensor::from_vec(values.to_vec(), (1, values.len() / 4, 2, 2), &Device::Cpu).unwrap()
}

const MIXED: [[f32; 3]; 4] = [
    [0.97, 0.02, 0.01],
    [0.30, 0.10, 0.60],
    [0.01, 0.98, 0.01],
    [0.20, 0.75, 0.05],
];

#[test]
fn unsure_voxels_are_ignored_and_not_background() {
    let target = pseudo_target(&logits(&MIXED), &[0.95; 3]).unwrap();
    let found: Vec<u8> = target.labels.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found, [0, IGNORE, 1, IGNORE]);
    assert_eq!(target.kept_fraction, [1.0, 0.5, 0.0]);
    assert_eq!(target.predicted_fraction, [0.25, 0.5, 0.25]);
    assert_eq!(target.valid_fraction, 0.5);
    let confidence = values(&target.confidence);
    assert!((confidence[1] - 0.6).abs() < 1e-6);
    // Each class has its own threshold.
    let target = pseudo_target(&logits(&MIXED), &[0.99, 0.7, 0.5]).unwrap();
    let found: Vec<u8> = target.labels.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found, [IGNORE, 2, 1, 1]);
    assert!(pseudo_target(&logits(&MIXED), &[0.9; 2]).is_err());
}

/// Loss and the student's gradient at every voxel.
fn against(student: &Var, target: &Tensor, normalize: Normalize) -> (f32, Vec<f32>) {
    let loss = consistency(
        &[Some(student.as_tensor().clone())],
        &[Some(target.clone())],
        &DiceCe::default(),
        normalize,
    );
    let loss = loss.unwrap().unwrap();
    let grads = loss.backward().unwrap();
    let gradient = grads.get(student).map(values).unwrap_or_default();
    (loss.to_scalar().unwrap(), gradient)
}

#[test]
fn an_ignored_voxel_teaches_nothing() {
    let student = Var::from_tensor(&noise(&[1, 1, 2, 2, 3], 3)).unwrap();
    let target = pseudo_target(&logits(&MIXED), &[0.95; 3]).unwrap().labels;
    let (_, gradient) = against(&student, &target, Normalize::Kept);
    let at = |gradient: &[f32], voxel: usize| gradient[3 * voxel..3 * voxel + 3].to_vec();
    assert_eq!(at(&gradient, 1), [0.0; 3]);
    assert_eq!(at(&gradient, 3), [0.0; 3]);
    assert!(at(&gradient, 0).iter().all(|&g| g != 0.0));
    // The mistake this guards against: the same voxels as background pull the student there.
    let (_, gradient) = against(&student, &labels(&[0, 0, 1, 0]), Normalize::Kept);
    assert!(at(&gradient, 1)[0] < 0.0 && at(&gradient, 3)[0] < 0.0);
}

#[test]
fn the_loss_is_divided_by_the_voxels_it_counts() {
    let small = noise(&[1, 1, 2, 2, 3], 3);
    let large = Tensor::cat(&[&small, &noise(&[1, 3, 2, 2, 3], 4)], 1).unwrap();
    let [small, large] = [small, large].map(|x| Var::from_tensor(&x).unwrap());
    let some = [0, 1, 2, 1];
    let mut more = some.to_vec();
    more.extend([IGNORE; 12]);
    let (alone, _) = against(&small, &labels(&some), Normalize::Kept);
    let (among, _) = against(&large, &labels(&more), Normalize::Kept);
    assert!((alone - among).abs() < 1e-6, "{alone} {among}");
    let (quarter, _) = against(&large, &labels(&more), Normalize::All);
    assert!((quarter - among / 4.0).abs() < 1e-6, "{quarter} {among}");
    let (nothing, gradient) = against(&small, &labels(&[IGNORE; 4]), Normalize::Kept);
    assert_eq!(nothing, 0.0);
    assert!(gradient.iter().all(|&g| g == 0.0), "{gradient:?}");
}

#[test]
fn statistics_are_those_of_the_probabilities() {
    let stats = probability_stats(&logits(&MIXED), 0.7).unwrap();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
    close(stats.mean_confidence, (0.97 + 0.6 + 0.98 + 0.75) / 4.0);
    close(stats.mean_probability[1], (0.02 + 0.1 + 0.98 + 0.75) / 4.0);
    assert_eq!(stats.confident_fraction, [0.25, 0.5, 0.0]);
}

fn stats(confidence: f64, probability: [f64; 3], confident: [f64; 3]) -> ProbabilityStats {
    ProbabilityStats {
        mean_confidence: confidence,
        mean_probability: probability.to_vec(),
        confident_fraction: confident.to_vec(),
    }
}

fn close(found: &[f32], expected: [f64; 3]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6,
            "{found} {expected}"
        );
    }
}

#[test]
fn fixed_thresholds_stay() {
    let mut thresholds = Thresholds::new(ThresholdSpec::default(), 3);
    thresholds.update(&stats(0.5, [0.8, 0.1, 0.1], [0.5, 0.0, 0.0]));
    assert_eq!(thresholds.current(), [0.95; 3]);
}

#[test]
fn flexmatch_lowers_what_is_not_learnt_yet() {
    let spec = FlexmatchSpec {
        momentum: 0.0,
        floor: 0.2,
        ..FlexmatchSpec::default()
    };
    let mut thresholds = Thresholds::new(ThresholdSpec::Flexmatch(spec), 3);
    // Nothing learnt: every threshold is the floor.
    close(&thresholds.current(), [0.2; 3]);
    // Still 70 % unlearnt: shares are relative to that.
    thresholds.update(&stats(0.9, [0.5, 0.3, 0.2], [0.2, 0.1, 0.0]));
    let rule = |beta: f64| (0.95 * beta / (2.0 - beta)).max(0.2);
    close(&thresholds.current(), [rule(0.2 / 0.7), 0.2, 0.2]);
    // Mostly learnt: relative to the class learnt best, which has the ceiling.
    thresholds.update(&stats(0.9, [0.5, 0.3, 0.2], [0.5, 0.4, 0.1]));
    close(&thresholds.current(), [0.95, rule(0.8), 0.2]);
}

#[test]
fn freematch_follows_confidence_down_to_its_floor() {
    let spec = FreematchSpec {
        momentum: 0.75,
        floor: 0.3,
    };
    let mut thresholds = Thresholds::new(ThresholdSpec::Freematch(spec), 3);
    close(&thresholds.current(), [1.0 / 3.0; 3]);
    let mut mean = 1.0 / 3.0;
    let mut probability = [1.0 / 3.0; 3];
    for _ in 0..20 {
        let now = [0.6, 0.35, 0.05];
        thresholds.update(&stats(0.9, now, [0.0; 3]));
        mean = 0.75 * mean + 0.25 * 0.9;
        for (past, now) in probability.iter_mut().zip(now) {
            *past = 0.75 * *past + 0.25 * now;
        }
        let rule = |p: f64| (mean * p / probability[0]).max(0.3);
        close(&thresholds.current(), probability.map(rule));
    }
    // A small organ: without the floor a twelfth of the confidence would do.
    assert_eq!(thresholds.current()[2], 0.3);
}

#[test]
fn a_resumed_run_has_the_very_thresholds_of_the_interrupted_one() {
    for spec in [
        ThresholdSpec::Flexmatch(FlexmatchSpec::default()),
        ThresholdSpec::Freematch(FreematchSpec::default()),
    ] {
        let mut whole = Thresholds::new(spec.clone(), 3);
        let mut parts = Thresholds::new(spec, 3);
        for step in 0..200 {
            let x = values(&noise(&[7], step));
            let x: Vec<f64> = x.iter().map(|x| f64::from(x.abs()) / 3.0).collect();
            let now = stats(x[0], [x[1], x[2], x[3]], [x[4], x[5], x[6]]);
            whole.update(&now);
            parts.update(&now);
            let text = serde_json::to_string(&parts).unwrap();
            parts = serde_json::from_str(&text).unwrap();
        }
        assert_eq!(whole, parts);
    }
}
