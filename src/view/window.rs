//! From values to grey: what is measured of a volume, and which range is shown.

use super::text::number;

/// Most values that percentiles are taken from; larger volumes are read in even steps.
const SAMPLED: usize = 1 << 20;

/// Range of a soft-tissue window, Hounsfield units.
const SOFT_TISSUE: [f32; 2] = [-160.0, 240.0];

/// What is measured of the finite values of a volume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Smallest value; NaN if none is finite.
    pub low: f32,
    /// Largest value; NaN if none is finite.
    pub high: f32,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Values that are NaN or infinite.
    pub lost: usize,
}

impl Summary {
    /// Measures values.
    pub fn of(values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (count, sum) = finite().fold((0usize, 0.0), |(n, s), v| (n + 1, s + f64::from(v)));
        let mean = sum / count as f64;
        let squares: f64 = finite().map(|v| (f64::from(v) - mean).powi(2)).sum();
        Self {
            low: finite().fold(f32::NAN, f32::min),
            high: finite().fold(f32::NAN, f32::max),
            mean,
            sd: (squares / count as f64).sqrt(),
            lost: values.len() - count,
        }
    }

    /// The measures as a line.
    pub fn line(&self) -> String {
        if self.low.is_nan() {
            return "no value is finite".to_owned();
        }
        let [low, high, mean, sd] =
            [self.low.into(), self.high.into(), self.mean, self.sd].map(number);
        let lost = match self.lost {
            0 => String::new(),
            n => format!(", {n} not finite"),
        };
        format!("values {low} to {high}, mean {mean}, sd {sd}{lost}")
    }
}

/// Values that are drawn black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Drawn black, as everything below.
    pub low: f32,
    /// Drawn white, as everything above.
    pub high: f32,
    /// Why this range.
    pub reason: Reason,
}

/// Why a range of values is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The values look like Hounsfield units.
    SoftTissue,
    /// From the 1st to the 98th percentile of the voxels above the smallest value.
    Percentiles,
    /// The whole range, as percentiles tell nothing.
    Everything,
    /// The range of the picture before, so that a change shows.
    AsBefore,
}

impl Window {
    /// The range to show of values.
    ///
    /// **Law** values from -900 or less at the darkest percent to at most 4000 are taken for Hounsfield
    /// units and shown as -160 to 240. Others are shown from the 1st to the 98th percentile of
    /// what is above the smallest value: that is background more often than not, and the brightest
    /// voxels are fat and vessels.
    pub fn of(values: &[f32]) -> Self {
        let step = values.len().div_ceil(SAMPLED).max(1);
        let sampled = values.iter().copied().step_by(step);
        let mut sorted: Vec<f32> = sampled.filter(|v| v.is_finite()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
            return Self::everything(0.0, 1.0);
        };
        let rank = |sorted: &[f32], share: f64| {
            sorted[(share * (sorted.len() - 1) as f64).round() as usize]
        };
        let [low, high] = SOFT_TISSUE;
        if rank(&sorted, 0.01) <= -900.0 && most > low && rank(&sorted, 0.999) <= 4000.0 {
            let reason = Reason::SoftTissue;
            return Self { low, high, reason };
        }
        let above = &sorted[sorted.partition_point(|v| *v <= least)..];
        if above.is_empty() {
            return Self::everything(least - 0.5, least + 0.5);
        }
        let (low, high) = (rank(above, 0.01), rank(above, 0.98));
        // Few different values, such as 0 and 1.
        if low >= high {
            return Self::everything(least, most);
        }
        let reason = Reason::Percentiles;
        Self { low, high, reason }
    }

    fn everything(low: f32, high: f32) -> Self {
        let reason = Reason::Everything;
        Self { low, high, reason }
    }

    /// The same range, for the picture that follows.
    #[must_use]
    pub fn as_before(self) -> Self {
        let reason = Reason::AsBefore;
        Self { reason, ..self }
    }

    /// Grey of a value, 0 to 255; `None` if it is not finite.
    pub fn grey(&self, value: f32) -> Option<u8> {
        let share =
            (f64::from(value) - f64::from(self.low)) / (f64::from(self.high) - f64::from(self.low));
        value
            .is_finite()
            .then(|| (share.clamp(0.0, 1.0) * 255.0).round() as u8)
    }

    /// The range as a line.
    pub fn line(&self) -> String {
        let why = match self.reason {
            Reason::SoftTissue => "soft tissue, if these are HU",
            Reason::Percentiles => "percentiles 1 to 98",
            Reason::Everything => "all values",
            Reason::AsBefore => "as before",
        };
        let [low, high] = [self.low, self.high].map(|v| number(v.into()));
        format!("black {low}, white {high} ({why})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_ignore_background_and_outliers() {
        // Half background, a ramp from 1 to 1000, one outlier.
        let mut values = vec![0.0; 1000];
        values.extend((1..=1000).map(|i| i as f32));
        values.push(1e6);
        let window = Window::of(&values);
        assert_eq!(window.reason, Reason::Percentiles);
        assert_eq!((window.low, window.high), (11.0, 981.0));
        assert_eq!(
            [0.0, 11.0, 496.0, 1e9].map(|v| window.grey(v)),
            [0, 0, 128, 255].map(Some)
        );
        assert_eq!(window.grey(f32::NAN), None);
    }

    #[test]
    fn hounsfield_units_are_recognised() {
        let ct: Vec<f32> = (-1024..1400).map(|v| v as f32).collect();
        let window = Window::of(&ct);
        assert_eq!((window.low, window.high), (-160.0, 240.0));
        assert!(window.line().contains("HU"));
    }

    #[test]
    fn few_or_no_values_have_a_range_too() {
        let same = Window::of(&[3.0; 8]);
        assert_eq!((same.low, same.high, same.grey(3.0)), (2.5, 3.5, Some(128)));
        let two = Window::of(&[0.0, 0.0, 1.0]);
        assert_eq!((two.low, two.high), (0.0, 1.0));
        let none = [f32::NAN, f32::INFINITY];
        assert_eq!((Window::of(&none).low, Window::of(&none).high), (0.0, 1.0));
        assert_eq!(Summary::of(&none).line(), "no value is finite");
    }

    #[test]
    fn measures_are_those_of_the_finite_values() {
        let summary = Summary::of(&[1.0, 3.0, f32::NAN]);
        assert_eq!((summary.mean, summary.sd, summary.lost), (2.0, 1.0, 1));
        assert_eq!(summary.line(), "values 1 to 3, mean 2, sd 1, 1 not finite");
    }
}
