//! An image that is still to be gathered, and the box outside of which nothing needs to be read.
//!
//! Most of a scan is air. Where a window makes all air one value, or air is exactly 0, the box of the
//! rest is found among the source's stored numbers; statistics and the foreground's box then come from rows
//! that are gathered into the cache and forgotten, and the voxels are made once, when all crops
//! and pads are known.

use super::Volume;
use super::change::{Change, make_all};
use super::dtype::Role;
use super::voxels::{Deferred, Gather, Recipe};
use crate::kernel::moments::above_minimum;
use crate::kernel::region::{Region, bounding_box, minimum};
use crate::kernel::sample::{Background, ReadRows};

/// The value that foreground exceeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Above {
    /// This value.
    Value(f32),
    /// The image's smallest value; see [`above_minimum`].
    Minimum,
}

/// Share of a threshold by which values blended in f32 may exceed the voxels they are blended from.
const BLENDED: f32 = 1.0 / (1 << 18) as f32;

/// Rows of an image that is still to be gathered; see [`Volume::foreground_rows`].
pub struct ForegroundRows<'a> {
    rows: Box<dyn ReadRows + 'a>,
    changes: &'a [Change],
    shape_xyz: [usize; 3],
    source: &'a Volume,
    /// What a voxel outside the source holds before changes; of no use where there is none.
    fill: f32,
    /// `None`: every voxel is outside.
    region: Option<Region>,
    /// The value, after changes, of all voxels outside the box.
    around: f32,
    values: Vec<f32>,
}

impl<'a> ForegroundRows<'a> {
    /// The box of voxels that blend any source value beyond the background.
    fn new(
        volume: &'a Volume,
        gather: &'a Gather,
        changes: &'a [Change],
        background: Background,
    ) -> Option<Self> {
        let shape_xyz = volume.grid().shape_xyz();
        let rows = gather.rows(shape_xyz)?;
        let (source, fill) = (&gather.source, gather.source.fill_of(&*rows));
        let (background, mut around) = match background {
            Background::UpTo(most) => {
                let background = Background::UpTo(most - most.abs() * BLENDED);
                (background, [source.lowest_value()])
            }
            // What has no source holds the smallest value, which would be a second background.
            Background::Zero if fill != 0.0 => return None,
            Background::Zero => (background, [0.0]),
        };
        let region = rows.region_beyond(background);
        make_all(changes, &mut around);
        Some(Self {
            rows,
            changes,
            shape_xyz,
            source,
            fill,
            region,
            around: around[0],
            values: Vec::new(),
        })
    }

    /// Returns `true` if some voxel is outside the box.
    fn has_background(&self) -> bool {
        self.region != Some(Region::of(self.shape_xyz))
    }

    /// The value of all voxels outside the box that is read; `None` if every voxel is inside.
    pub fn background(&self) -> Option<f32> {
        self.has_background().then_some(self.around)
    }

    /// The smallest value of the image, where it is known to be the one outside the box.
    pub fn smallest(&self) -> Option<f32> {
        let background = self.background()?;
        let lowest = self.source.lowest_value();
        let keeps_order = match self.changes {
            [] => lowest == 0.0,
            [only] => only.floor().is_some_and(|floor| lowest <= floor),
            _ => false,
        };
        keeps_order.then_some(background)
    }

    /// Voxels of the whole image.
    pub fn voxels(&self) -> usize {
        self.shape_xyz.iter().product()
    }

    /// Calls `each` with every row of values in the box, in order, and the index of its first voxel in
    /// the whole image.
    pub fn for_each_row(&mut self, mut each: impl FnMut(usize, &[f32])) {
        let Some(region) = self.region else { return };
        let ([nx, ny, _], [x, y, z]) = (self.shape_xyz, region.ranges());
        for z in z {
            let values = self.read(region.slice(z));
            for (y, row) in y.clone().zip(values.chunks_exact(x.len())) {
                each((z * ny + y) * nx + x.start, row);
            }
        }
    }

    /// The values of a box, changes made.
    fn read(&mut self, region: Region) -> &[f32] {
        self.values.resize(region.voxels(), 0.0);
        self.rows.read(region, self.fill, &mut self.values);
        make_all(self.changes, &mut self.values);
        &self.values
    }

    /// The box of the values in a box that are above a threshold.
    fn found(&mut self, region: Region, above: f32) -> Option<Region> {
        let values = self.read(region);
        let mut found = bounding_box(values, region.shape_xyz, |v| v > above)?;
        for (offset, first) in found.offset_xyz.iter_mut().zip(region.offset_xyz) {
            *offset += first;
        }
        Some(found)
    }

    /// The smallest box of the values above a threshold: slices, lines and columns are read from
    /// outside until the first one that holds any.
    fn region_above(&mut self, above: f32) -> Option<Region> {
        let outer = self.region?;
        let mut found: Option<Region> = None;
        for axis in [2, 1] {
            let [begin, end] = outer.ends(axis);
            let layer = |i: usize| {
                let region = match (axis, found) {
                    (1, Some(found)) => outer.with_range(2, found.ranges()[2].clone()),
                    _ => outer,
                };
                region.with_range(axis, i..i + 1)
            };
            let [low, high] = found.map_or([end, begin], |found| found.ends(axis));
            let first = (begin..low).find_map(|i| self.found(layer(i), above));
            let grown = [found, first].into_iter().flatten().reduce(Region::union);
            let high = grown.map_or(high, |grown| grown.ends(axis)[1].max(high));
            let last = (high..end).rev().find_map(|i| self.found(layer(i), above));
            found = [grown, last].into_iter().flatten().reduce(Region::union);
            found?;
        }
        let mut found = found?;
        // Columns: a slice narrows what the next one has to look at. The middle of a body is widest.
        let [begin, end] = outer.ends(2);
        let mut slices: Vec<usize> = found.ranges()[2].clone().collect();
        slices.sort_by_key(|z| (2 * z).abs_diff(begin + end));
        for z in slices {
            let [left, right] = outer.ends(0);
            for beside in [left..found.ends(0)[0], found.ends(0)[1]..right] {
                if !beside.is_empty() {
                    let [_, y, _] = found.ranges();
                    let region = outer.with_range(0, beside).with_range(1, y).slice(z);
                    let more = self.found(region, above);
                    found = more.map_or(found, |more| found.union(more));
                }
            }
        }
        Some(found)
    }
}

impl Volume {
    /// The gather and the changes of an image that is not made yet and that nobody else holds, where each
    /// value depends on values alone.
    fn unmade(&self) -> Option<(&Deferred, &Gather, &[Change])> {
        let deferred = self.recipe().filter(|_| self.is_unshared())?;
        let changes = deferred.pointwise.as_deref().unwrap_or_default();
        match &deferred.recipe {
            Recipe::Gather(gather)
                if gather.role == Role::Image
                    && gather.inside.is_none()
                    && gather.around.is_none()
                    && deferred.made.get().is_none()
                    && changes.iter().all(Change::is_by_value) =>
            {
                Some((deferred, gather, changes))
            }
            _ => None,
        }
    }

    /// The image's rows where they need not be kept: an image that is still to be read along its
    /// axes, and whose background is one value.
    ///
    /// Background is every value up to the [`Change::with_floor`] of the first change, or else 0.
    pub fn foreground_rows(&self) -> Option<ForegroundRows<'_>> {
        let (_, gather, changes) = self.unmade()?;
        let floor = changes.first().and_then(Change::floor);
        let background = floor.map_or(Background::Zero, Background::UpTo);
        ForegroundRows::new(self, gather, changes, background)
    }

    /// The smallest box that holds every voxel of an image above a threshold; `None` without any.
    ///
    /// An image that is still to be gathered stays so where its background is one value: only what
    /// decides about the box is read. Any other is materialised.
    pub fn region_above(&mut self, above: Above) -> Option<Region> {
        if let Some(found) = self.region_from_rows(above) {
            return found;
        }
        self.materialise_here();
        let values = self.to_f32();
        let above = match above {
            Above::Value(value) => value,
            Above::Minimum => above_minimum(minimum(&values).unwrap_or(0.0)),
        };
        bounding_box(&values, self.grid().shape_xyz(), |v| v > above)
    }

    /// [`Volume::region_above`] from the rows that decide; the outer `None` where that cannot be.
    fn region_from_rows(&self, above: Above) -> Option<Option<Region>> {
        let (deferred, gather, changes) = self.unmade()?;
        let threshold = match above {
            Above::Value(value) => Some(value),
            Above::Minimum => deferred.lowest.get().copied().map(above_minimum),
        };
        if let (Some(known), Some(above)) = (deferred.foreground.get(), threshold)
            && known.background <= above
        {
            return Some(known.peaks.region_above(above));
        }
        if let (Above::Value(value), []) = (above, changes) {
            let mut rows = ForegroundRows::new(self, gather, changes, Background::UpTo(value))?;
            // What has no source may be foreground, too.
            let is_background = rows.background().is_none_or(|outside| outside <= value);
            return is_background.then(|| rows.region_above(value));
        }
        let mut rows = self.foreground_rows()?;
        let background = rows.background()?;
        let smallest = deferred.lowest.get().copied().or(rows.smallest());
        if let (Some(smallest), false) = (smallest, changes.is_empty()) {
            let _ = deferred.lowest.set(smallest);
        }
        let above = match above {
            Above::Value(value) => value,
            Above::Minimum => above_minimum(smallest?),
        };
        (background <= above).then(|| rows.region_above(above))
    }
}

#[cfg(test)]
mod tests;
