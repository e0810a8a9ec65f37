//! What a pipeline is for.

use super::fingerprint::Fingerprint;
use super::layout::Layout;
use super::proposal::parts::Parts;
use clap::ValueEnum;

/// What the pipeline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Bring all volumes to one grid and one scale, and keep them.
    Prepare,
    /// Train on labelled subjects.
    Supervised,
    /// Train on few labelled subjects and many without labels, by bidirectional copy-paste (BCP).
    SemiSupervised,
    /// Train one network for several modalities, any of which may be missing (CMC).
    Cmc,
    /// Predict with a trained network.
    Predict,
}

impl Template {
    /// The name on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |v| v.get_name().to_owned())
    }

    /// The template for a data set: `supervised` with labels, `semi-supervised` if most subjects have
    /// none, `prepare` without any.
    pub fn choose(layout: &Layout, print: &Fingerprint) -> Self {
        let parts = Parts::new(layout, print);
        match (parts.train, parts.unlabelled) {
            (0, _) => Self::Prepare,
            (_, unlabelled) if unlabelled > parts.train_subjects => Self::SemiSupervised,
            _ => Self::Supervised,
        }
    }
}
