//! The section `train.optimizer`.

use crate::nn::adamw::AdamWConfig;
use crate::nn::optimizer::OptimizerConfig;
use crate::nn::sgd::SgdConfig;
use crate::train::schedule::Schedule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which optimiser.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerMethod {
    /// AdamW (Loshchilov and Hutter 2019); weight decay is decoupled.
    #[default]
    Adamw,
    /// SGD with Nesterov's momentum, as nnU-Net trains; weight decay is part of the gradient.
    Sgd,
}

/// Optimiser with a linear warm-up of its learning rate, which then falls to zero.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSection {
    /// Which optimiser.
    #[serde(default)]
    pub method: OptimizerMethod,
    /// Decay of the velocity of `sgd`, 0.99 where none is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub momentum: Option<f64>,
    /// How the learning rate falls after its warm-up.
    #[serde(default)]
    pub schedule: Schedule,
    /// Largest learning rate.
    #[serde(default = "default_lr")]
    pub lr: f64,
    /// Weight decay; norm scales, shifts and biases are left out.
    #[serde(default = "default_decay")]
    pub weight_decay: f64,
    /// Fraction of the steps over which the rate grows from zero (the first step already trains).
    #[serde(default = "default_warmup")]
    pub warmup: f64,
}

fn default_lr() -> f64 {
    1e-3
}

fn default_decay() -> f64 {
    1e-4
}

fn default_warmup() -> f64 {
    0.05
}

impl OptimizerSection {
    /// Checks the constants.
    ///
    /// **Errors** with what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        if let (Some(momentum), OptimizerMethod::Adamw) = (self.momentum, self.method) {
            return Err(format!(
                "`momentum: {momentum}` belongs to `method: sgd`; remove it or choose `sgd`"
            ));
        }
        let momentum = self.momentum.unwrap_or(0.0);
        if !(0.0..1.0).contains(&momentum) {
            return Err(format!("`momentum` is {momentum}, expected 0 to below 1"));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(format!(
                "`weight_decay` is {}, expected 0 or a positive number",
                self.weight_decay
            ));
        }
        if !(0.0..1.0).contains(&self.warmup) {
            return Err(format!(
                "`warmup` is {}, expected a share of the steps, 0 to below 1",
                self.warmup
            ));
        }
        match self.lr.is_finite() && self.lr > 0.0 {
            true => Ok(()),
            false => Err(format!("`lr` is {}, expected a positive number", self.lr)),
        }
    }

    /// The optimiser with its constants.
    pub fn config(&self) -> OptimizerConfig {
        match self.method {
            OptimizerMethod::Adamw => OptimizerConfig::AdamW(AdamWConfig {
                lr: self.lr,
                weight_decay: self.weight_decay,
                ..AdamWConfig::default()
            }),
            OptimizerMethod::Sgd => OptimizerConfig::Sgd(SgdConfig {
                momentum: self.momentum.unwrap_or(SgdConfig::default().momentum),
                weight_decay: self.weight_decay,
            }),
        }
    }
}

impl Default for OptimizerSection {
    fn default() -> Self {
        Self {
            method: OptimizerMethod::default(),
            momentum: None,
            schedule: Schedule::default(),
            lr: default_lr(),
            weight_decay: default_decay(),
            warmup: default_warmup(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_belong_to_their_method() {
        let sgd = OptimizerSection {
            method: OptimizerMethod::Sgd,
            ..OptimizerSection::default()
        };
        let OptimizerConfig::Sgd(config) = sgd.config() else {
            panic!("the method is sgd");
        };
        assert_eq!((config.momentum, config.weight_decay), (0.99, 1e-4));
        sgd.check().unwrap();
        let refused = |momentum, method, lr| {
            let section = OptimizerSection {
                momentum,
                method,
                lr,
                ..OptimizerSection::default()
            };
            section.check().unwrap_err()
        };
        let text = refused(Some(0.9), OptimizerMethod::Adamw, 0.1);
        assert!(text.contains("belongs to `method: sgd`"), "{text}");
        assert!(refused(Some(1.0), OptimizerMethod::Sgd, 0.1).contains("expected 0 to below 1"));
        assert!(refused(None, OptimizerMethod::Sgd, -1.0).contains("expected a positive number"));
    }
}
