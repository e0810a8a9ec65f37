//! Checks of a sliding window, for training and prediction.

use crate::spec::{At, SpecError};

/// Refuses a window of no voxels, or one that never moves on.
pub(super) fn window(window: Option<([usize; 3], f64)>, at: At, errors: &mut Vec<SpecError>) {
    if let Some((size, overlap)) = window
        && (size.contains(&0) || !(0.0..1.0).contains(&overlap))
    {
        let message = format!(
            "`window` of {size:?} voxels with overlap {overlap}: sizes start at 1, overlap lies from 0 to below 1"
        );
        errors.push(SpecError::new(at, message));
    }
}
