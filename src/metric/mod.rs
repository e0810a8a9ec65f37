//! How well a prediction agrees with the truth.
//!
//! Plain slices in, numbers out; nothing here depends on rows, files or networks.

pub mod crop;
pub mod dice;
pub mod figures;
pub mod lesion;
pub mod paired;
pub mod surface;
pub mod volume;

pub use dice::{ClassScore, Confusion, confusion, mean};
pub use figures::{
    ClassFigures, ClassUnion, Metric, MissedDistance, Wanted, figures, figures_of_union,
};
pub use paired::{Paired, paired};

/// Why two label maps cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The label maps have different sizes.
    #[error(
        "the prediction has {prediction} voxels, the truth {truth}; bring both onto one grid first"
    )]
    Length {
        /// Voxels of the prediction.
        prediction: usize,
        /// Voxels of the truth.
        truth: usize,
    },
    /// A label value outside the declared classes.
    #[error(
        "class {class} in the {of} at voxel {voxel}, expected 0 to {}; map the labels or declare more classes", classes - 1
    )]
    Class {
        /// The class number found.
        class: usize,
        /// `prediction` or `truth`.
        of: &'static str,
        /// Position in the buffer.
        voxel: usize,
        /// Number of classes declared, background included.
        classes: usize,
    },
}

/// Refuses label maps of different sizes.
fn same_length(prediction: usize, truth: usize) -> Result<(), MetricError> {
    if prediction == truth {
        Ok(())
    } else {
        Err(MetricError::Length { prediction, truth })
    }
}
