//! Reading a volume along a path of maps: which voxel of the source, or which voxels around a position in it, each new voxel is read from.

use super::deferred::{ImageInterpolation, Interpolation, LabelInterpolation, stored_bytes};
use super::dtype::{Dtype, Role, Scaling, Voxel};
use super::grid::Grid;
use super::voxels::{Part, Stored, Volume};
use crate::kernel::lattice::{Inside, Lattice, copy_lattice, fill_outside};
use crate::kernel::sample::sample_nearest;
use crate::kernel::warp::{
    self, Cubic, Job, LabelLinear, Linear, Nearest, Route, Step, source_box,
};
use crate::with_voxel_type;
use arrow::buffer::{Buffer, MutableBuffer};
use glam::{DAffine3, DVec3};
use std::borrow::Cow;

/// A volume to be read along a path.
pub(super) struct Gather {
    pub(super) source: Volume,
    /// From output voxel to source voxel, first step first.
    pub(super) route: Vec<Step>,
    pub(super) role: Role,
    pub(super) reading: Interpolation,
    /// The voxels that steps in between have left; all others lie outside. `None`: all are left.
    pub(super) inside: Option<Inside>,
    /// Whether a step has cut voxels away or added some: no later step reads between the voxels
    /// on both sides of such an edge.
    pub(super) cut: bool,
}

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
        if self.role == Role::Label || !self.interpolates() {
            return Some(found);
        }
        Some(stored_bytes(self.source.lowest_value()))
    }

    /// Whether the result's voxels lie between voxels of the source for some step.
    fn interpolates(&self) -> bool {
        !self.route.iter().all(is_lattice)
    }

    /// Type and scaling of the result.
    pub(super) fn stored_as(&self) -> (Dtype, Scaling) {
        match self.role {
            Role::Image if self.interpolates() => (Dtype::F32, Scaling::NONE),
            _ => (self.source.dtype(), self.source.scaling()),
        }
    }

    /// The voxels on `grid`, read by themselves.
    pub(super) fn read(&self, grid: &Grid) -> Stored {
        let shape = grid.shape_xyz();
        if let Some(near) = self.near(&[self], shape) {
            return near[0].read_here(shape);
        }
        self.read_here(shape)
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
                cut: gather.cut,
            })
        };
        group.iter().map(cut).collect()
    }

    fn read_here(&self, shape: [usize; 3]) -> Stored {
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
                Stored::of(self.bounded(voxels, shape, fill), source.scaling())
            });
        }
        if self.role == Role::Image {
            let fill = source.lowest_value();
            let values = source.sampled(&map, shape, fill);
            return Stored::of(self.bounded(values, shape, fill), Scaling::NONE);
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

    /// Whether positions are computed voxel by voxel: a path with a bend, or a way of reading that
    /// has no short cut along affine paths.
    pub(super) fn walks(&self) -> bool {
        let short_cut = match self.role {
            Role::Image => self.reading.images == ImageInterpolation::Linear,
            Role::Label => self.reading.labels == LabelInterpolation::Nearest,
        };
        self.interpolates() && !(short_cut && self.affine().is_some())
    }

    /// Whether both read at the same positions.
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
                    let fill = gather.source.lowest_value();
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

/// Whether voxels keep to the lattice they are on.
fn is_lattice(step: &Step) -> bool {
    matches!(step, Step::Affine(affine) if Lattice::from_affine(affine).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::grid::Grid;
    use super::super::{Channel, Row, VolumeError, Warp};
    use super::*;
    use crate::kernel::warp::{Bend, random_vectors};
    use std::sync::Arc;

    const SHAPE: [usize; 3] = [19, 16, 13];

    fn channel(name: &str, volume: Volume) -> Channel {
        Channel {
            name: name.to_owned(),
            volume: Some(volume),
        }
    }

    fn bent(seed: u64) -> Arc<Warp> {
        let shape_xyz = [6, 6, 6];
        let vectors = random_vectors(shape_xyz.iter().product(), seed);
        Arc::new(Warp::Elastic(Bend {
            control_from_input: DAffine3::from_scale(DVec3::splat(0.2)),
            shape_xyz,
            displacement: vectors.iter().map(|v| v.map(|c| c * 2.0)).collect(),
        }))
    }

    /// Two images on one grid (one stored as scaled integers), a third on another, and labels.
    fn row() -> Row {
        let grid = |shape| Grid::with_spacing(shape, [1.0, 1.5, 0.8]).unwrap();
        let ramp = |n: usize| (0..n).map(|i| ((i * 37) % 101) as f32 - 20.0);
        let count = SHAPE.iter().product();
        let stored: Vec<i16> = ramp(count).map(|v| v as i16).collect();
        let scaling = Scaling {
            slope: 0.5,
            intercept: 3.0,
        };
        let scaled =
            Volume::try_new(Buffer::from_vec(stored), Dtype::I16, scaling, grid(SHAPE)).unwrap();
        let float = |shape: [usize; 3]| {
            let values: Vec<f32> = ramp(shape.iter().product()).collect();
            Volume::from_vec(values, grid(shape)).unwrap()
        };
        let classes: Vec<u8> = ramp(count).map(|v| v.abs() as u8 % 4).collect();
        Row {
            subject: "s".to_owned(),
            images: vec![
                channel("ct", float(SHAPE)),
                channel("mr", scaled),
                channel("pet", float([8, 9, 10])),
            ],
            labels: vec![channel("", Volume::from_vec(classes, grid(SHAPE)).unwrap())],
            ..Row::default()
        }
    }

    #[test]
    fn volumes_made_together_are_what_each_is_alone() {
        let cubic = Interpolation {
            images: ImageInterpolation::Cubic,
            labels: LabelInterpolation::Linear,
        };
        for reading in [Interpolation::default(), cubic] {
            let made = || {
                let warped = row().warped(&bent(3), reading).warped(&bent(4), reading);
                // Windowed, so that what was cut away must not be seen; one image is changed after.
                let windowed = warped.try_map_volumes(|name, role, volume| {
                    let narrow = volume.windowed(role, [2, 2, 2], [6, 5, 5])?;
                    let wide = narrow.windowed(role, [-3, -2, 0], [11, 9, 5])?;
                    Ok::<_, VolumeError>(match name {
                        "ct" => wide.changed(Arc::new(|values: &mut [f32], _| {
                            values.iter_mut().for_each(|v| *v = 2.0 * *v - 1.0);
                        })),
                        _ => wide,
                    })
                });
                windowed.unwrap()
            };
            let together = made().materialised();
            let alone = made();
            let alone: Vec<Volume> = alone
                .volumes()
                .map(|(_, v)| v.clone().materialised())
                .collect();
            for ((role, together), alone) in together.volumes().zip(&alone) {
                assert_eq!(together.buffer(), alone.buffer(), "{role:?}");
                assert_eq!(together.dtype(), alone.dtype());
                assert_eq!(together.lowest_bits(), alone.lowest_bits(), "{role:?}");
            }
        }
    }

    #[test]
    fn reading_a_part_of_the_source_gives_what_the_whole_gives() {
        let grid = Grid::with_spacing([44, 40, 36], [1.0; 3]).unwrap();
        let values: Vec<f32> = (0..44 * 40 * 36).map(|i| (i * 29 % 997) as f32).collect();
        let half = Volume::from_vec(values, grid).unwrap().into_half();
        let float = half.clone().into_f32().materialised();
        let turn = Warp::Affine(DAffine3::from_rotation_z(0.4) * DAffine3::from_rotation_x(0.3));
        let reading = Interpolation::default();
        for (warps, offset) in [
            (vec![bent(5)], [20, 4, 9]),
            (vec![Arc::new(turn.clone())], [20, 14, 9]),
            (vec![Arc::new(turn), bent(6)], [-4, 30, 28]),
            (vec![bent(7)], [70, 4, 9]),
        ] {
            let patch = |volume: &Volume| {
                let warped = (warps.iter()).fold(volume.clone(), |volume, warp| {
                    volume.warped(Role::Image, warp, reading)
                });
                let patch = warped.windowed(Role::Image, offset, [8, 7, 6]).unwrap();
                patch.materialised().to_f32().to_vec()
            };
            let (part, whole) = (patch(&half), patch(&float));
            for (part, whole) in part.iter().zip(&whole) {
                assert!((part - whole).abs() < 1e-2, "{offset:?}: {part} {whole}");
            }
        }
    }
}
