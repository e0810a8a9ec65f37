//! Reading a volume along a path of maps: which voxel of the source, or which voxels around a position in it, each new voxel is read from.

use super::change::{Change, Changes, make_all};
use super::dtype::{Dtype, Role, Scaling, Voxel};
use super::grid::Grid;
use super::interpolation::{ImageInterpolation, LabelInterpolation};
use super::voxels::{Gather, Part, Stored, Volume, stored_bytes, values_of};
use crate::kernel::lattice::{Inside, Lattice, copy_lattice, fill_outside, within};
use crate::kernel::region::Region;
use crate::kernel::sample::{ReadRows, sample_nearest};
use crate::kernel::warp::{
    self, Cubic, Job, LabelLinear, Linear, Nearest, Route, Step, source_box,
};
use crate::with_voxel_type;
use arrow::buffer::{Buffer, MutableBuffer};
use glam::{DAffine3, DVec3};
use std::borrow::Cow;

impl Gather {
    fn affine(&self) -> Option<DAffine3> {
        let affine = |step: &Step| match step {
            Step::Affine(affine) => Some(*affine),
            Step::Bend(_) => None,
        };
        // Applied from the first step on, so the first is rightmost.
        self.route
            .iter()
            .try_fold(DAffine3::IDENTITY, |map, step| Some(affine(step)? * map))
    }

    /// The smallest stored number of the source, as the result stores it, where it was found.
    pub(super) fn lowest(&self) -> Option<[u8; 8]> {
        let found = self.source.peek_lowest()?;
        if self.role == Role::Label || !self.reads_values() {
            return Some(found);
        }
        // No value of an image is smaller than its smallest: what was filled in counts, also where it is cut away.
        let lowest = self.source.lowest_value();
        let lowest = self.around.map_or(lowest, |around| lowest.min(around));
        Some(stored_bytes(lowest))
    }

    /// Returns `true` if the result's voxels lie between voxels of the source for some step.
    fn interpolates(&self) -> bool {
        !self.route.iter().all(is_lattice)
    }

    /// Returns `true` if an image is read as values: stored numbers are not those of the result.
    fn reads_values(&self) -> bool {
        self.interpolates() || self.around.is_some()
    }

    /// Value of an image outside the box that steps in between have left.
    fn outside(&self) -> f32 {
        self.around.unwrap_or_else(|| self.source.lowest_value())
    }

    /// Type and scaling of the result.
    pub(super) fn stored_as(&self) -> (Dtype, Scaling) {
        match self.role {
            Role::Image if self.reads_values() => (Dtype::F32, Scaling::NONE),
            _ => (self.source.dtype(), self.source.scaling()),
        }
    }

    /// The voxels on `grid`, read by themselves. Where that is possible `changes` are made while they
    /// are read: all of them, or none.
    pub(super) fn read(&self, grid: &Grid, changes: &mut Changes<'_>) -> Stored {
        let shape = grid.shape_xyz();
        if let Some(near) = self.near(&[self], shape) {
            return near[0].read_here(shape, changes);
        }
        self.read_here(shape, changes)
    }

    /// The gathers with no more of their sources than is read, where an image among them is not
    /// stored as its values: converting a whole volume for each patch would cost more than the patch.
    fn near(&self, group: &[&Self], shape: [usize; 3]) -> Option<Vec<Self>> {
        let converts = |gather: &&Self| {
            gather.role == Role::Image
                && (gather.source.dtype(), gather.source.scaling()) != (Dtype::F32, Scaling::NONE)
        };
        if !self.interpolates() || !group.iter().any(converts) {
            return None;
        }
        let from = self.source.grid().shape_xyz();
        let (first, count) = source_box(&self.route, from, shape);
        let voxels = |shape: [usize; 3]| shape.into_iter().product::<usize>();
        if 2 * voxels(count) > voxels(from) {
            return None;
        }
        let offset = first.map(|i| i as i64);
        let back = DVec3::from(first.map(|i| -(i as f64)));
        let cut = |gather: &&Self| {
            // What is outside is the minimum of the whole image, which the part keeps.
            if gather.role == Role::Image {
                gather.source.lowest_stored();
            }
            let source = gather.source.windowed(gather.role, offset, count).ok()?;
            let mut route = gather.route.clone();
            route.push(Step::Affine(DAffine3::from_translation(back)));
            Some(Self {
                source: source.materialised(),
                route,
                role: gather.role,
                reading: gather.reading,
                inside: gather.inside,
                around: gather.around,
                cut: gather.cut,
            })
        };
        group.iter().map(cut).collect()
    }

    /// The image's rows on a grid of `shape_xyz`; `None` where axes change places or turn, or positions
    /// are computed voxel by voxel.
    pub(super) fn rows(&self, shape_xyz: [usize; 3]) -> Option<Box<dyn ReadRows + '_>> {
        let map = self.affine().filter(|_| !self.walks())?;
        self.source.rows(&map, shape_xyz)
    }

    /// The image on `grid` with changes made that depend on values alone; voxels that a step has cut
    /// away hold `lowest`.
    pub(super) fn read_changed(&self, grid: &Grid, changes: &[Change], lowest: f32) -> Stored {
        let shape = grid.shape_xyz();
        let whole = shape.map(|n| [0, n as i64]);
        let inside = self.inside.unwrap_or(whole);
        let values = match self.rows(shape) {
            Some(mut rows) => {
                let fill = self.source.fill_of(&*rows);
                let mut read = |region, values: &mut [f32]| {
                    rows.read(region, fill, values);
                    make_all(changes, values);
                };
                place(shape, &inside, lowest, &mut read)
            }
            None => {
                let read = self.read_here(shape, &mut Changes::new(&[]));
                let mut values = Volume::stored(read, *grid).into_f32().into_values();
                make_all(changes, &mut values);
                fill_outside(&mut values, shape, &inside, lowest);
                values
            }
        };
        Stored::of(values, Scaling::NONE).with_lowest(stored_bytes(lowest))
    }

    fn read_here(&self, shape: [usize; 3], changes: &mut Changes<'_>) -> Stored {
        let Some(map) = self.affine().filter(|_| !self.walks()) else {
            return Self::walk_here(&[self], shape).remove(0);
        };
        let (source, from) = (&self.source, self.source.grid().shape_xyz());
        let lattice = Lattice::from_affine(&map).filter(|_| !self.interpolates());
        if let Some(map) = lattice {
            let fill = match self.role {
                Role::Image if self.inside.is_some() || map.reaches_out(from, shape) => {
                    source.lowest_stored()
                }
                _ => [0; 8],
            };
            let buffer = source.buffer_in(|| map.read_box(from, shape));
            return with_voxel_type!(source.dtype(), T => {
                let stored: &[T] = bytemuck::cast_slice(buffer.as_slice());
                let fill: T = bytemuck::pod_read_unaligned(&fill[..size_of::<T>()]);
                let voxels = copy_lattice(stored, from, &map, shape, fill);
                match self.around {
                    None => Stored::of(self.bounded(voxels, shape, fill), source.scaling()),
                    Some(around) => {
                        let values = values_of(voxels, source.scaling());
                        Stored::of(self.bounded(values, shape, around), Scaling::NONE)
                    }
                }
            });
        }
        if self.role == Role::Image {
            let fill = source.lowest_value();
            // What a step has cut away is filled before values are changed.
            if self.inside.is_some() || changes.is_empty() {
                let values = source.sampled(&map, (shape, fill), &mut |_| {});
                return Stored::of(self.bounded(values, shape, self.outside()), Scaling::NONE);
            }
            let mut values =
                source.sampled(&map, (shape, fill), &mut |values| changes.advance(values));
            changes.finish(&mut values);
            return Stored::of(values, Scaling::NONE);
        }
        let buffer = source.buffer_in(|| source_box(&self.route, from, shape));
        with_voxel_type!(source.dtype(), T => {
            let stored: &[T] = bytemuck::cast_slice(buffer.as_slice());
            let fill: T = bytemuck::Zeroable::zeroed();
            let ties = source.grid().ties();
            let classes = sample_nearest(stored, from, &map, shape, fill, ties);
            Stored::of(self.bounded(classes, shape, fill), source.scaling())
        })
    }

    /// Returns `true` if positions are computed voxel by voxel: a path with a bend, or a way of reading that
    /// has no short cut along affine paths.
    pub(super) fn walks(&self) -> bool {
        let short_cut = match self.role {
            Role::Image => self.reading.images == ImageInterpolation::Linear,
            Role::Label => self.reading.labels == LabelInterpolation::Nearest,
        };
        self.interpolates() && !(short_cut && self.affine().is_some())
    }

    /// Returns `true` if both read at the same positions.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        let from = |gather: &Self| gather.source.grid().shape_xyz();
        from(self) == from(other) && self.route == other.route
    }

    /// The voxels of volumes that go with each other, in one walk.
    pub(super) fn walk(gathers: &[&Self], grid: &Grid) -> Vec<Stored> {
        let shape = grid.shape_xyz();
        match gathers.first().and_then(|first| first.near(gathers, shape)) {
            Some(near) => Self::walk_here(&near.iter().collect::<Vec<_>>(), shape),
            None => Self::walk_here(gathers, shape),
        }
    }

    fn walk_here(gathers: &[&Self], shape: [usize; 3]) -> Vec<Stored> {
        let Some(first) = gathers.first() else {
            return Vec::new();
        };
        let count: usize = shape.iter().product();
        let part = || source_box(&first.route, first.source.grid().shape_xyz(), shape);
        let values: Vec<Cow<'_, [f32]>> = (gathers.iter())
            .map(|gather| match gather.role {
                Role::Image => gather.source.to_f32_in(part),
                Role::Label => Cow::Borrowed(&[][..]),
            })
            .collect();
        let mut read: Vec<MutableBuffer> = (gathers.iter())
            .map(|gather| MutableBuffer::from_len_zeroed(count * gather.stored_as().0.bytes()))
            .collect();
        let jobs = gathers.iter().zip(&values).zip(&mut read);
        let mut jobs: Vec<Box<dyn Job + '_>> = jobs
            .map(|((gather, values), out)| gather.job(part, values, out.as_slice_mut()))
            .collect();
        let route = Route::new(first.route.clone());
        warp::gather(&mut jobs, first.source.grid().shape_xyz(), &route, shape);
        drop(jobs);
        for (gather, read) in gathers.iter().zip(&mut read) {
            let Some(inside) = &gather.inside else {
                continue;
            };
            let out = read.as_slice_mut();
            match gather.role {
                Role::Image => {
                    let fill = gather.outside();
                    fill_outside(bytemuck::cast_slice_mut(out), shape, inside, fill);
                }
                Role::Label => with_voxel_type!(gather.source.dtype(), T => {
                    let fill: T = bytemuck::Zeroable::zeroed();
                    fill_outside(bytemuck::cast_slice_mut(out), shape, inside, fill);
                }),
            }
        }
        let typed = |(read, gather): (MutableBuffer, &&Self)| {
            let (dtype, scaling) = gather.stored_as();
            Stored::untyped(Buffer::from(read), dtype, scaling)
        };
        read.into_iter().zip(gathers).map(typed).collect()
    }

    /// What is done at every position of a box of the source; `values` are the source's, of an image.
    fn job<'a>(
        &'a self,
        part: impl FnOnce() -> Part,
        values: &'a [f32],
        out: &'a mut [u8],
    ) -> Box<dyn Job + 'a> {
        let source = &self.source;
        match (self.role, self.reading.images, self.reading.labels) {
            (Role::Image, ImageInterpolation::Linear, _) => {
                let out = bytemuck::cast_slice_mut(out);
                Box::new(Linear::new(values, source.lowest_value(), out))
            }
            (Role::Image, ImageInterpolation::Cubic, _) => {
                let out = bytemuck::cast_slice_mut(out);
                Box::new(Cubic::new(values, source.lowest_value(), out))
            }
            (Role::Label, _, reading) => with_voxel_type!(source.dtype(), T => {
                let stored: &[T] = bytemuck::cast_slice(source.buffer_in(part).as_slice());
                let (fill, out) = (bytemuck::Zeroable::zeroed(), bytemuck::cast_slice_mut(out));
                let ties = source.grid().ties();
                match reading {
                    LabelInterpolation::Nearest => Box::new(Nearest::new(stored, fill, out, ties)),
                    LabelInterpolation::Linear => Box::new(LabelLinear::new(stored, fill, out, ties)),
                }
            }),
        }
    }

    /// Voxels that a step in between has cut away are not seen again.
    fn bounded<T: Voxel>(&self, mut voxels: Vec<T>, shape: [usize; 3], fill: T) -> Vec<T> {
        if let Some(inside) = &self.inside {
            fill_outside(&mut voxels, shape, inside, fill);
        }
        voxels
    }
}

/// A volume whose voxels in a box are read slice by slice, with `fill` around it.
fn place(
    shape: [usize; 3],
    inside: &Inside,
    fill: f32,
    read: &mut dyn FnMut(Region, &mut [f32]),
) -> Vec<f32> {
    let slice = shape[0] * shape[1];
    let mut out = Vec::with_capacity(slice * shape[2]);
    let Some(region) = within(inside, shape) else {
        out.resize(slice * shape[2], fill);
        return out;
    };
    let ([x, y, z], mut box_slice) = (region.ranges(), Vec::new());
    out.resize(z.start * slice, fill);
    for z in z {
        let first = out.len();
        if [x.len(), y.len()] == shape[..2] {
            out.resize(first + slice, fill);
            read(region.slice(z), &mut out[first..]);
            continue;
        }
        box_slice.resize(x.len() * y.len(), 0.0);
        read(region.slice(z), &mut box_slice);
        out.resize(first + y.start * shape[0], fill);
        for row in box_slice.chunks_exact(x.len()) {
            out.resize(out.len() + x.start, fill);
            out.extend_from_slice(row);
            out.resize(out.len() + shape[0] - x.end, fill);
        }
        out.resize(first + slice, fill);
    }
    out.resize(slice * shape[2], fill);
    out
}

/// Returns `true` if voxels keep to the lattice they are on.
fn is_lattice(step: &Step) -> bool {
    matches!(step, Step::Affine(affine) if Lattice::from_affine(affine).is_some())
}

#[cfg(test)]
mod tests;
