//! Mean, standard deviation and extremes of voxels, added up in f64 in an order that never changes.

use super::simd::vectorised;

/// Partial sums side by side: enough for the widest registers, and part of the result's definition.
const LANES: usize = 16;

/// Share of its size by which a value may be off after a few operations in f32: four times the
/// spacing of f32.
const F32_ROUNDING: f64 = 1.0 / (1 << 22) as f64;

/// Mean and spread of the voxels that were counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// How many voxels were counted.
    pub count: usize,
    /// Their mean; 0 without voxels.
    pub mean: f64,
    /// Their standard deviation, divided by the count (not count - 1); 0 without voxels.
    pub sd: f64,
}

impl Moments {
    /// Returns `true` if the voxels differ by no more than rounding to f32 explains.
    ///
    /// **Law** `sd <= 2^-22 |mean|`. A constant image that was interpolated holds values one or two
    /// f32 steps apart; divided by their spread they would become noise of the size of tissue.
    pub fn is_constant(&self) -> bool {
        self.sd <= F32_ROUNDING * self.mean.abs()
    }
}

/// The value that foreground exceeds where it is "above the minimum" `low`.
///
/// **Law** `low + 2^-21 |low|`, rounded to f32: an interpolated background of one value holds values a few f32 steps
/// apart, and those above the smallest are background too. The minimum itself where it is 0 or not
/// finite.
pub fn above_minimum(low: f32) -> f32 {
    let margin = 2.0 * F32_ROUNDING * f64::from(low).abs();
    if margin.is_finite() {
        (f64::from(low) + margin) as f32
    } else {
        low
    }
}

/// Moments of the voxels for which `keep` holds; NaN never counts.
///
/// **Law** one pass over distances `d` from the first voxel that counts, in f64: the mean is that
/// voxel plus `mean(d)`, the variance `mean(d²) - mean(d)²`. The shift keeps the difference of the
/// two from losing digits: of f64's sixteen, twice as many as that voxel is away in powers of ten of
/// standard deviations from the mean.
pub fn moments(values: &[f32], keep: impl Fn(f32) -> bool + Copy) -> Moments {
    let mut sums = Sums::new(keep);
    sums.add(0, values);
    sums.moments()
}

/// [`moments`] of an image that is looked at stretch by stretch; stretches in which no voxel counts
/// may be left out.
pub struct Sums<F> {
    keep: F,
    /// The first voxel that counts.
    shift: Option<f64>,
    /// By index modulo [`LANES`].
    lanes: Lanes,
}

/// Partial sums over the voxels that count.
#[derive(Clone, Copy)]
struct Lanes {
    counts: [u32; LANES],
    /// Distances from the first voxel that counts.
    sums: [f64; LANES],
    /// Their squares.
    squares: [f64; LANES],
    lowest: [f32; LANES],
}

impl<F: Fn(f32) -> bool + Copy> Sums<F> {
    /// The sums of no voxel yet.
    pub fn new(keep: F) -> Self {
        Self {
            keep,
            shift: None,
            lanes: Lanes {
                counts: [0; LANES],
                sums: [0.0; LANES],
                squares: [0.0; LANES],
                lowest: [f32::INFINITY; LANES],
            },
        }
    }

    /// Adds the next stretch, whose first voxel has the index `first` in the whole image.
    pub fn add(&mut self, first: usize, values: &[f32]) {
        let own = self.keep;
        let keep = move |v: f32| own(v) & !v.is_nan();
        if self.shift.is_none() {
            self.shift = (values.iter().copied().find(|v| keep(*v))).map(f64::from);
        }
        let Some(shift) = self.shift else { return };
        // Which lane a voxel is added to must not depend on where stretches begin.
        let lane = first % LANES;
        let (head, values) = values.split_at(values.len().min((LANES - lane) % LANES));
        let (whole, rest) = values.as_chunks::<LANES>();
        // The ends of a stretch are filled up with NaN, which never counts.
        let (mut begin, mut end) = ([f32::NAN; LANES], [f32::NAN; LANES]);
        begin[lane..lane + head.len()].copy_from_slice(head);
        end[..rest.len()].copy_from_slice(rest);
        let sums = &mut self.lanes;
        vectorised(
            #[inline(always)]
            || {
                // A copy of its own stays in registers.
                let mut lanes = *sums;
                lanes.add(&begin, shift, keep);
                whole.iter().for_each(|chunk| lanes.add(chunk, shift, keep));
                lanes.add(&end, shift, keep);
                *sums = lanes;
            },
        );
    }

    /// The smallest voxel that counts; infinity without any.
    pub fn lowest(&self) -> f32 {
        self.lanes.lowest.into_iter().fold(f32::INFINITY, f32::min)
    }

    /// The moments of what was added.
    pub fn moments(&self) -> Moments {
        let Some(shift) = self.shift else {
            return Moments {
                count: 0,
                mean: 0.0,
                sd: 0.0,
            };
        };
        let lanes = &self.lanes;
        let count: u64 = lanes.counts.iter().map(|n| u64::from(*n)).sum();
        let mean_of = |lanes: &[f64]| lanes.iter().sum::<f64>() / count as f64;
        let (mean, square) = (mean_of(&lanes.sums), mean_of(&lanes.squares));
        Moments {
            count: count as usize,
            mean: shift + mean,
            sd: (square - mean * mean).max(0.0).sqrt(),
        }
    }
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, values: &[f32; LANES], shift: f64, keep: impl Fn(f32) -> bool) {
        for (lane, &v) in values.iter().enumerate() {
            // Selected, not branched upon, so that the loop becomes vector code.
            let kept = keep(v);
            let distance = if kept { f64::from(v) - shift } else { 0.0 };
            self.counts[lane] += u32::from(kept);
            self.sums[lane] += distance;
            self.squares[lane] += distance * distance;
            let lowest = self.lowest[lane];
            self.lowest[lane] = if kept & (v < lowest) { v } else { lowest };
        }
    }
}

/// Smallest and largest finite voxel; `None` where no voxel is finite.
pub fn finite_bounds(values: &[f32]) -> Option<[f32; 2]> {
    let mut bounds = [0f32; 2];
    vectorised(
        #[inline(always)]
        || {
            let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
            let (whole, rest) = values.as_chunks::<LANES>();
            for chunk in whole {
                widen(chunk, &mut low, &mut high);
            }
            widen(rest, &mut low, &mut high);
            bounds = [
                low.into_iter().fold(f32::INFINITY, f32::min),
                high.into_iter().fold(f32::NEG_INFINITY, f32::max),
            ];
        },
    );
    (bounds[0] <= bounds[1]).then_some(bounds)
}

#[inline(always)]
fn widen(values: &[f32], low: &mut [f32; LANES], high: &mut [f32; LANES]) {
    for ((v, low), high) in values.iter().zip(low).zip(high) {
        let finite = v.is_finite();
        *low = if finite & (*v < *low) { *v } else { *low };
        *high = if finite & (*v > *high) { *v } else { *high };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_neither_spread_nor_foreground() {
        let value = 1234.567f32;
        let rounded = [value, value.next_up(), value.next_down()];
        assert!(moments(&rounded, |_| true).is_constant());
        assert!(!moments(&[value, value * (1.0 + 1e-5)], |_| true).is_constant());
        assert!(moments(&[0.0; 4], |_| true).is_constant());
        assert!(!moments(&[0.0, 1e-30], |_| true).is_constant());
        for low in [value, -value] {
            assert!(low.next_up().next_up() <= above_minimum(low));
            assert!(low + value * 1e-5 > above_minimum(low));
        }
        assert_eq!(above_minimum(0.0), 0.0);
        assert_eq!(above_minimum(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(above_minimum(f32::MAX), f32::INFINITY);
    }

    #[test]
    fn moments_agree_with_their_definition() {
        let values: Vec<f32> = (0..1003)
            .map(|i| ((i * 37) % 101) as f32 - 20.0 + 1e4)
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let square = values.iter().map(|v| (f64::from(*v) - mean).powi(2));
        let sd = (square.sum::<f64>() / n).sqrt();
        let found = moments(&values, |_| true);
        assert_eq!(found.count, 1003);
        assert!((found.mean - mean).abs() < 1e-9 && (found.sd - sd).abs() < 1e-9);
    }

    #[test]
    fn stretches_give_the_bits_of_the_whole() {
        let values: Vec<f32> = (0..1003)
            .map(|i| {
                if i % 61 < 40 {
                    ((i * 37) % 101) as f32 / 7.0
                } else {
                    0.0
                }
            })
            .collect();
        let keep = |v: f32| v != 0.0;
        let whole = moments(&values, keep);
        for length in [1, 5, 16, 61] {
            let mut sums = Sums::new(keep);
            for (i, stretch) in values.chunks(length).enumerate() {
                // One without a voxel that counts may be left out.
                if stretch.iter().any(|v| keep(*v)) {
                    sums.add(i * length, stretch);
                }
            }
            assert_eq!(sums.moments(), whole, "{length}");
            assert_eq!(sums.lowest(), 1.0 / 7.0);
        }
    }

    #[test]
    fn voxels_that_are_not_finite_are_left_out() {
        let values = [f32::NAN, 2.0, f32::INFINITY, 4.0, f32::NEG_INFINITY];
        let found = moments(&values, f32::is_finite);
        assert_eq!((found.count, found.mean, found.sd), (2, 3.0, 1.0));
        assert_eq!(finite_bounds(&values), Some([2.0, 4.0]));
        assert_eq!(finite_bounds(&[f32::NAN]), None);
        assert_eq!(moments(&[], |_| true).count, 0);
    }
}
