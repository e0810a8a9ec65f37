//! How a term's weight grows over training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A weight that starts late and rises smoothly; all times are fractions of the whole training.
///
/// **Law** 0 before `start`; then `weight * exp(-5 (1 - x)²)` with `x` going from 0 to 1 over the
/// fraction `ramp`; `weight` afterwards.
///
/// **Source** Laine & Aila 2017 (temporal ensembling).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ramp {
    /// The final weight.
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// When the term starts, as a fraction of training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub start: f64,
    /// How long it rises, as a fraction of training; 0 means the full weight at once.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ramp: f64,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            weight: 1.0,
            start: 0.0,
            ramp: 0.3,
        }
    }
}

impl Ramp {
    /// The same weight from the first step to the last.
    pub fn constant(weight: f64) -> Self {
        Self {
            weight,
            start: 0.0,
            ramp: 0.0,
        }
    }

    /// The weight at `progress`, the fraction of training that is done (0 at the first step).
    pub fn at(&self, progress: f64) -> f64 {
        if progress < self.start {
            return 0.0;
        }
        let since = progress - self.start;
        if since >= self.ramp {
            return self.weight;
        }
        let left = 1.0 - since / self.ramp;
        self.weight * (-5.0 * left * left).exp()
    }

    /// **Errors** one sentence when a number is outside its range.
    pub fn check(&self) -> Result<(), String> {
        if !self.weight.is_finite() || self.weight < 0.0 {
            return Err(format!("`weight` is {}, expected 0 or more", self.weight));
        }
        for (field, value) in [("start", self.start), ("ramp", self.ramp)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("`{field}` is {value}, expected 0 to 1"));
            }
        }
        Ok(())
    }
}
