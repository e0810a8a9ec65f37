//! Volumes whose voxels are made one behind the other in memory, as a batch of them is wanted.
//!
//! A patch that was turned and flipped alone is one copy from its source. Made by itself and then copied into a batch,
//! it goes through memory twice, which costs more than all that was done to it.

use super::change::{Change, Changes};
use super::deferred::materialise_together;
use super::dtype::{Dtype, Role, Scaling, Voxel};
use super::row::{Channel, Row};
use super::voxels::{Deferred, Gather, Recipe, Stored, Volume, append_values};
use crate::kernel::lattice::{AsStored, Converted, CopiedLines, Lattice, append_lattice};
use crate::with_voxel_type;
use arrow::buffer::Buffer;

impl Row {
    /// The same rows with the voxels of all images in one allocation, row by row and channel by channel, and those of
    /// all label maps in another.
    ///
    /// Images of half and single precision become f32. Where volumes are missing, or differ in shape or type, they
    /// stay as they are.
    #[must_use]
    pub fn side_by_side(mut rows: Vec<Self>) -> Vec<Self> {
        for row in &rows {
            materialise_together(row.volumes().map(|(_, volume)| volume));
        }
        place(&mut rows, |row| &mut row.images);
        place(&mut rows, |row| &mut row.labels);
        rows
    }
}

/// Places the volumes of some channels of every row behind each other.
fn place(rows: &mut [Row], channels: impl Fn(&mut Row) -> &mut Vec<Channel>) {
    let mut slots: Vec<&mut Option<Volume>> = rows
        .iter_mut()
        .flat_map(|row| channels(row).iter_mut().map(|channel| &mut channel.volume))
        .collect();
    let volumes: Option<Vec<&Volume>> = slots.iter().map(|slot| slot.as_ref()).collect();
    let Some(placed) = volumes.and_then(|volumes| placed(&volumes)) else {
        return;
    };
    for (slot, volume) in slots.iter_mut().zip(placed) {
        **slot = Some(volume);
    }
}

/// The volumes with their voxels behind each other; `None` where they differ in shape or type.
fn placed(volumes: &[&Volume]) -> Option<Vec<Volume>> {
    let first = *volumes.first()?;
    let shape = first.grid().shape_xyz();
    let stored = (first.dtype(), first.scaling());
    let is_float = |volume: &Volume| {
        matches!(volume.dtype(), Dtype::F16 | Dtype::F32) && volume.scaling() == Scaling::NONE
    };
    let same_shape = volumes.iter().all(|v| v.grid().shape_xyz() == shape);
    let same_type = volumes.iter().all(|v| (v.dtype(), v.scaling()) == stored);
    let floats = volumes.iter().all(|v| is_float(v));
    if !same_shape || !(floats || same_type) {
        return None;
    }
    let voxels = volumes.len() * first.grid().voxel_count();
    let ((dtype, scaling), all) = if floats {
        let mut all = Vec::with_capacity(voxels);
        volumes.iter().for_each(|v| v.append_f32_once(&mut all));
        ((Dtype::F32, Scaling::NONE), Buffer::from_vec(all))
    } else {
        let all = with_voxel_type!(stored.0, T => {
            let mut all: Vec<T> = Vec::with_capacity(voxels);
            volumes.iter().for_each(|v| v.append_stored_once(&mut all));
            Buffer::from_vec(all)
        });
        (stored, all)
    };
    let bytes = first.grid().voxel_count() * dtype.bytes();
    let of_grid = |(i, volume): (usize, &&Volume)| {
        let own = all.slice_with_length(i * bytes, bytes);
        Volume::stored(Stored::untyped(own, dtype, scaling), *volume.grid())
    };
    Some(volumes.iter().enumerate().map(of_grid).collect())
}

impl Volume {
    /// Appends the values; voxels that are still to be copied are made there and nowhere else.
    fn append_f32_once(&self, out: &mut Vec<f32>) {
        let copied = self.recipe().is_some_and(|deferred| {
            let changes = deferred.pointwise.as_deref().unwrap_or_default();
            waiting_copy(deferred).is_some_and(|gather| gather.append_values(self, changes, out))
        });
        if !copied {
            self.append_f32(out);
        }
    }

    /// Appends the stored numbers, which are of type `T`; see [`Volume::append_f32_once`].
    fn append_stored_once<T: Voxel>(&self, out: &mut Vec<T>) {
        let copied = self.recipe().is_some_and(|deferred| {
            let as_stored = deferred.pointwise.is_none();
            waiting_copy(deferred)
                .filter(|_| as_stored)
                .is_some_and(|gather| gather.append_stored(self, out))
        });
        if !copied {
            out.extend_from_slice(bytemuck::cast_slice(self.buffer().as_slice()));
        }
    }
}

/// The gather of voxels that are not made yet, of which nothing is known but how they are read.
fn waiting_copy(deferred: &Deferred) -> Option<&Gather> {
    match &deferred.recipe {
        Recipe::Gather(gather)
            if deferred.made.get().is_none() && deferred.lowest.get().is_none() =>
        {
            Some(gather)
        }
        _ => None,
    }
}

impl Gather {
    /// The copy that it is; `None` where voxels are read between others or filled in by a step.
    fn as_copy(&self) -> Option<Lattice> {
        if self.inside.is_some() || self.reads_values() {
            return None;
        }
        Lattice::from_affine(&self.affine()?)
    }

    /// Appends the values of an image with changes made, if they are copied; `made` is the volume whose recipe this is.
    fn append_values(&self, made: &Volume, changes: &[Change], out: &mut Vec<f32>) -> bool {
        let (Some(map), Role::Image) = (self.as_copy(), self.role) else {
            return false;
        };
        let (source, shape) = (&self.source, made.grid().shape_xyz());
        let (from, scaling) = (source.grid().shape_xyz(), source.scaling());
        let fill = match map.reaches_out(from, shape) {
            true => source.lowest_value(),
            false => 0.0,
        };
        let (first, mut changes) = (out.len(), Changes::new(changes));
        let buffer = source.buffer_in(|| map.read_box(from, shape));
        with_voxel_type!(source.dtype(), T => {
            let stored: (&[T], _) = (bytemuck::cast_slice(buffer.as_slice()), from);
            let values = Converted::by(|line: &[T], to: &mut Vec<f32>| append_values(line, scaling, to));
            if changes.is_empty() {
                let mut lines = values;
                append_lattice(stored, &map, (shape, fill), &mut lines, out);
            } else {
                let mut lines = Changed { values, changes: &mut changes };
                append_lattice(stored, &map, (shape, fill), &mut lines, out);
            }
        });
        changes.finish(&mut out[first..]);
        true
    }

    /// Appends the stored numbers, if they are copied; `made` is the volume whose recipe this is.
    fn append_stored<T: Voxel>(&self, made: &Volume, out: &mut Vec<T>) -> bool {
        let (Some(map), shape) = (self.as_copy(), made.grid().shape_xyz()) else {
            return false;
        };
        let from = self.source.grid().shape_xyz();
        let fill = match self.role {
            Role::Image if map.reaches_out(from, shape) => self.source.lowest_stored(),
            _ => [0; 8],
        };
        let buffer = self.source.buffer_in(|| map.read_box(from, shape));
        let stored = (bytemuck::cast_slice(buffer.as_slice()), from);
        let fill: T = bytemuck::pod_read_unaligned(&fill[..size_of::<T>()]);
        append_lattice(stored, &map, (shape, fill), &mut AsStored, out);
        true
    }
}

/// Values that are changed as soon as a block of them is there.
struct Changed<'a, 'b, V> {
    values: V,
    changes: &'a mut Changes<'b>,
}

impl<T, V: CopiedLines<T, Out = f32>> CopiedLines<T> for Changed<'_, '_, V> {
    type Out = f32;

    const LOOKS_BACK: bool = true;

    fn read<'a>(&'a mut self, line: &'a [T]) -> &'a [f32] {
        self.values.read(line)
    }

    fn written(&mut self, copy: &mut [f32]) {
        self.changes.advance(copy);
    }
}

#[cfg(test)]
mod tests;
