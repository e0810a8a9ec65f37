//! The weights that a training begins with, where its author names some.

use super::failure::causes;
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::sections::{InitialSection, TrainSection};
use crate::train::{TrainError, checkpoint};
use candle_core::Tensor;

/// The weights that a section begins with: tensors and what to leave out of them.
pub struct Initial<'a> {
    from: &'a str,
    skip: &'a [String],
    weights: Vec<(String, Tensor)>,
}

impl<'a> Initial<'a> {
    /// Those that the section names; `None` where they are drawn.
    ///
    /// **Errors** where the file is none, or its path names a variable that is not set.
    pub fn read(plan: &Plan, section: &'a TrainSection) -> Result<Option<Self>, Error> {
        let Some(InitialSection { from, skip }) = &section.initial else {
            return Ok(None);
        };
        let path = crate::source::resolve_path(from, &plan.file.folder())?;
        let weights = checkpoint::weights(&path)?;
        Ok(Some(Self {
            from,
            skip,
            weights,
        }))
    }

    /// Gives them to a trainer; `begin` says how many it took, and of how many.
    ///
    /// **Errors** name the file and every tensor that does not fit.
    pub fn give(
        self,
        begin: impl FnOnce(Vec<(String, Tensor)>, &[String]) -> Result<(usize, usize), TrainError>,
    ) -> Result<(), Error> {
        let from = self.from;
        let (taken, all) = begin(self.weights, self.skip)
            .map_err(|e| Error::run(format!("`train.initial.from: {from}`: {}", causes(&e))))?;
        tracing::info!(from, taken, all, "initial tensors");
        Ok(())
    }
}
