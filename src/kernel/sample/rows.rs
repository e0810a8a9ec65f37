//! Rows of a volume that is read between its voxels, where every source axis follows one output axis.
//!
//! A row is blended from up to four source rows, whose stored numbers become values on the way, and
//! then along x. Indices and weights come from one table an axis.

use super::super::region::{Region, bounding_box};
use super::super::simd::{CACHE_LINE, prefetch, vectorised};
use super::along_x::AlongX;
use super::source_axes;
use super::tap::{Tap, between, reach, tap, weighted};
use glam::DAffine3;
use std::ops::Range;

/// Rows between the one that is blended and the one that is asked for.
const AHEAD: usize = 3;

/// Reads boxes of a volume on another grid; see [`LinearRows`].
pub trait ReadRows {
    /// Reads the output voxels of a box into `out`, `[z, y, x]`; `fill` where there is no source.
    fn read(&mut self, region: Region, fill: f32, out: &mut [f32]);

    /// Returns `true` if some output voxel has no source.
    fn reaches_out(&self) -> bool;

    /// The box of output voxels that any source value beyond the background has a weight in; `None`
    /// if there is none.
    ///
    /// **Law** every voxel outside the box blends background alone.
    fn region_beyond(&self, background: Background) -> Option<Region>;
}

/// Values that count as background; what is not a number never does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Background {
    /// Every value up to this one.
    UpTo(f32),
    /// 0 alone.
    Zero,
}

/// A volume that is read between its voxels, row by row.
pub struct LinearRows<'a, T, V> {
    source: &'a [T],
    source_shape_xyz: [usize; 3],
    /// Of the output.
    shape_xyz: [usize; 3],
    value: V,
    tables: [AxisTable; 3],
    /// Columns that `x` reads.
    columns: Range<usize>,
    x: AlongX,
    blend: Vec<f32>,
    all_finite: bool,
}

/// Taps along one axis; outputs before and after have no source.
struct AxisTable {
    begin: usize,
    taps: Vec<Tap>,
}

impl AxisTable {
    fn new(step: f64, start: f64, source_count: usize, count: usize, reach: f64) -> Self {
        let last = source_count as f64 - 1.0;
        let taps = (0..count).map(|i| tap(start + step * i as f64, last, reach));
        let begin = taps.clone().take_while(Option::is_none).count();
        // Positions are monotone, so the taps are one run.
        let taps = taps.skip(begin).map_while(|t| t).collect();
        Self { begin, taps }
    }

    fn at(&self, output: usize) -> Option<Tap> {
        self.taps.get(output.checked_sub(self.begin)?).copied()
    }

    /// The taps of a range of outputs, and how many outputs are before them.
    fn within(&self, outputs: &Range<usize>) -> (usize, &[Tap]) {
        let end = self.begin + self.taps.len();
        let first = outputs.start.max(self.begin).min(outputs.end);
        let last = outputs.end.min(end).max(first);
        let taps = match last > first {
            true => &self.taps[first - self.begin..last - self.begin],
            false => &[],
        };
        (first - outputs.start, taps)
    }

    /// First output, and one behind the last, that reads one of these source voxels.
    fn seeing(&self, first: usize, last: usize) -> Option<[usize; 2]> {
        let sees = |t: &Tap| t.low <= last && t.low + usize::from(t.weight > 0.0) >= first;
        let begin = self.taps.iter().position(sees)?;
        let end = self.taps.iter().rposition(sees)?;
        Some([self.begin + begin, self.begin + end + 1])
    }
}

impl<'a, T: Copy, V: Fn(T) -> f32 + Copy> LinearRows<'a, T, V> {
    /// The volume on a grid of `shape_xyz`; `None` where axes change places or turn.
    ///
    /// **Shape** source `[z, y, x]` of `source_shape_xyz`; `value` of each stored number.
    pub fn try_new(
        (source, source_shape_xyz): (&'a [T], [usize; 3]),
        value: V,
        source_from_output: &DAffine3,
        shape_xyz: [usize; 3],
    ) -> Option<Self> {
        if source_axes(source_from_output, shape_xyz) != Some([0, 1, 2]) {
            return None;
        }
        let (map, reach) = (source_from_output, reach(source_from_output));
        let tables = [0, 1, 2].map(|axis| {
            let (step, start) = (map.matrix3.col(axis)[axis], map.translation[axis]);
            let counts = (source_shape_xyz[axis], shape_xyz[axis]);
            AxisTable::new(step, start, counts.0, counts.1, reach[axis])
        });
        Some(Self {
            source,
            source_shape_xyz,
            shape_xyz,
            value,
            tables,
            columns: 0..0,
            x: AlongX::default(),
            blend: Vec::new(),
            all_finite: false,
        })
    }

    /// The same, where it is known that every value of the source is finite.
    #[must_use]
    pub fn of_finite(self, all_finite: bool) -> Self {
        Self { all_finite, ..self }
    }

    /// Blends the source rows around an output row; `false` outside the source.
    #[inline(always)]
    fn blend(&mut self, y: usize, z: usize) -> bool {
        let (Some(ty), Some(tz)) = (self.tables[1].at(y), self.tables[2].at(z)) else {
            return false;
        };
        let ([nx, ny, _], value, x) = (self.source_shape_xyz, self.value, &self.x);
        let row = |dz: usize, dy: usize| {
            let from = ((tz.low + dz) * ny + ty.low + dy) * nx + x.origin;
            &self.source[from..from + x.length]
        };
        // A row is too short for the processor to guess the next, which is on another page.
        if let Some(next) = self.tables[1].at(y + AHEAD) {
            for dy in [0, 1] {
                let from = ((tz.low + 1) * ny + next.low + dy) * nx + x.origin;
                for voxel in (0..x.length).step_by(CACHE_LINE / size_of::<T>().min(CACHE_LINE)) {
                    prefetch(self.source, from + voxel);
                }
            }
        }
        let blend = &mut self.blend[..x.length];
        match (tz.weight > 0.0, ty.weight > 0.0) {
            (false, false) => {
                for (blend, stored) in blend.iter_mut().zip(row(0, 0)) {
                    *blend = value(*stored);
                }
            }
            (false, true) => mix(blend, value, [row(0, 0), row(0, 1)], ty.weight),
            (true, false) => mix(blend, value, [row(0, 0), row(1, 0)], tz.weight),
            (true, true) => {
                let (v, w) = (ty.weight, tz.weight);
                let rows = row(0, 0)
                    .iter()
                    .zip(row(0, 1))
                    .zip(row(1, 0))
                    .zip(row(1, 1));
                for (blend, (((a, b), c), d)) in blend.iter_mut().zip(rows) {
                    let near = between(value(*a), value(*b), v);
                    let far = between(value(*c), value(*d), v);
                    *blend = between(near, far, w);
                }
            }
        }
        true
    }

    /// Computes again what is not finite in a row of outputs from `first` on: of a difference of voxels nothing is
    /// left where one of them is infinite.
    #[inline(never)]
    fn repair(&self, row: &mut [f32], [first, y, z]: [usize; 3]) {
        let [nx, ny, _] = self.source_shape_xyz;
        for (i, old) in row.iter_mut().enumerate().filter(|(_, v)| !v.is_finite()) {
            let at = [first + i, y, z];
            let taps = [0, 1, 2].map(|axis| self.tables[axis].at(at[axis]));
            if let [Some(x), Some(y), Some(z)] = taps {
                let stored = |[x, y, z]: [usize; 3]| self.source[(z * ny + y) * nx + x];
                *old = weighted([x, y, z], |at| (self.value)(stored(at)));
            }
        }
    }
}

#[inline(always)]
fn mix<T: Copy>(blend: &mut [f32], value: impl Fn(T) -> f32, [near, far]: [&[T]; 2], weight: f32) {
    for (blend, (a, b)) in blend.iter_mut().zip(near.iter().zip(far)) {
        *blend = between(value(*a), value(*b), weight);
    }
}

impl<T: Copy, V: Fn(T) -> f32 + Copy> ReadRows for LinearRows<'_, T, V> {
    fn read(&mut self, region: Region, fill: f32, out: &mut [f32]) {
        let [x, y, z] = region.ranges();
        let (before, taps) = self.tables[0].within(&x);
        // Boxes of one width mostly follow each other.
        if self.columns != x {
            self.x.set(taps, self.source_shape_xyz[0]);
            self.blend.resize(self.x.padded(), 0.0);
            self.columns = x.clone();
        }
        let (width, end) = (x.len(), before + taps.len());
        vectorised(
            #[inline(always)]
            || {
                let mut rows = out.chunks_exact_mut(width);
                for z in z.clone() {
                    for (y, row) in y.clone().zip(&mut rows) {
                        if !self.blend(y, z) {
                            row.fill(fill);
                            continue;
                        }
                        row[..before].fill(fill);
                        let read = &mut row[before..end];
                        self.x.read(&self.blend, read);
                        if !self.all_finite && !read.iter().fold(true, |all, v| all & v.is_finite())
                        {
                            self.repair(read, [x.start + before, y, z]);
                        }
                        row[end..].fill(fill);
                    }
                }
            },
        );
    }

    fn reaches_out(&self) -> bool {
        let inside = |(table, count): (&AxisTable, &usize)| table.taps.len() == *count;
        !self.tables.iter().zip(&self.shape_xyz).all(inside)
    }

    fn region_beyond(&self, background: Background) -> Option<Region> {
        let (value, source, shape) = (self.value, self.source, self.source_shape_xyz);
        let found = vectorised(
            #[inline(always)]
            || match background {
                Background::UpTo(most) => {
                    bounding_box(source, shape, |v| (value(v) > most) | value(v).is_nan())
                }
                Background::Zero => bounding_box(source, shape, |v| value(v) != 0.0),
            },
        )?;
        let mut seen = [[0; 2]; 3];
        for (axis, [begin, end]) in seen.iter_mut().enumerate() {
            let first = found.offset_xyz[axis];
            let last = first + found.shape_xyz[axis] - 1;
            [*begin, *end] = self.tables[axis].seeing(first, last)?;
        }
        Some(Region {
            offset_xyz: seen.map(|[begin, _]| begin),
            shape_xyz: seen.map(|[begin, end]| end - begin),
        })
    }
}
