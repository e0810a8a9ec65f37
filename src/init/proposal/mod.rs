//! What a fingerprint suggests: each value with the reason that is beside it in the file.
//!
//! **Source** the rules are nnU-Net's (Isensee et al., Nature Methods 2021; nnU-Net v2,
//! `experiment_planning`) where nothing else is said.

pub mod classes;
pub mod intensity;
pub mod network;
pub mod parts;
pub mod spacing;

use super::fingerprint::Fingerprint;
use super::layout::Layout;
use classes::Classes;
use intensity::Normalisation;
use network::NetworkPlan;
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

/// The middle of values in order, halfway between two; NaN for none.
pub(in crate::init) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50.0)
}

/// A percentile as NumPy's default: mixed linearly between two values. NaN for none.
fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = percent / 100.0 * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    values[below] + (values[above] - values[below]) * (position - below as f64)
}

/// A number with as many digits as it needs: `1`, `0.94`, `1.44`.
pub(in crate::init) fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Three numbers as text: `1 x 1 x 3`.
pub(in crate::init) fn by_axis(values: [f64; 3]) -> String {
    values.map(short).join(" x ")
}

#[cfg(test)]
mod tests;
