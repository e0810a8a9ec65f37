//! One volume: a typed, shared buffer of voxels on a grid, or the recipe for one.

mod stored;
mod values;

use super::deferred::{Change, Deferred, stored_bytes};
use super::dtype::{Dtype, Scaling, Voxel};
use super::error::VolumeError;
use super::grid::Grid;
use crate::kernel::sample::sample_linear_stored;
use crate::kernel::warp::{Step, source_box};
use crate::with_voxel_type;
use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;
use glam::DAffine3;
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use std::sync::Arc;
use values::value_of;

pub use stored::Backing;
pub(super) use stored::{Part, Stored};

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
    pub fn materialised(self) -> Self {
        match &self.voxels {
            Voxels::Stored(_) => self,
            Voxels::Deferred(deferred) => {
                deferred.keep_lowest();
                let stored = Arc::clone(self.materialise());
                Self {
                    voxels: Voxels::Stored(stored),
                    ..self
                }
            }
        }
    }

    /// Bytes of the stored voxel with the smallest value, which represents what is outside an
    /// image; NaN is never the smallest, and where all are NaN the number 0 is.
    pub(super) fn lowest_stored(&self) -> [u8; 8] {
        let stored = self.materialise();
        *stored.lowest.get_or_init(|| {
            with_voxel_type!(stored.dtype, T => {
                let voxels: &[T] = bytemuck::cast_slice(stored.buffer().as_slice());
                stored_bytes(lowest(voxels, stored.scaling.slope))
            })
        })
    }

    /// [`Volume::lowest_stored`] where it was found already.
    pub(super) fn peek_lowest(&self) -> Option<[u8; 8]> {
        match &self.voxels {
            Voxels::Stored(stored) => stored.lowest.get().copied(),
            Voxels::Deferred(deferred) => deferred.computed()?.lowest.get().copied(),
        }
    }

    /// The smallest stored number as bits, to keep beside the voxels.
    pub fn lowest_bits(&self) -> u64 {
        u64::from_le_bytes(self.lowest_stored())
    }

    /// Takes the smallest stored number from where [`Volume::lowest_bits`] was kept.
    pub fn know_lowest(&mut self, bits: u64) {
        let stored = self.materialise();
        let stored = stored.shared().with_lowest(bits.to_le_bytes());
        self.voxels = Voxels::Stored(Arc::new(stored));
    }

    /// The same values as half floats, rounded to the nearest; integers stay as they are, and so do
    /// images with values that half floats cannot hold (above 65504).
    #[must_use]
    pub fn into_half(self) -> Self {
        let fits = |v: &f32| v.abs() <= f32::from(half::f16::MAX) || !v.is_finite();
        match self.as_slice::<f32>() {
            Some(values) if values.iter().all(fits) => {
                let mut half = vec![0u16; values.len()];
                half.reinterpret_cast_mut::<half::f16>()
                    .convert_from_f32_slice(values);
                let stored = Stored::untyped(Buffer::from_vec(half), Dtype::F16, self.scaling());
                Self::stored(stored, self.grid)
            }
            _ => self,
        }
    }

    /// The smallest value of the image, as [`Volume::lowest_stored`].
    pub(super) fn lowest_value(&self) -> f32 {
        let bytes = self.lowest_stored();
        let (dtype, scaling) = self.stored_as();
        with_voxel_type!(dtype, T => {
            let stored: T = bytemuck::pod_read_unaligned(&bytes[..size_of::<T>()]);
            value_of(stored, scaling)
        })
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

/// The stored number whose value is smallest; zero where every number is NaN.
fn lowest<T: Voxel>(stored: &[T], slope: f64) -> T {
    // Vectors of numbers compare lane by lane; a comparison with NaN is false, so NaN never enters.
    const LANES: usize = 16;
    let beats = |a: T, b: T| if slope < 0.0 { a > b } else { a < b };
    let Some(first) = stored.iter().copied().find(|v| !v.to_f64().is_nan()) else {
        return bytemuck::Zeroable::zeroed();
    };
    let mut lanes = [first; LANES];
    let chunks = stored.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = if beats(v, *lane) { v } else { *lane };
        }
    }
    let both = lanes.iter().chain(rest);
    both.fold(first, |a, &b| if beats(b, a) { b } else { a })
}

#[cfg(test)]
mod tests;
