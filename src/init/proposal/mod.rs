//! What a fingerprint suggests: each value with the reason that is beside it in the file.
//!
//! **Source** the rules are nnU-Net's (Isensee et al., Nature Methods 2021; nnU-Net v2,
//! `experiment_planning`) where nothing else is said.

pub mod classes;
mod intensity;
pub mod network;
pub mod normalisation;
pub mod parts;
pub mod regions;
pub mod spacing;

use super::fingerprint::Fingerprint;
use super::layout::Layout;
use classes::Classes;
use network::NetworkPlan;
use normalisation::Normalisation;
use parts::Parts;
use spacing::Spacing;

/// Everything that is proposed for a data set.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The grid that all volumes are brought to.
    pub spacing: Spacing,
    /// How each modality is normalised, in the order of the source.
    pub normalisation: Vec<Normalisation>,
    /// Why the air around the body is cut away; `None` if it is not.
    pub crop: Option<String>,
    /// The classes; `None` without label maps.
    pub classes: Option<Classes>,
    /// Patch, network and batch.
    pub network: NetworkPlan,
    /// Division of the cohort.
    pub parts: Parts,
}

impl Proposal {
    /// The proposal for a training that may take so many bytes of memory.
    pub fn new(layout: &Layout, print: &Fingerprint, memory: u64) -> Self {
        let spacing = Spacing::new(print);
        let classes = Classes::new(layout, print);
        let count = classes.as_ref().map_or(2, |c| c.names.len());
        let network = NetworkPlan::new(&spacing, count, print, memory);
        Self {
            normalisation: intensity::normalisation(print),
            crop: intensity::crop(print),
            parts: Parts::new(layout, print),
            spacing,
            classes,
            network,
        }
    }
}

#[cfg(test)]
mod tests;
