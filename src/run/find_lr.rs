//! A sweep over learning rates: where the loss falls, and where it begins to rise.

use super::counters::Counters;
use super::feed::{Feed, Positions, TrainingSubjects, trainer_config};
use super::initial::Initial;
use super::options::RunOptions;
use super::prepare::Preparer;
use crate::error::Error;
use crate::plan::Plan;
use crate::source::Cohort;
use crate::train::TrainError;
use crate::train::trainer::Trainer;
use serde::Serialize;
use std::sync::Arc;

/// Decay of the running mean that ends a sweep.
const MEMORY: f64 = 0.9;

/// A sweep ends where the running mean is this many times its least.
const RISEN: f64 = 3.0;

/// Which learning rates are tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sweep {
    /// First learning rate.
    pub from: f64,
    /// Last one.
    pub to: f64,
    /// Steps between them, at equal factors.
    pub steps: u32,
}

/// One step of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tried {
    /// Learning rate of the step.
    pub lr: f64,
    /// Loss before it.
    pub loss: f64,
    /// Mean of the losses around it.
    pub smoothed: f64,
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// Every step, in order.
    pub tried: Vec<Tried>,
    /// Learning rate at which the smoothed loss fell fastest by factor; `None` where it never fell.
    pub steepest: Option<f64>,
    /// Learning rate at the least smoothed loss.
    pub lowest: Option<f64>,
    /// What to write into `train.optimizer.lr`: a tenth of `lowest`, but at most `steepest`; `None`
    /// where the loss never fell.
    pub suggested: Option<f64>,
    /// Whether the loss rose in the end: without it the range was too short to know the limit.
    pub rose: bool,
}

impl Sweep {
    /// Refuses ranges that are none.
    ///
    /// **Errors** say what was found and what is expected.
    pub fn check(&self) -> Result<(), Error> {
        let valid = |lr: f64| lr.is_finite() && lr > 0.0;
        if valid(self.from) && valid(self.to) && self.from < self.to && self.steps >= 10 {
            return Ok(());
        }
        Err(Error::run(format!(
            "a sweep from {} to {} in {} steps; expected two positive learning rates, the lower one first, and 10 steps or more",
            self.from, self.to, self.steps
        )))
    }

    /// Learning rate of step `i`, from 0.
    fn lr(&self, i: u32) -> f64 {
        let share = f64::from(i) / f64::from(self.steps - 1);
        self.from * (self.to / self.from).powf(share)
    }
}

/// What losses at rising learning rates say; `rose` where the sweep ended because of its last ones.
///
/// **Law** losses are smoothed by their mean over a twentieth of the steps, at least one, to either
/// side; the slope of a step is that between its neighbours. The loss rose if it ends above its
/// least by more than a quarter of what it had fallen.
///
/// **Source** Smith 2017, «Cyclical learning rates for training neural networks», section 3.3.
pub fn judge(losses: &[(f64, f64)], rose: bool) -> Findings {
    let reach = (losses.len() / 20).max(1);
    let around = |i: usize| {
        let near = &losses[i.saturating_sub(reach)..(i + reach + 1).min(losses.len())];
        near.iter().map(|(_, loss)| loss).sum::<f64>() / near.len() as f64
    };
    let tried: Vec<Tried> = (losses.iter().enumerate())
        .map(|(i, &(lr, loss))| Tried {
            lr,
            loss,
            smoothed: around(i),
        })
        .collect();
    let of = |i: usize| tried[i].smoothed;
    let lowest = (0..tried.len()).min_by(|a, b| of(*a).total_cmp(&of(*b)));
    let slope = |i: &usize| (of(i + 1) - of(i - 1)) / (tried[i + 1].lr / tried[i - 1].lr).ln();
    let steepest = (1..lowest.unwrap_or(0)).min_by(|a, b| slope(a).total_cmp(&slope(b)));
    let steepest = steepest.filter(|i| slope(i) < 0.0).map(|i| tried[i].lr);
    let ends_high = lowest.is_some_and(|l| {
        let (first, least, last) = (of(0), of(l), of(tried.len() - 1));
        last - least > 0.25 * (first - least)
    });
    let lowest = lowest.map(|i| tried[i].lr);
    Findings {
        suggested: match (steepest, lowest) {
            (Some(steepest), Some(lowest)) => Some((lowest / 10.0).min(steepest)),
            _ => None,
        },
        tried,
        steepest,
        lowest,
        rose: rose || ends_high,
    }
}

/// Trains the network that the pipeline begins with on the pipeline's own stream, each step at a
/// higher learning rate, and keeps nothing.
///
/// Weights of the objective's terms are those of the beginning of the training; `report` receives the
/// learning rate and the loss of every step.
///
/// **Errors** when the pipeline has no `train`, the sweep is none, or the stream has no subject.
pub fn find_lr(
    plan: Plan,
    cohort: Box<dyn Cohort>,
    options: &RunOptions,
    sweep: Sweep,
    mut report: impl FnMut(f64, f64),
) -> Result<Findings, Error> {
    sweep.check()?;
    let (plan, cohort): (Arc<Plan>, Arc<dyn Cohort>) = (Arc::new(plan), Arc::from(cohort));
    let Some((section, _)) = &plan.pipeline.train else {
        return Err(Error::run(
            "this pipeline has no `train`; a learning rate belongs to a training",
        ));
    };
    let counters = Counters::default();
    let memory = options.take_memory(&plan);
    let preparer = Arc::new(Preparer::new(&plan, cohort, memory, &counters)?);
    let subjects = TrainingSubjects::new(&preparer, section, options.limit)?;
    let modalities = preparer.cohort().modalities().to_vec();
    let mut feed = Feed::start(
        &plan,
        &preparer,
        section,
        subjects,
        Positions::default(),
        (options.threads(), memory / 2),
        &counters,
    )?;
    let config = trainer_config(&plan, section, &modalities);
    let mut trainer = Trainer::new(config, &options.device.open()?)?;
    if let Some(initial) = Initial::read(&plan, section)? {
        initial.give(|weights, skip| trainer.begin_with(&weights, skip))?;
    }
    trainer.hold_weights();
    let (mut losses, mut rose): (Vec<(f64, f64)>, bool) = (Vec::new(), false);
    let (mut mean, mut least) = (0.0, f64::INFINITY);
    for i in 0..sweep.steps {
        let lr = sweep.lr(i);
        let loss = match trainer.train_at(&feed.step()?, lr) {
            Ok(figures) => figures[0].value,
            // Too high a rate: just what is looked for.
            Err(TrainError::NotFinite { .. }) => {
                rose = true;
                break;
            }
            Err(e) => return Err(e.into()),
        };
        losses.push((lr, loss));
        mean = MEMORY * mean + (1.0 - MEMORY) * loss;
        let smoothed = mean / (1.0 - MEMORY.powi(i as i32 + 1));
        report(lr, loss);
        least = least.min(smoothed);
        if i >= sweep.steps / 10 && smoothed > RISEN * least {
            rose = true;
            break;
        }
    }
    for failure in preparer.failures() {
        tracing::warn!(subject = %failure.subject, stage = %failure.stage, cause = %failure.cause, "subject failed");
    }
    Ok(judge(&losses, rose))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: Sweep = Sweep {
        from: 1e-5,
        to: 1.0,
        steps: 101,
    };

    #[test]
    fn rates_rise_by_one_factor_from_end_to_end() {
        assert!((SWEEP.lr(0) - 1e-5).abs() < 1e-18 && (SWEEP.lr(100) - 1.0).abs() < 1e-12);
        let factor = SWEEP.lr(1) / SWEEP.lr(0);
        assert!((SWEEP.lr(51) / SWEEP.lr(50) - factor).abs() < 1e-12);
    }

    /// Flat, falls about 1e-2, rises from 0.1 on.
    fn losses(lr: f64) -> f64 {
        let fall = 1.0 / (1.0 + (3.0 * (lr / 1e-2).ln()).exp());
        0.3 + fall + 20.0 * (lr - 0.1).max(0.0)
    }

    #[test]
    fn the_suggestion_lies_where_the_loss_falls() {
        let made: Vec<(f64, f64)> = (0..101)
            .map(|i| (SWEEP.lr(i), losses(SWEEP.lr(i))))
            .collect();
        let found = judge(&made, true);
        let (steepest, lowest) = (found.steepest.unwrap(), found.lowest.unwrap());
        assert!((8e-3..1.3e-2).contains(&steepest), "{steepest}");
        assert!((0.05..0.11).contains(&lowest), "{lowest}");
        assert_eq!(found.suggested, Some(lowest / 10.0));
        // Told by the losses themselves, too, and not where the sweep ends in the valley.
        assert!(judge(&made, false).rose && !judge(&made[..80], false).rose);
    }

    #[test]
    fn a_loss_that_only_rises_suggests_nothing() {
        let made: Vec<(f64, f64)> = (0..50).map(|i| (SWEEP.lr(i), f64::from(i))).collect();
        let found = judge(&made, true);
        assert_eq!((found.steepest, found.suggested), (None, None));
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        let text = Sweep { to: 1e-6, ..SWEEP }.check().unwrap_err().to_string();
        assert!(text.contains("from 0.00001 to 0.000001"), "{text}");
        assert!(Sweep { steps: 9, ..SWEEP }.check().is_err());
    }
}
