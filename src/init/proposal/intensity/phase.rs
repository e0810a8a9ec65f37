//! The phase of MR images.

use crate::init::fingerprint::Intensity;
use crate::init::numbers::{median, short};
use crate::init::proposal::normalisation::{Normalisation, NormalisationStep};

/// The ends of a circle differ from minus each other by no more than this share of it.
const SYMMETRIC: f64 = 0.02;

/// Percentiles 1 and 99 of a phase reach this share of its ends: where it wraps, values are at both.
const REACHED: f64 = 0.75;

/// Images have one circle if its length differs by no more than this share.
const SAME_CIRCLE: f64 = 0.05;

/// Half a circle whose values are spread evenly, in its standard deviations: the square root of 3.
const HALF_IN_SD: f64 = 1.73;

/// How a phase is normalised; `None` for anything else.
///
/// **Law** A modality is a phase by its name, or if its range is symmetric and values reach both ends. The
/// circle that all images share is scaled to [-1.73, 1.73]; a circle of each scanner is z-scored.
pub(super) fn normalisation(modality: &str, figures: &[&Intensity]) -> Option<Normalisation> {
    let named = is_phase_name(modality);
    let circular = figures.iter().filter(|f| is_circular(f)).count();
    if figures.is_empty() || !(named || 2 * circular > figures.len()) {
        return None;
    }
    let why = match named {
        true => "phase, by its name",
        false => "a phase: its range is symmetric, and values reach both ends",
    };
    let ends = |of: fn(&Intensity) -> f64| -> f64 {
        median(&mut figures.iter().map(|f| of(f)).collect::<Vec<_>>())
    };
    let (low, high) = (ends(|f| f.range[0]), ends(|f| f.range[1]));
    let length = high - low;
    let fits = |f: &&Intensity| (f.range[1] - f.range[0] - length).abs() <= SAME_CIRCLE * length;
    let half = outwards(low.abs().max(high.abs()));
    let range = match is_symmetric(low, high) {
        true => [-half, half],
        false => [-outwards(-low), outwards(high)],
    };
    let is_one = length > 0.0 && figures.iter().all(fits) && range[0] < range[1];
    let (step, reason) = match is_one {
        true => (
            NormalisationStep::Window {
                range,
                to: [-HALF_IN_SD, HALF_IN_SD],
            },
            format!(
                "{why}; its circle from {} to {} becomes mean 0 and standard deviation 1 where values are spread evenly",
                short(range[0]),
                short(range[1])
            ),
        ),
        false => (
            NormalisationStep::Zscore { nonzero: false },
            format!("{why}; its range differs between images, so each has a scale of its own"),
        ),
    };
    Some(Normalisation {
        modality: modality.to_owned(),
        step,
        reason,
    })
}

fn is_symmetric(low: f64, high: f64) -> bool {
    low < 0.0 && (low + high).abs() <= SYMMETRIC * (high - low)
}

/// CT that was cut symmetrically, or padded with -3024, has hardly a voxel near its upper end.
fn is_circular(figures: &Intensity) -> bool {
    let [low, high] = figures.range;
    let [first, last] = figures.ends;
    is_symmetric(low, high) && first <= REACHED * low && last >= REACHED * high
}

/// The next whole number away from 0; of a phase in radians the next in the fourth digit.
fn outwards(value: f64) -> f64 {
    let scale = if value.abs() < 100.0 { 1e4 } else { 1.0 };
    (value * scale).ceil() / scale
}

fn is_phase_name(modality: &str) -> bool {
    let lower = modality.to_lowercase();
    let mut words = lower.split(['_', '-']);
    words.any(|word| ["phase", "pha", "ph", "phasediff", "phs"].contains(&word))
}
