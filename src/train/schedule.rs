//! The learning rate over a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate falls after its warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine to zero (Loshchilov and Hutter 2017, eq. 5).
    #[default]
    Cosine,
    /// A power of 0.9 of the steps that are left (Chen et al. 2018; nnU-Net).
    Polynomial,
}

/// Linear warm-up, then the schedule to zero.
///
/// **Law** with warm-up steps w of n: `lr (s + 1) / w` while `s < w`, so that the first step already
/// trains; then, with `t = (s - w) / (n - w)`, `lr (1 + cos(pi t)) / 2` or `lr (1 - t)^0.9`.
pub fn learning_rate(step: u64, steps: u64, lr: f64, warmup: f64, schedule: Schedule) -> f64 {
    let warm = (warmup.clamp(0.0, 1.0) * steps as f64).round();
    let step = step as f64;
    if step < warm {
        return lr * (step + 1.0) / warm;
    }
    let rest = (steps as f64 - warm).max(1.0);
    let done = (step - warm) / rest;
    match schedule {
        Schedule::Cosine => lr * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        Schedule::Polynomial => lr * (1.0 - done).powf(0.9),
    }
}

#[cfg(test)]
mod tests {
    use super::{Schedule, learning_rate};

    #[test]
    fn it_rises_then_falls_to_zero() {
        let rate = |s| learning_rate(s, 100, 1.0, 0.1, Schedule::Cosine);
        assert_eq!(rate(0), 0.1);
        assert_eq!(rate(9), 1.0);
        assert_eq!(rate(10), 1.0);
        assert!((rate(55) - 0.5).abs() < 1e-12);
        assert!(rate(99) < 0.001 && rate(99) > 0.0);
        assert_eq!(learning_rate(0, 10, 1.0, 0.0, Schedule::Cosine), 1.0);
        let rate = |s| learning_rate(s, 100, 2.0, 0.0, Schedule::Polynomial);
        assert_eq!(rate(0), 2.0);
        assert!((rate(50) - 2.0 * 0.5f64.powf(0.9)).abs() < 1e-12);
        assert!(rate(99) > 0.0 && rate(99) < 0.04);
    }
}
