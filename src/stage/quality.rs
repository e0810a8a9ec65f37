//! Measures images, and changes nothing.

use super::intensity::zscore::Foreground;
use super::{EdgeSchema, Stage, StageError};
use crate::kernel::moments::{above_minimum, finite_bounds, moments};
use crate::kernel::percentile::percentiles;
use crate::kernel::quality::{entropy_bits, noise_sd};
use crate::volume::Row;
use crate::volume::row::Measure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Measures every image and writes the figures to the run's table `quality`; images stay as they are.
///
/// Figures, in the units that arrive: `min` and `max` over the finite voxels; `mean`, `sd` and the
/// percentiles (`p50`) over the finite foreground voxels; `foreground_share` and `nan_share`, the
/// share of voxels that are foreground, and that are not finite; `noise_sd`, the noise by the
/// differences of neighbours along x in the foreground; `snr`, the foreground's median above the
/// smallest value, over the noise; `entropy_bits`, of the foreground's histogram of 256 bins.
/// What cannot be measured of an image (the noise of a constant one) has no row.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quality {
    /// Modalities to measure; all where left out.
    pub modalities: Option<Vec<String>>,
    /// Which voxels are foreground.
    pub foreground: Foreground,
    /// Percentiles, 0 to 100 each.
    pub percentiles: Vec<f64>,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            modalities: None,
            foreground: Foreground::AboveMin,
            percentiles: vec![1.0, 50.0, 99.0],
        }
    }
}

impl Quality {
    /// Names and values of everything that can be measured of an image.
    fn figures(&self, voxels: &[f32], nx: usize) -> Vec<(String, f64)> {
        match self.foreground {
            Foreground::All => self.measured(voxels, nx, f32::is_finite),
            Foreground::Nonzero => self.measured(voxels, nx, |v| v.is_finite() & (v != 0.0)),
            Foreground::AboveMin => {
                let [low, _] = finite_bounds(voxels).unwrap_or_default();
                let above = above_minimum(low);
                self.measured(voxels, nx, move |v| v.is_finite() & (v > above))
            }
        }
    }

    fn measured(
        &self,
        voxels: &[f32],
        nx: usize,
        keep: impl Fn(f32) -> bool + Copy,
    ) -> Vec<(String, f64)> {
        let share = |count: usize| count as f64 / voxels.len().max(1) as f64;
        let finite = voxels.iter().filter(|v| v.is_finite()).count();
        let foreground = moments(voxels, keep);
        let mut found = vec![
            ("nan_share".to_owned(), share(voxels.len() - finite)),
            ("foreground_share".to_owned(), share(foreground.count)),
        ];
        let mut add = |name: &str, value: Option<f64>| {
            let value = value.filter(|v| v.is_finite());
            found.extend(value.map(|v| (name.to_owned(), v)));
        };
        let bounds = finite_bounds(voxels);
        add("min", bounds.map(|[low, _]| low.into()));
        add("max", bounds.map(|[_, high]| high.into()));
        let Some(bounds) = bounds.filter(|_| foreground.count > 0) else {
            return found;
        };
        add("mean", Some(foreground.mean));
        add("sd", Some(foreground.sd));
        // The median is found along with the others.
        let mut percents = self.percentiles.clone();
        percents.push(50.0);
        let values = percentiles(voxels, keep, &percents).unwrap_or_default();
        for (percent, value) in self.percentiles.iter().zip(&values) {
            add(&format!("p{percent}"), Some(*value));
        }
        let noise = noise_sd(voxels, nx, keep);
        add("noise_sd", noise);
        let median = values.last().map(|median| median - f64::from(bounds[0]));
        add(
            "snr",
            median.zip(noise).map(|(median, noise)| median / noise),
        );
        add("entropy_bits", entropy_bits(voxels, bounds, keep));
        found
    }
}

impl Stage for Quality {
    const NAME: &'static str = "quality";
    const EXAMPLE: &'static str = "{ percentiles: [1, 50, 99] }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        input.check_modalities(self.modalities.as_deref())?;
        if self.modalities.as_ref().is_some_and(Vec::is_empty) {
            return Err("`modalities` is empty; name at least one or leave it out".to_owned());
        }
        let wrong = |p: &&f64| !(0.0..=100.0).contains(*p);
        if let Some(percent) = self.percentiles.iter().find(wrong) {
            return Err(format!(
                "`percentiles` names {percent}; expected numbers from 0 to 100"
            ));
        }
        Ok(input.clone())
    }

    fn map(&self, mut row: Row) -> Result<Vec<Row>, StageError> {
        let step = row.history.len() as u32;
        let is_measured = |name: &String| self.modalities.as_ref().is_none_or(|m| m.contains(name));
        for image in row.images.iter().filter(|c| is_measured(&c.name)) {
            let Some(volume) = &image.volume else {
                continue;
            };
            let figures = self.figures(&volume.to_f32(), volume.grid().shape_xyz()[0]);
            let measure = |(name, value)| Measure {
                step,
                modality: image.name.clone(),
                name,
                value,
            };
            row.quality.extend(figures.into_iter().map(measure));
        }
        Ok(vec![row])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::intensity::tests::row_of;

    fn measured(quality: &Quality, values: &[f32]) -> Vec<(String, f64)> {
        let rows = quality.map(row_of(values)).unwrap();
        let found = rows[0].quality.iter();
        assert!(found.clone().all(|m| m.modality == "ct" && m.step == 0));
        found.map(|m| (m.name.clone(), m.value)).collect()
    }

    #[test]
    fn figures_are_those_of_the_formula() {
        let values = [-1000.0, -1000.0, 10.0, 20.0, 40.0, 30.0, f32::NAN, 50.0];
        let found = measured(&Quality::default(), &values);
        let value = |name: &str| found.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        assert_eq!(value("nan_share"), Some(1.0 / 8.0));
        assert_eq!(value("foreground_share"), Some(5.0 / 8.0));
        assert_eq!((value("min"), value("max")), (Some(-1000.0), Some(50.0)));
        assert_eq!((value("mean"), value("p50")), (Some(30.0), Some(30.0)));
        assert!((value("sd").unwrap() - 200f64.sqrt()).abs() < 1e-9);
        // Neighbours in the foreground differ by 10, 20 and 10.
        let noise = 10.0 / (0.674_489_75 * 2f64.sqrt());
        assert!((value("noise_sd").unwrap() / noise - 1.0).abs() < 1e-7);
        assert!((value("snr").unwrap() / (1030.0 / noise) - 1.0).abs() < 1e-7);
        assert!((value("entropy_bits").unwrap() - 5f64.log2()).abs() < 1e-5);
    }

    #[test]
    fn what_cannot_be_told_is_left_out() {
        let names = |values: &[f32]| -> Vec<String> {
            let found = measured(&Quality::default(), values);
            assert!(found.iter().all(|(_, value)| value.is_finite()));
            found.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[f32::NAN; 3]), ["nan_share", "foreground_share"]);
        let constant = names(&[4.0; 3]);
        assert_eq!(constant, ["nan_share", "foreground_share", "min", "max"]);
        let even = names(&[0.0, 5.0, 5.0, 5.0]);
        assert!(even.contains(&"noise_sd".to_owned()) && !even.contains(&"snr".to_owned()));
        let mut row = row_of(&[1.0]);
        row.images[0].volume = None;
        assert!(Quality::default().map(row).unwrap()[0].quality.is_empty());
    }
}
