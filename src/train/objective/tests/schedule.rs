//! Weights over training, and what the YAML may say.

use super::super::ramp::Ramp;
use super::super::threshold::ThresholdSpec;
use super::super::{ObjectiveSpec, Term};
use crate::nn::network::Heads;

#[test]
fn a_ramp_at_the_start_at_seventy_percent_and_at_the_end() {
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    };
    let early = Ramp::default();
    close(early.at(0.0), (-5f64).exp());
    close(early.at(0.15), (-1.25f64).exp());
    close(early.at(0.7), 1.0);
    close(early.at(1.0), 1.0);
    // Over the whole of training: the published w1, 0.638 at 70 %.
    let whole = Ramp {
        weight: 2.0,
        start: 0.0,
        ramp: 1.0,
    };
    close(whole.at(0.0), 2.0 * (-5f64).exp());
    close(whole.at(0.7), 2.0 * (-0.45f64).exp());
    close(whole.at(1.0), 2.0);
    let late = Ramp {
        weight: 0.5,
        start: 0.7,
        ramp: 0.3,
    };
    assert_eq!((late.at(0.0), late.at(0.699)), (0.0, 0.0));
    close(late.at(0.7), 0.5 * (-5f64).exp());
    close(late.at(1.0), 0.5);
    let constant = Ramp::constant(3.0);
    assert_eq!((constant.at(0.0), constant.at(1.0)), (3.0, 3.0));
    assert!(
        Ramp {
            start: 1.5,
            ..early
        }
        .check()
        .is_err()
    );
    assert!(
        Ramp {
            weight: f64::NAN,
            ..early
        }
        .check()
        .is_err()
    );
}

#[test]
fn an_objective_is_read_strictly_and_weighs_its_terms() {
    let read = |text: &str| serde_json::from_str::<ObjectiveSpec>(text);
    let text = r#"{"supervised": {}, "csc": {"weight": 0.1, "start": 0.5, "ramp": 0.0},
        "pseudo_label": {"normalize": "all"}}"#;
    let spec = read(text).unwrap();
    assert_eq!(spec.check(Heads::PerModality), Ok(()));
    let (before, after) = (spec.weights(0.49), spec.weights(0.5));
    assert_eq!(
        (
            before[Term::Supervised],
            before[Term::Csc],
            before[Term::Cac]
        ),
        (1.0, 0.0, 0.0)
    );
    assert_eq!(
        (after[Term::Csc], after[Term::Cac], after[Term::PseudoLabel]),
        (0.1, 0.0, 1.0)
    );
    let threshold: ThresholdSpec =
        serde_json::from_str(r#"{"freematch": {"floor": 0.6}}"#).unwrap();
    assert!(
        matches!(threshold, ThresholdSpec::Freematch(f) if f.floor == 0.6 && f.momentum == 0.999)
    );
    assert!(serde_json::from_str::<ThresholdSpec>(r#"{"flexmatch": {"flor": 0}}"#).is_err());
    assert!(read(r#"{"cac": {"wieght": 1.0}}"#).is_err());
    let text = serde_json::to_string(&ObjectiveSpec::default()).unwrap();
    assert_eq!(read(&text).unwrap(), ObjectiveSpec::default());
}

#[test]
fn an_objective_that_cannot_train_is_refused() {
    let refusal = |text: &str, heads: Heads| {
        let spec: ObjectiveSpec = serde_json::from_str(text).unwrap();
        spec.check(heads).unwrap_err()
    };
    let empty = refusal("{}", Heads::PerModality);
    assert!(empty.contains("no term"), "{empty}");
    let joint = refusal(r#"{"cac": {}}"#, Heads::Joint);
    assert!(joint.contains("`cac` compares modalities"), "{joint}");
    let cold = refusal(r#"{"csc": {"temperature": 0.0}}"#, Heads::PerModality);
    assert!(cold.contains("`temperature` is 0"), "{cold}");
    let parts = refusal(
        r#"{"supervised": {"dice": 0, "cross_entropy": 0}}"#,
        Heads::Joint,
    );
    assert!(parts.contains("one above 0"), "{parts}");
    let fixed: ThresholdSpec = serde_json::from_str(r#"{"fixed": 1.5}"#).unwrap();
    let fixed = fixed.check().unwrap_err();
    assert!(fixed.contains("`fixed` is 1.5"), "{fixed}");
}
