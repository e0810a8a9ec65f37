//! What predicts label maps, for every job of a run.

use crate::train::infer::Window;
use crate::train::model::Model;
use crate::train::postprocessing::PostProcessing;

/// Networks, how they cover a volume, and what is done to their label maps.
#[derive(Clone, Copy)]
pub struct Inference<'a> {
    /// The networks, at least one: their probabilities are averaged.
    pub models: &'a [Model],
    /// How a volume is covered.
    pub window: Window,
    /// What is done to label maps.
    pub postprocessing: &'a PostProcessing,
    /// Whether scores are also computed with the largest component of every class alone.
    pub tries_largest: bool,
}

impl<'a> Inference<'a> {
    /// One network, whose label maps stay as they are.
    pub fn of(model: &'a Model, window: Window) -> Self {
        static NONE: PostProcessing = PostProcessing::NONE;
        Self {
            models: std::slice::from_ref(model),
            window,
            postprocessing: &NONE,
            tries_largest: false,
        }
    }

    /// The network that says what classes and heads are: all have the same.
    pub fn first(&self) -> &'a Model {
        &self.models[0]
    }
}
