//! Gradients that gather beside candle's graph.
//!
//! An operator of candle returns gradients of its inputs alone, three at most. A node that holds several
//! layers leaves those of its weights here, where [`Gradients`](super::gradients::Gradients) finds them.

use super::inplace::Blend;
use candle_core::{DType, Result, Tensor, TensorId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// Gradients of weights that the backward pass under way found, by weight.
#[derive(Clone, Default)]
pub(crate) struct Beside {
    found: Arc<Mutex<HashMap<TensorId, Tensor>>>,
}

impl Beside {
    /// What was found since the last call.
    pub(crate) fn take(&self) -> HashMap<TensorId, Tensor> {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a gradient of the weight `id`, in f32; the tensor must be nobody else's.
    ///
    /// **Errors** where the shapes of two gradients differ, or the device refuses.
    pub(crate) fn add(&self, id: TensorId, gradient: &Tensor) -> Result<()> {
        // Candle leaves the graph it came through on a gradient: kept, it would keep the activations.
        let gradient = gradient.detach().to_dtype(DType::F32)?.contiguous()?;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match found.entry(id) {
            Entry::Occupied(sum) => sum.get().inplace_op2(&gradient, &Blend::SUM),
            Entry::Vacant(place) => {
                place.insert(gradient);
                Ok(())
            }
        }
    }
}
