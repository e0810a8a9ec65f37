//! The largest voxel of every plane of an image, from which the box above any threshold follows.

use super::region::Region;
use super::simd::vectorised;

/// Values compared together.
const LANES: usize = 16;

/// The largest voxel of every plane across x, y and z, among the voxels that count.
#[derive(Debug)]
pub struct Peaks {
    /// By axis and index; negative infinity where no voxel counts.
    planes_xyz: [Vec<f32>; 3],
    /// A stretch, in which voxels that do not count are negative infinity.
    counted: Vec<f32>,
}

impl Peaks {
    /// The peaks of an image of which no row was looked at yet.
    pub fn new(shape_xyz: [usize; 3]) -> Self {
        Self {
            planes_xyz: shape_xyz.map(|n| vec![f32::NEG_INFINITY; n]),
            counted: vec![f32::NEG_INFINITY; shape_xyz[0]],
        }
    }

    /// Adds a stretch of a row, whose first voxel has the index `first` in the whole image. Voxels count for
    /// which `keep` holds; NaN never does.
    pub fn add(&mut self, first: usize, values: &[f32], keep: impl Fn(f32) -> bool + Copy) {
        let [columns, rows, slices] = &mut self.planes_xyz;
        let (nx, ny) = (columns.len(), rows.len());
        let (x, y, z) = (first % nx, first / nx % ny, first / nx / ny);
        let columns = &mut columns[x..x + values.len()];
        let counted = &mut self.counted[..values.len()];
        let mut peak = f32::NEG_INFINITY;
        // One loop each: together they would not become vector code.
        vectorised(
            #[inline(always)]
            || {
                for (counted, &v) in counted.iter_mut().zip(values) {
                    *counted = if keep(v) { v } else { f32::NEG_INFINITY };
                }
                for (column, &v) in columns.iter_mut().zip(&*counted) {
                    *column = if v > *column { v } else { *column };
                }
                peak = largest(counted);
            },
        );
        rows[y] = rows[y].max(peak);
        slices[z] = slices[z].max(peak);
    }

    /// The peaks behind a change of values that keeps their order.
    #[must_use]
    pub fn mapped(mut self, change: impl Fn(f32) -> f32) -> Self {
        for peak in self.planes_xyz.iter_mut().flatten() {
            if *peak > f32::NEG_INFINITY {
                *peak = change(*peak);
            }
        }
        self
    }

    /// The smallest box that holds every voxel above a threshold; `None` without any.
    pub fn region_above(&self, above: f32) -> Option<Region> {
        let mut ends = [[0; 2]; 3];
        for (ends, planes) in ends.iter_mut().zip(&self.planes_xyz) {
            let first = planes.iter().position(|peak| *peak > above)?;
            let last = planes.iter().rposition(|peak| *peak > above)?;
            *ends = [first, last + 1];
        }
        Some(Region {
            offset_xyz: ends.map(|[begin, _]| begin),
            shape_xyz: ends.map(|[begin, end]| end - begin),
        })
    }
}

/// The largest value; what is not a number is never larger.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut peaks = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for chunk in whole {
        for (peak, &v) in peaks.iter_mut().zip(chunk) {
            *peak = if v > *peak { v } else { *peak };
        }
    }
    let all = peaks.iter().chain(rest);
    all.fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::region::bounding_box;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_box_above_a_threshold_is_that_of_its_voxels(
            shape in prop::array::uniform3(1..24usize),
            spread in 1..60usize,
            above in -2.0..12.0f32,
        ) {
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count)
                .map(|i| match i * 7919 % spread {
                    0 => ((i * 37) % 13) as f32,
                    1 => f32::NAN,
                    2 => f32::INFINITY,
                    _ => 0.0,
                })
                .collect();
            let keep = |v: f32| v.is_finite() & (v != 0.0);
            let mut peaks = Peaks::new(shape);
            for (row, values) in values.chunks(shape[0]).enumerate() {
                // A stretch may begin anywhere in its row.
                let at = row % values.len();
                peaks.add(row * shape[0], &values[..at], keep);
                peaks.add(row * shape[0] + at, &values[at..], keep);
            }
            let expected = bounding_box(&values, shape, |v| keep(v) & (v > above));
            prop_assert_eq!(peaks.region_above(above), expected);
            let doubled = peaks.mapped(|v| 2.0 * v + 1.0);
            prop_assert_eq!(doubled.region_above(2.0 * above + 1.0), expected);
        }
    }
}
