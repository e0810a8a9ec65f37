//! How intensities are normalised, by modality.

mod phase;

use super::normalisation::{Normalisation, NormalisationStep};
use crate::init::fingerprint::{Fingerprint, Intensity, moments};
use crate::init::numbers::{median, short};
use crate::kernel::percentile::percentiles;

/// Images with a larger share of exact zeros, in %, are masked: air was set to 0.
const MASKED: f64 = 25.0;

/// More negative values among those that are not 0 than this share are tissue; fewer are what a spline leaves
/// beside the edge of a mask (up to 0.01 in brain MR that was resampled behind skull stripping).
const UNDERSHOOT: f64 = 0.05;

/// No other modality than CT has values this low: air is -1000 HU.
const AIR_HU: f64 = -500.0;

/// **Law** CT has one scale for all subjects: clipped to the 0.5th and 99.5th percentile of the pooled
/// foreground, minus its mean, divided by its standard deviation. An MR phase is a circle, whose ends are one
/// value: scaled, never clipped. Anything else has a scale of its own in each image: z-score, over voxels that
/// are not 0 where images are masked.
pub(super) fn normalisation(print: &Fingerprint) -> Vec<Normalisation> {
    let of_modality = |modality: &String| of_modality(print, modality);
    print.modalities.iter().map(of_modality).collect()
}

/// Median share of exact zeros, in %, of all sampled images: a mask is that of a subject, whatever the
/// modality. NaN if no voxel was sampled.
fn zero_percent(print: &Fingerprint, is_counted: impl Fn(&Intensity) -> bool) -> f64 {
    let figures = print.volumes.iter().filter_map(|v| v.intensity.as_ref());
    let share = |f: &Intensity| {
        if is_counted(f) {
            100.0 * f.zero_share
        } else {
            0.0
        }
    };
    median(&mut figures.map(share).collect::<Vec<f64>>())
}

fn of_modality(print: &Fingerprint, modality: &str) -> Normalisation {
    let figures: Vec<&Intensity> = print
        .images(modality)
        .filter_map(|v| v.intensity.as_ref())
        .collect();
    if let Some(normalisation) = phase::normalisation(modality, &figures) {
        return normalisation;
    }
    let named = is_ct_name(modality);
    let mut lows: Vec<f64> = figures
        .iter()
        .map(|f| f.range[0])
        .filter(|v| v.is_finite())
        .collect();
    let low = median(&mut lows);
    let pooled: Vec<f32> = figures
        .iter()
        .flat_map(|f| f.foreground.iter().copied())
        .collect();
    let window = percentiles(&pooled, f32::is_finite, &[0.5, 99.5]).zip(moments(&pooled));
    if let (true, Some((ends, [mean, sd]))) = (named || low <= AIR_HU, window)
        && ends[0] < ends[1]
        && sd > 0.0
    {
        let range = [ends[0].round(), ends[1].round()];
        let to = range.map(|end| ((end - mean) / sd * 100.0).round() / 100.0);
        if range[0] < range[1] && to[0] < to[1] {
            let why = match named {
                true => "CT, by its name".to_owned(),
                false => format!("values from {} on, as Hounsfield units have", short(low)),
            };
            let place = match figures.iter().all(|f| f.inside_labels) {
                true => "inside the labels",
                false => "of the foreground",
            };
            return Normalisation {
                modality: modality.to_owned(),
                step: NormalisationStep::Window { range, to },
                reason: format!(
                    "{why}: 0.5th and 99.5th percentile {place} of {} subjects; mean {} becomes 0, standard deviation {} becomes 1",
                    figures.len(),
                    short(mean),
                    short(sd)
                ),
            };
        }
    }
    // Exact zeros are a mask whatever the sign of the values in it.
    let share = zero_percent(print, |_| true);
    let nonzero = share >= MASKED;
    let reason = match (figures.is_empty(), nonzero) {
        (true, _) => "no voxel was sampled; each image has a scale of its own".to_owned(),
        (_, true) => format!(
            "no common scale; {} % of the voxels are exactly 0, so those are left out",
            short(share)
        ),
        (_, false) => "no common scale: mean 0 and standard deviation 1 of each image".to_owned(),
    };
    Normalisation {
        modality: modality.to_owned(),
        step: NormalisationStep::Zscore { nonzero },
        reason,
    }
}

fn is_ct_name(modality: &str) -> bool {
    let lower = modality.to_lowercase();
    let mut words = lower.split(['_', '-']);
    words.any(|word| ["ct", "cta", "cect", "ncct", "cbct", "ldct"].contains(&word))
}

/// Why the air around the body is cut away: volumes are smaller, and no patch is of air alone. The crop
/// keeps what is above 0, so images with negative tissue do not count as masked here.
pub(super) fn crop(print: &Fingerprint) -> Option<String> {
    let is_positive = |f: &Intensity| f.negative_share <= UNDERSHOOT * (1.0 - f.zero_share);
    let share = zero_percent(print, is_positive);
    (share >= MASKED).then(|| {
        format!(
            "{} % of the voxels are exactly 0; none of it is body",
            short(share)
        )
    })
}
