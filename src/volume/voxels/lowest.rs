//! The smallest value of a volume, which represents what is outside an image.

use super::stored::{stored_bytes, value_of};
use super::{Volume, Voxels};
use crate::volume::dtype::Voxel;
use crate::with_voxel_type;
use std::sync::Arc;

impl Volume {
    /// Bytes of the stored voxel with the smallest value, which represents what is outside an
    /// image; NaN is never the smallest, and where all are NaN the number 0 is.
    pub(in crate::volume) fn lowest_stored(&self) -> [u8; 8] {
        let stored = self.materialise();
        *stored.lowest.get_or_init(|| {
            with_voxel_type!(stored.dtype, T => {
                let voxels: &[T] = bytemuck::cast_slice(stored.buffer().as_slice());
                stored_bytes(lowest(voxels, stored.scaling.slope))
            })
        })
    }

    /// [`Volume::lowest_stored`] where it was found already.
    pub(in crate::volume) fn peek_lowest(&self) -> Option<[u8; 8]> {
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

    /// The smallest value of the image, as [`Volume::lowest_stored`].
    pub(in crate::volume) fn lowest_value(&self) -> f32 {
        let bytes = self.lowest_stored();
        let (dtype, scaling) = self.stored_as();
        with_voxel_type!(dtype, T => {
            let stored: T = bytemuck::pod_read_unaligned(&bytes[..size_of::<T>()]);
            value_of(stored, scaling)
        })
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
