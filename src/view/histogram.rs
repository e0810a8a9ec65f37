//! The histogram under a panel.

use super::canvas::{Canvas, PALE, Rgb};
use super::window::{Summary, Window};

const BAR: Rgb = [120, 126, 138];
const INSIDE: Rgb = [196, 202, 212];
const GROUND: Rgb = [28, 29, 33];

/// Counts of the values in equal bins from `low` to `high`; values outside are left out.
pub(super) fn counts(values: &[f32], [low, high]: [f32; 2], bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins];
    let per_value = bins as f64 / (f64::from(high) - f64::from(low));
    for value in values.iter().copied().filter(|v| *v >= low && *v <= high) {
        let bin = ((f64::from(value) - f64::from(low)) * per_value) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    counts
}

/// The range a histogram covers: what is shown and half as much on both sides, as far as there are
/// values.
pub(super) fn range(window: &Window, summary: &Summary) -> [f32; 2] {
    let margin = (window.high - window.low) / 2.0;
    let low = (window.low - margin).max(summary.low.min(window.low));
    let high = (window.high + margin).min(summary.high.max(window.high));
    [low, high]
}

/// The highest bar: that of the fullest bin, but for those of the smallest and the largest value, where
/// background and clipped values pile up, and which are cut off.
fn most(counts: &[usize], ends: [usize; 2]) -> usize {
    let inner = counts.iter().enumerate().filter(|(i, _)| !ends.contains(i));
    let inner = inner.map(|(_, n)| *n).max().unwrap_or(0);
    let all = counts.iter().copied().max().unwrap_or(0);
    if inner > 0 { inner } else { all.max(1) }
}

/// Draws a histogram; heights grow with the root of the counts, so that a large background leaves
/// the rest visible. What the window shows is brighter, and marked.
pub(super) fn draw(
    canvas: &mut Canvas,
    [x, y]: [usize; 2],
    [width, height]: [usize; 2],
    (values, summary, window): (&[f32], &Summary, &Window),
) {
    canvas.fill([x, y], [width, height], GROUND);
    let [low, high] = range(window, summary);
    // Nothing is finite, or the range is too wide for its difference.
    if !(high - low).is_finite() || high <= low {
        return;
    }
    let counts = counts(values, [low, high], width);
    let column = |value: f32| {
        let share = (f64::from(value) - f64::from(low)) / (f64::from(high) - f64::from(low));
        ((share * width as f64) as usize).min(width - 1)
    };
    let (black, white) = (column(window.low), column(window.high));
    let most = most(&counts, [summary.low, summary.high].map(column)) as f64;
    for (i, count) in counts.into_iter().enumerate() {
        let share = (count as f64 / most).min(1.0);
        let bar = (share.sqrt() * (height - 1) as f64).ceil() as usize;
        let colour = if (black..=white).contains(&i) {
            INSIDE
        } else {
            BAR
        };
        canvas.fill([x + i, y + height - bar], [1, bar], colour);
    }
    for edge in [black, white] {
        canvas.fill([x + edge, y], [1, height], PALE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_bins() {
        let values = [0.0, 0.5, 1.0, 2.9, 4.0, 4.1, f32::NAN, -0.1];
        assert_eq!(counts(&values, [0.0, 4.0], 4), [2, 1, 1, 1]);
    }

    #[test]
    fn background_does_not_flatten_the_rest() {
        assert_eq!(most(&[900, 3, 7, 2, 40], [0, 4]), 7);
        assert_eq!(most(&[900, 0, 0, 0, 40], [0, 4]), 900);
        assert_eq!(most(&[0, 0], [0, 1]), 1);
    }

    #[test]
    fn the_range_ends_where_values_end() {
        let values: Vec<f32> = (0..=1000).map(|i| i as f32).collect();
        let (window, summary) = (Window::of(&values), Summary::of(&values));
        assert_eq!(range(&window, &summary), [0.0, 1000.0]);
    }
}
