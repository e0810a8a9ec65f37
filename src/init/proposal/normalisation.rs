//! A proposed normalisation of a modality.

/// How a modality is normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    /// The modality.
    pub modality: String,
    /// The step.
    pub step: NormalisationStep,
    /// Why.
    pub reason: String,
}

/// A step that normalises.
#[derive(Debug, Clone, PartialEq)]
pub enum NormalisationStep {
    /// Clips to `range`, whose ends become `to`.
    Window {
        /// Lower and upper end, in the image's units.
        range: [f64; 2],
        /// What they become, in standard deviations of the foreground.
        to: [f64; 2],
    },
    /// Mean 0 and standard deviation 1 of each image.
    Zscore {
        /// Whether only voxels that are not 0 count.
        nonzero: bool,
    },
}
