//! The smallest value of a volume, which represents what is outside an image.

use super::stored::{stored_bytes, value_of};
use super::{Volume, Voxels};
use crate::volume::dtype::Voxel;
use crate::with_voxel_type;
use std::sync::Arc;

impl Volume {
    /// Bytes of the stored voxel with the smallest value, which represents what is outside an
    /// image; NaN and infinities are never the smallest, and where no number is finite 0 is.
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

/// The stored number whose value is smallest and finite; zero where there is none.
fn lowest<T: Voxel>(stored: &[T], slope: f64) -> T {
    let found = smallest(stored, slope);
    // Rare, so the search among finite numbers costs nothing where there is no infinity.
    match found.to_f64().is_finite() {
        true => found,
        false => {
            let finite = |v: &T| v.to_f64().is_finite();
            let beats = |a: T, b: T| if slope < 0.0 { a > b } else { a < b };
            let smaller = |a: T, b: T| if beats(b, a) { b } else { a };
            let kept = stored.iter().copied().filter(finite).reduce(smaller);
            kept.unwrap_or_else(bytemuck::Zeroable::zeroed)
        }
    }
}

/// The stored number whose value is smallest, infinities included; zero where every number is NaN.
fn smallest<T: Voxel>(stored: &[T], slope: f64) -> T {
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
mod tests {
    use super::*;
    use crate::volume::Grid;

    #[test]
    fn what_is_outside_is_the_smallest_finite_value() {
        let grid = Grid::with_spacing([20, 1, 1], [1.0; 3]).unwrap();
        let lowest = |values: [f32; 4]| {
            let mut voxels = vec![values[0]; 20];
            voxels[3..7].copy_from_slice(&values);
            Volume::from_vec(voxels, grid).unwrap().lowest_value()
        };
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert_eq!(lowest([3.0, -7.0, nan, 5.0]), -7.0);
        assert_eq!(lowest([3.0, -inf, nan, -5.0]), -5.0);
        assert_eq!(lowest([inf, -inf, -inf, 4.0]), 4.0);
        assert_eq!(lowest([inf, inf, -inf, nan]), 0.0);
        assert_eq!(lowest([nan, nan, nan, nan]), 0.0);
    }
}
