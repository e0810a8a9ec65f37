//! From which confidence a pseudo-label is believed, class by class.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pseudo_label::ProbabilityStats;

/// Confidence from which a voxel's pseudo-label counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdSpec {
    /// One probability for all classes and all of training (FixMatch: 0.95).
    Fixed(f64),
    /// Lower for classes of which few voxels are confident yet (after FlexMatch).
    Flexmatch(FlexmatchSpec),
    /// Follows the teacher's mean confidence and class probabilities (after FreeMatch).
    Freematch(FreematchSpec),
}

impl Default for ThresholdSpec {
    fn default() -> Self {
        Self::Fixed(0.95)
    }
}

/// Thresholds by how much of each class is learnt.
///
/// With `s_c` the running share of voxels predicted as class `c` at `ceiling` or above:
/// `b_c = s_c / max(max s, 1 - sum s)`, threshold `ceiling * b_c / (2 - b_c)`, at least `floor`.
/// FlexMatch keeps one entry a sample; for voxels the running share takes its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FlexmatchSpec {
    /// The highest threshold, and the confidence at which a voxel counts as learnt.
    pub ceiling: f64,
    /// The lowest threshold. Without one, background would push small organs towards 0.
    pub floor: f64,
    /// Weight of the past in the running shares, per update.
    pub momentum: f64,
}

impl Default for FlexmatchSpec {
    fn default() -> Self {
        Self {
            ceiling: 0.95,
            floor: 0.5,
            momentum: 0.999,
        }
    }
}

/// Thresholds that rise with the teacher's confidence.
///
/// With `t` the running mean of the largest probability and `p_c` that of class `c`, both from
/// `1 / classes`: threshold `t * p_c / max p`, at least `floor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FreematchSpec {
    /// The lowest threshold. Without one, background would push small organs towards 0.
    pub floor: f64,
    /// Weight of the past in the running means, per update.
    pub momentum: f64,
}

impl Default for FreematchSpec {
    fn default() -> Self {
        Self {
            floor: 0.5,
            momentum: 0.999,
        }
    }
}

impl ThresholdSpec {
    /// The confidence that [`probability_stats`](super::pseudo_label::probability_stats) should
    /// count as confident for this rule.
    pub fn confident_at(&self) -> f64 {
        match self {
            Self::Fixed(threshold) => *threshold,
            Self::Flexmatch(spec) => spec.ceiling,
            Self::Freematch(_) => 0.95,
        }
    }

    /// **Errors** one sentence when a number is outside its range.
    pub fn check(&self) -> Result<(), String> {
        let within = |field: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("`{field}` is {value}, expected {low} to {high}"))
            }
        };
        match self {
            Self::Fixed(threshold) => within("fixed", *threshold, 0.0, 1.0),
            Self::Flexmatch(spec) => {
                within("ceiling", spec.ceiling, 0.0, 1.0)?;
                within("floor", spec.floor, 0.0, spec.ceiling)?;
                within("momentum", spec.momentum, 0.0, 1.0)
            }
            Self::Freematch(spec) => {
                within("floor", spec.floor, 0.0, 1.0)?;
                within("momentum", spec.momentum, 0.0, 1.0)
            }
        }
    }
}

/// The thresholds of a run: a rule and what it has seen so far.
///
/// The state is f32 so that it comes back exactly from any text or binary format, and a resumed
/// run continues with the very numbers of the interrupted one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    spec: ThresholdSpec,
    /// Running mean of the largest probability.
    confidence: f32,
    /// Running mean of each class's probability.
    probability: Vec<f32>,
    /// Running share of voxels confidently of each class.
    confident: Vec<f32>,
}

impl Thresholds {
    /// The state before the first update: `1 / classes` for the means, 0 for the shares.
    pub fn new(spec: ThresholdSpec, classes: usize) -> Self {
        let uniform = 1.0 / classes.max(1) as f32;
        Self {
            spec,
            confidence: uniform,
            probability: vec![uniform; classes],
            confident: vec![0.0; classes],
        }
    }

    /// The rule.
    pub fn spec(&self) -> &ThresholdSpec {
        &self.spec
    }

    /// Takes in one prediction of the teacher. Classes beyond those of [`new`](Self::new) are not kept.
    pub fn update(&mut self, stats: &ProbabilityStats) {
        let momentum = match &self.spec {
            ThresholdSpec::Fixed(_) => return,
            ThresholdSpec::Flexmatch(spec) => spec.momentum,
            ThresholdSpec::Freematch(spec) => spec.momentum,
        };
        let follow = |past: &mut f32, now: f64| {
            *past = (momentum * f64::from(*past) + (1.0 - momentum) * now) as f32;
        };
        follow(&mut self.confidence, stats.mean_confidence);
        for (past, &now) in self.probability.iter_mut().zip(&stats.mean_probability) {
            follow(past, now);
        }
        for (past, &now) in self.confident.iter_mut().zip(&stats.confident_fraction) {
            follow(past, now);
        }
    }

    /// The mean of what several devices have seen by one rule.
    #[must_use]
    pub fn mean(all: &[&Self]) -> Option<Self> {
        let (first, count) = (all.first()?, all.len() as f64);
        let of = |value: &dyn Fn(&Self) -> f32| {
            (all.iter().map(|t| f64::from(value(t))).sum::<f64>() / count) as f32
        };
        let each = |values: fn(&Self) -> &Vec<f32>| -> Vec<f32> {
            (0..values(first).len())
                .map(|i| of(&|t| values(t)[i]))
                .collect()
        };
        Some(Self {
            spec: first.spec.clone(),
            confidence: of(&|t| t.confidence),
            probability: each(|t| &t.probability),
            confident: each(|t| &t.confident),
        })
    }

    /// The threshold of each class.
    pub fn current(&self) -> Vec<f32> {
        let largest = |values: &[f32]| values.iter().copied().map(f64::from).fold(0.0, f64::max);
        match &self.spec {
            ThresholdSpec::Fixed(threshold) => vec![*threshold as f32; self.probability.len()],
            ThresholdSpec::Flexmatch(spec) => {
                let unlearnt = 1.0 - self.confident.iter().copied().map(f64::from).sum::<f64>();
                let most = largest(&self.confident).max(unlearnt);
                let rule = |&share: &f32| {
                    let learnt = f64::from(share) / most;
                    (spec.ceiling * learnt / (2.0 - learnt)).max(spec.floor) as f32
                };
                self.confident.iter().map(rule).collect()
            }
            ThresholdSpec::Freematch(spec) => {
                let most = largest(&self.probability).max(f64::MIN_POSITIVE);
                let rule = |&probability: &f32| {
                    let relative = f64::from(probability) / most;
                    (f64::from(self.confidence) * relative).max(spec.floor) as f32
                };
                self.probability.iter().map(rule).collect()
            }
        }
    }
}
