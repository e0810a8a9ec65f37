//! Landmarks of `histogram_standardize`, learned from the pipeline's own subjects.

use super::bench::{failed_all, no_thread, training_or_all};
use super::counters::Counters;
use super::options::RunOptions;
use super::prepare::Preparer;
use super::prepared_rows::prepared_rows;
use crate::error::Error;
use crate::plan::Plan;
use crate::source::Cohort;
use crate::stage::Stage;
use crate::stage::intensity::histogram_standardize::HistogramStandardize;
use crate::stage::intensity::zscore::Foreground;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What landmarks are made of.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Percentiles that get a landmark, rising, from 0 to 100.
    pub percentiles: Vec<f64>,
    /// Which voxels count for the percentiles.
    pub foreground: Foreground,
    /// Landmarks of the first and the last percentile.
    pub ends: [f64; 2],
}

/// What was learned.
#[derive(Debug)]
pub struct Learned {
    /// The step to write into the pipeline.
    pub step: HistogramStandardize,
    /// Images that each modality's landmarks are the mean of.
    pub images: BTreeMap<String, u64>,
    /// Subjects that failed.
    pub failed: usize,
}

/// Learns landmarks for every modality from the images that `stages` make; where the pipeline
/// trains, from those of its training subjects alone.
///
/// **Law** `s_i = mean over images of a + (b - a) (q_i - q_first) / (q_last - q_first)` with `q` an
/// image's percentiles over its foreground and `[a, b]` the ends of the scale. Images whose first
/// and last percentile are equal say nothing and are left out. **Source** Nyul and Udupa 1999,
/// section 3 (training).
///
/// **Errors** when the pipeline standardises already, percentiles or scale are none, no subject is
/// there, every subject fails, or a modality has no image to learn from.
pub fn landmarks(
    plan: Plan,
    cohort: Box<dyn Cohort>,
    options: &RunOptions,
    scale: &Scale,
) -> Result<Learned, Error> {
    check(&plan, scale)?;
    let (plan, cohort): (Arc<Plan>, Arc<dyn Cohort>) = (Arc::new(plan), Arc::from(cohort));
    let memory = options.take_memory(&plan);
    let preparer = Preparer::new(&plan, cohort, memory, &Counters::default())?;
    let preparer = Arc::new(preparer);
    let wanted = training_or_all(&plan, &preparer, options.limit)?;
    let mut means = BTreeMap::<String, (u64, Vec<f64>)>::new();
    let results = prepared_rows(&preparer, wanted, options.threads(), memory);
    for rows in results.map_err(no_thread)? {
        // The preparer reports a subject that failed.
        for row in rows.into_iter().flatten() {
            for image in &row.images {
                let found = image.volume.as_ref();
                let Some(found) = found.and_then(|v| on_scale(&v.to_f32(), scale)) else {
                    continue;
                };
                let (images, mean) = means
                    .entry(image.name.clone())
                    .or_insert_with(|| (0, vec![0.0; found.len()]));
                *images += 1;
                for (mean, landmark) in mean.iter_mut().zip(found) {
                    *mean += (landmark - *mean) / *images as f64;
                }
            }
        }
    }
    failed_all(&preparer, means.len() as u64)?;
    let modalities = preparer.cohort().modalities();
    if let Some(without) = modalities.iter().find(|m| !means.contains_key(*m)) {
        return Err(Error::run(format!(
            "no image of `{without}` has foreground to learn from; look at it with `voxstream inspect`, or choose another --foreground"
        )));
    }
    let images = means.iter().map(|(name, (n, _))| (name.clone(), *n));
    Ok(Learned {
        images: images.collect(),
        failed: preparer.failures().len(),
        step: HistogramStandardize {
            landmarks: means.into_iter().map(|(m, (_, mean))| (m, mean)).collect(),
            percentiles: scale.percentiles.clone(),
            foreground: scale.foreground,
        },
    })
}

fn check(plan: &Plan, scale: &Scale) -> Result<(), Error> {
    let mut steps = plan.pipeline.stages.iter();
    if let Some(step) = steps.find(|s| s.stage.name() == HistogramStandardize::NAME) {
        return Err(Error::run(format!(
            "{} standardises already; take it out to learn its landmarks",
            step.path
        )));
    }
    HistogramStandardize::check_percentiles(&scale.percentiles).map_err(Error::run)?;
    let [low, high] = scale.ends;
    match low.is_finite() && high.is_finite() && low < high {
        true => Ok(()),
        false => Err(Error::run(format!(
            "the scale goes from {low} to {high}; expected two numbers, the smaller first"
        ))),
    }
}

/// An image's percentiles, mapped so that the first and the last become the scale's ends.
fn on_scale(voxels: &[f32], scale: &Scale) -> Option<Vec<f64>> {
    let own = scale.foreground.percentiles(voxels, &scale.percentiles)?;
    let ([a, b], first, last) = (scale.ends, *own.first()?, *own.last()?);
    let mapped = |q: &f64| a + (b - a) * (q - first) / (last - first);
    (last > first).then(|| own.iter().map(mapped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_mapped_to_the_scale() {
        let scale = Scale {
            percentiles: vec![0.0, 50.0, 75.0, 100.0],
            foreground: Foreground::Nonzero,
            ends: [10.0, 30.0],
        };
        let voxels = [0.0, 4.0, 1.0, 2.0, 0.0, 5.0, 3.0];
        assert_eq!(
            on_scale(&voxels, &scale),
            Some(vec![10.0, 20.0, 25.0, 30.0])
        );
        assert_eq!(on_scale(&[0.0, 2.0, 2.0], &scale), None);
        assert_eq!(on_scale(&[0.0; 3], &scale), None);
    }
}
