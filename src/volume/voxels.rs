//! One volume: a typed, shared buffer of voxels on a grid, or the recipe for one.
//!
//! A recipe reads another volume, so the three types stand together; what recipes do is in
//! `deferred.rs` and `gather.rs`.

mod known;
mod lowest;
mod rows;
mod stored;
mod values;

use super::change::Change;
use super::dtype::{Dtype, Role, Scaling, Voxel};
use super::error::VolumeError;
use super::grid::Grid;
use super::interpolation::Interpolation;
use crate::kernel::lattice::Inside;
use crate::kernel::sample::sample_linear_stored;
use crate::kernel::warp::{Step, source_box};
use crate::with_voxel_type;
use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;
use glam::DAffine3;
use std::sync::{Arc, Mutex, OnceLock};
use stored::value_of;

pub use known::KnownForeground;
pub use stored::Backing;
pub(super) use stored::{Part, Stored, stored_bytes};
pub(super) use values::values_of;

/// A volume: voxels `[z, y, x]`, their type and scaling, and the grid they stand on.
///
/// Cloning shares the voxels. Writing copies them first if they are shared.
///
/// A volume that was moved or changed may still be *deferred*: it knows its grid and type, and its
/// voxels are made when they are first looked at, from the volume it came from, in one pass. A
/// chain of moves is one interpolation then, and a patch cut from a deferred volume costs the
/// patch alone. Clones share what is made.
#[derive(Debug, Clone)]
pub struct Volume {
    voxels: Voxels,
    grid: Grid,
}

#[derive(Debug, Clone)]
enum Voxels {
    Stored(Arc<Stored>),
    Deferred(Arc<Deferred>),
}

/// How a deferred volume is computed.
///
/// Type and scaling of the result follow from the recipe ([`Deferred::stored_as`]); nothing else
/// records them, so voxels and type cannot disagree.
pub(super) struct Deferred {
    pub(super) recipe: Recipe,
    /// `None`: stored numbers as the recipe reads them. `Some`: values as f32 with these changes made
    /// one after the other; an empty list converts and nothing else.
    pub(super) pointwise: Option<Vec<Change>>,
    /// The smallest value of the whole image after the changes, where it is known before voxels are
    /// made: moves then go on from the source of a changed image, too.
    pub(super) lowest: OnceLock<f32>,
    /// Where the foreground of the changed image is, if a step has looked at all of it.
    pub(super) foreground: OnceLock<KnownForeground>,
    pub(super) made: OnceLock<Arc<Stored>>,
}

pub(super) enum Recipe {
    /// The values of a volume, which is released once they are computed.
    Values(Mutex<Option<Volume>>),
    /// A volume read through a coordinate map.
    Gather(Gather),
}

/// A volume to be read along a path.
pub(super) struct Gather {
    pub(super) source: Volume,
    /// From output voxel to source voxel, first step first.
    pub(super) route: Vec<Step>,
    pub(super) role: Role,
    pub(super) reading: Interpolation,
    /// The voxels that steps in between have left; all others lie outside. `None`: all are left.
    pub(super) inside: Option<Inside>,
    /// Value of an image outside `inside`, where a step has named one: the result is f32 then, whether such a
    /// voxel is left or not. `None`: the smallest value of the source.
    pub(super) around: Option<f32>,
    /// Whether a step has cut voxels away or added some: no later step reads between the voxels
    /// on both sides of such an edge.
    pub(super) cut: bool,
}

impl Volume {
    /// A volume over bytes in native order.
    ///
    /// **Errors** when the number of bytes is not voxels times their size.
    pub fn try_new(
        voxels: Buffer,
        dtype: Dtype,
        scaling: Scaling,
        grid: Grid,
    ) -> Result<Self, VolumeError> {
        let stored = Stored::try_new(voxels, dtype, scaling, &grid)?;
        Ok(Self {
            voxels: Voxels::Stored(Arc::new(stored)),
            grid,
        })
    }

    /// A volume of voxels computed here.
    ///
    /// **Panics** if their number is not the grid's: a fault of a kernel, which must not reach a file.
    pub(super) fn stored(stored: Stored, grid: Grid) -> Self {
        stored.assert_fits(&grid);
        Self {
            voxels: Voxels::Stored(Arc::new(stored)),
            grid,
        }
    }

    /// A volume that breaks the rule which every constructor checks.
    #[cfg(test)]
    pub(crate) fn broken(bytes: Vec<u8>, dtype: Dtype, grid: Grid) -> Self {
        let stored = Stored::untyped(Buffer::from_vec(bytes), dtype, Scaling::NONE);
        Self {
            voxels: Voxels::Stored(Arc::new(stored)),
            grid,
        }
    }

    pub(super) fn deferred(deferred: Deferred, grid: Grid) -> Self {
        Self {
            voxels: Voxels::Deferred(Arc::new(deferred)),
            grid,
        }
    }

    /// A volume that takes over a vector without copying; stored numbers are the values.
    ///
    /// **Errors** when the vector's length is not the grid's voxel count.
    pub fn from_vec<T: Voxel + ArrowNativeType>(
        voxels: Vec<T>,
        grid: Grid,
    ) -> Result<Self, VolumeError> {
        Self::try_new(Buffer::from_vec(voxels), T::DTYPE, Scaling::NONE, grid)
    }

    /// Voxels as stored, native byte order, x fastest; a deferred volume makes them now.
    pub fn buffer(&self) -> &Buffer {
        self.materialise().buffer()
    }

    /// The voxels as [`Volume::buffer`], of which only those of a box are read: of voxels that lie in
    /// a file the others may not be checked.
    pub(super) fn buffer_in(&self, part: impl FnOnce() -> Part) -> &Buffer {
        let shape_xyz = self.grid.shape_xyz();
        self.materialise().buffer_in(shape_xyz, part)
    }

    /// Names the file whose bytes the voxels are; they are checked before they are first read.
    ///
    /// A volume that is deferred computes its voxels first, from memory, and has no file.
    pub fn back_by(&mut self, file: Arc<dyn Backing>) {
        if let Voxels::Stored(stored) = &self.voxels {
            self.voxels = Voxels::Stored(Arc::new(stored.shared().backed_by(file)));
        }
    }

    /// Address of the first voxel; `None` if the voxels are not computed yet.
    pub(super) fn address(&self) -> Option<usize> {
        let stored = match &self.voxels {
            Voxels::Stored(stored) => stored,
            Voxels::Deferred(deferred) => deferred.computed()?,
        };
        Some(stored.address())
    }

    /// The same volume in memory that no other volume and no file shares; every voxel is checked.
    #[must_use]
    pub fn copied(self) -> Self {
        let stored = self.materialise();
        let voxels = Buffer::from(stored.buffer().as_slice());
        let copy = Stored::untyped(voxels, stored.dtype, stored.scaling);
        Self::stored(copy, self.grid)
    }

    /// The voxels; a deferred volume computes them now.
    fn materialise(&self) -> &Arc<Stored> {
        match &self.voxels {
            Voxels::Stored(stored) => stored,
            Voxels::Deferred(deferred) => {
                let stored = deferred.stored(&self.grid);
                stored.assert_fits(&self.grid);
                let found = (stored.dtype, stored.scaling);
                assert_eq!(found, deferred.stored_as(), "type of computed voxels");
                stored
            }
        }
    }

    /// Compares the bytes with shape and type once more; a deferred volume computes its voxels now.
    ///
    /// Constructors make sure of it already. Writers call it as the last step before a file.
    ///
    /// **Errors** if the bytes are not voxels times their size, or the voxels are of another type
    /// than the volume.
    pub fn verify(&self) -> Result<(), VolumeError> {
        let stored = match &self.voxels {
            Voxels::Stored(stored) => stored,
            Voxels::Deferred(deferred) => deferred.stored(&self.grid),
        };
        let (dtype, scaling) = self.stored_as();
        if (stored.dtype, stored.scaling) != (dtype, scaling) {
            return Err(VolumeError::Type {
                expected: dtype,
                found: stored.dtype,
            });
        }
        stored.fits(&self.grid)
    }

    fn stored_as(&self) -> (Dtype, Scaling) {
        match &self.voxels {
            Voxels::Stored(stored) => (stored.dtype, stored.scaling),
            Voxels::Deferred(deferred) => deferred.stored_as(),
        }
    }

    /// Returns `true` if the stored numbers are the values, as f32.
    fn is_plain_f32(&self) -> bool {
        self.stored_as() == (Dtype::F32, Scaling::NONE)
    }

    /// Stored type.
    pub fn dtype(&self) -> Dtype {
        self.stored_as().0
    }

    /// From stored numbers to values.
    pub fn scaling(&self) -> Scaling {
        self.stored_as().1
    }

    /// Where the voxels stand.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Bytes of the voxels.
    pub fn bytes(&self) -> usize {
        self.grid.voxel_count() * self.dtype().bytes()
    }

    /// The stored numbers, when they are of type `T`.
    pub fn as_slice<T: Voxel>(&self) -> Option<&[T]> {
        (self.dtype() == T::DTYPE).then(|| bytemuck::cast_slice(self.buffer().as_slice()))
    }

    /// The recipe of a volume whose voxels were not asked for when it was made.
    pub(super) fn recipe(&self) -> Option<&Deferred> {
        match &self.voxels {
            Voxels::Stored(_) => None,
            Voxels::Deferred(deferred) => Some(deferred),
        }
    }

    /// Makes deferred voxels and lets go of what they were made from.
    #[must_use]
    pub fn materialised(mut self) -> Self {
        self.materialise_here();
        self
    }

    /// [`Volume::materialised`] in place.
    pub(super) fn materialise_here(&mut self) {
        if let Voxels::Deferred(_) = &self.voxels {
            self.voxels = Voxels::Stored(Arc::clone(self.materialise()));
        }
    }

    /// The image with a change of every voxel by itself still to be made.
    ///
    /// Changes that follow each other are made together, block by block, while the voxels are in
    /// the cache.
    #[must_use]
    pub fn changed(self, change: Change) -> Self {
        self.changed_by(vec![change])
    }

    fn changed_by(mut self, changes: Vec<Change>) -> Self {
        let grid = self.grid;
        if let Voxels::Deferred(deferred) = &mut self.voxels
            && let Some(deferred) = Arc::get_mut(deferred)
            && deferred.add_changes(&changes)
        {
            return self;
        }
        Self::deferred(Deferred::change(self, changes), grid)
    }

    /// Returns `true` if no other volume shares these voxels or their recipe.
    pub(super) fn is_unshared(&self) -> bool {
        match &self.voxels {
            Voxels::Stored(stored) => Arc::strong_count(stored) == 1,
            Voxels::Deferred(deferred) => Arc::strong_count(deferred) == 1,
        }
    }

    /// The values between voxels, read through an affine from output to source voxels; `done` as
    /// [`sample_linear_stored`] calls it.
    pub(super) fn sampled(
        &self,
        map: &DAffine3,
        (shape_xyz, fill): ([usize; 3], f32),
        done: &mut dyn FnMut(&mut [f32]),
    ) -> Vec<f32> {
        let (from, scaling) = (self.grid.shape_xyz(), self.scaling());
        let buffer = self.buffer_in(|| source_box(&[Step::Affine(*map)], from, shape_xyz));
        let out = (shape_xyz, fill);
        with_voxel_type!(self.dtype(), T => {
            let stored: (&[T], _) = (bytemuck::cast_slice(buffer.as_slice()), from);
            match scaling == Scaling::NONE {
                true => sample_linear_stored(stored, |v: T| v.to_f32(), map, out, done),
                false => sample_linear_stored(stored, |v| value_of(v, scaling), map, out, done),
            }
        })
    }

    /// The same voxels on another grid of the same shape (orientation or frame corrected).
    ///
    /// **Errors** when the voxel counts differ.
    pub fn with_grid(self, grid: Grid) -> Result<Self, VolumeError> {
        let (dtype, scaling) = self.stored_as();
        Self::try_new(self.buffer().clone(), dtype, scaling, grid)
    }
}

#[cfg(test)]
mod tests;
