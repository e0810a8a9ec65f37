//! What one step reports: losses, gradient norm, learning rate, kept fractions.

use super::objective::csc::Similarity;
use super::objective::threshold::Thresholds;
use super::objective::{ObjectiveSpec, Term, Terms};
use candle_core::Tensor;

/// A figure of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is: `loss`, `loss_supervised`, `grad_norm`, `grad_norm_supervised`, `lr`, `kept_fraction`, `threshold`.
    pub name: &'static str,
    /// The class it belongs to.
    pub class: Option<String>,
    /// Its value.
    pub value: f64,
}

/// Sums of a step's figures over its batches and groups.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) terms: Terms<f64>,
    pub(super) total: f64,
    /// Voxels with a pseudo-label and predicted voxels of each class.
    pub(super) kept: Vec<(f64, f64)>,
    /// Norm of the gradient over all devices.
    pub(super) norm: f64,
    /// Norms of the terms' own gradients, where they were measured; the mean over all devices.
    pub(super) norms: Terms<Option<f64>>,
    /// How alike the modalities' channels are, where it was measured; that of the first device.
    pub(super) similarity: Option<Similarity>,
    pub(super) lr: f64,
    /// Losses that lie on the device.
    pub(super) unread: Vec<Unread>,
}

/// A loss that was not read from the device yet.
pub(super) struct Unread {
    /// `None` for the weighted sum of all.
    pub(super) term: Option<Term>,
    /// What it is multiplied by in the step's sums.
    pub(super) factor: f64,
    /// A scalar, without its graph.
    pub(super) loss: Tensor,
    /// The subjects of its batch.
    pub(super) subjects: Vec<String>,
}

impl Sums {
    /// Those of all devices together: losses are means, voxels are counted.
    pub(super) fn with(mut self, others: &[Self]) -> Self {
        let share = 1.0 / (others.len() + 1) as f64;
        let mean = |own: f64, of: &dyn Fn(&Self) -> f64| {
            share * (own + others.iter().map(of).sum::<f64>())
        };
        self.total = mean(self.total, &|s| s.total);
        for term in Term::ALL {
            self.terms[term] = mean(self.terms[term], &|s| s.terms[term]);
            let of_others = |s: &Self| s.norms[term].unwrap_or(0.0);
            self.norms[term] = self.norms[term].map(|own| mean(own, &of_others));
        }
        for other in others {
            for (own, more) in self.kept.iter_mut().zip(&other.kept) {
                *own = (own.0 + more.0, own.1 + more.1);
            }
        }
        self
    }

    /// The step's figures, of the terms that are active.
    pub(super) fn figures(
        &self,
        objective: &ObjectiveSpec,
        classes: &[String],
        thresholds: Option<&Thresholds>,
    ) -> Vec<Figure> {
        let sums = self;
        let mut figures = Vec::new();
        let mut push = |name, class: Option<&String>, value| {
            figures.push(Figure {
                name,
                class: class.cloned(),
                value,
            })
        };
        push("loss", None, sums.total);
        let ramps = objective.ramps();
        for term in Term::ALL.into_iter().filter(|t| ramps[*t].is_some()) {
            push(term.figure(), None, sums.terms[term]);
        }
        push("grad_norm", None, sums.norm);
        for term in Term::ALL {
            if let Some(norm) = sums.norms[term] {
                push(term.gradient_figure(), None, norm);
            }
        }
        if let Some(similarity) = sums.similarity {
            push("similarity_same_channel", None, similarity.same);
            push("similarity_other_channels", None, similarity.other);
        }
        push("lr", None, sums.lr);
        let drawn = sums.kept.iter().any(|(_, predicted)| *predicted > 0.0);
        if let Some(thresholds) = thresholds.filter(|_| drawn) {
            let kept = classes.iter().zip(&sums.kept);
            for ((class, (kept, predicted)), threshold) in kept.zip(thresholds.current()) {
                push("threshold", Some(class), f64::from(threshold));
                if *predicted > 0.0 {
                    push("kept_fraction", Some(class), kept / predicted);
                }
            }
        }
        figures
    }
}
