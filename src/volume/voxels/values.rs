//! Stored numbers as values.

use super::super::change::{BLOCK, Change};
use super::super::dtype::{Dtype, Scaling, Voxel};
use super::Volume;
use super::stored::{Part, Stored, value_of};
use crate::with_voxel_type;
use arrow::buffer::Buffer;
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use std::borrow::Cow;
use std::sync::Arc;

impl Volume {
    /// Returns `true` if the voxels are computed: reading them makes nothing that a pass has deferred.
    pub fn is_computed(&self) -> bool {
        self.address().is_some()
    }

    /// The values as f32 `[z, y, x]`; borrowed when they are stored so.
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        if let (Some(values), Scaling::NONE) = (self.as_slice::<f32>(), self.scaling()) {
            return Cow::Borrowed(values);
        }
        let mut values = Vec::with_capacity(self.grid.voxel_count());
        self.append_f32(&mut values);
        Cow::Owned(values)
    }

    /// As [`Volume::to_f32`], for a caller that reads a box of the values alone.
    pub(in crate::volume) fn to_f32_in(&self, part: impl FnOnce() -> Part) -> Cow<'_, [f32]> {
        match self.is_plain_f32() {
            true => Cow::Borrowed(bytemuck::cast_slice(self.buffer_in(part).as_slice())),
            false => self.to_f32(),
        }
    }

    /// Appends the values as f32, in the order `[z, y, x]`.
    pub fn append_f32(&self, values: &mut Vec<f32>) {
        with_voxel_type!(self.dtype(), T => {
            append(bytemuck::cast_slice::<_, T>(self.buffer().as_slice()), self.scaling(), values);
        });
    }

    /// The same values stored as f32 without scaling.
    pub fn into_f32(self) -> Self {
        if self.is_plain_f32() {
            return self;
        }
        self.changed_by(Vec::new())
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

    /// Changes the values in place as f32 `[z, y, x]`.
    ///
    /// Converts to f32 first if they are stored otherwise, and copies if the buffer is shared.
    #[must_use]
    pub fn map_f32(self, change: impl FnOnce(&mut [f32])) -> Self {
        let grid = self.grid;
        let mut values = self.into_values();
        change(&mut values);
        Self::stored(Stored::of(values, Scaling::NONE), grid)
    }

    /// The values as a vector of f32, without a copy where nothing else holds them.
    pub(in crate::volume) fn into_values(self) -> Vec<f32> {
        if !self.is_plain_f32() {
            return self.to_f32().into_owned();
        }
        let stored = Arc::clone(self.materialise());
        // Dropped before the buffer is asked whether anybody else holds it.
        drop(self);
        let buffer = match Arc::try_unwrap(stored) {
            Ok(stored) => stored.into_buffer(),
            Err(shared) => return bytemuck::cast_slice(shared.buffer().as_slice()).to_vec(),
        };
        buffer
            .into_vec()
            .unwrap_or_else(|shared: Buffer| bytemuck::cast_slice(shared.as_slice()).to_vec())
    }

    /// The values with every change made, block by block.
    pub(in crate::volume) fn with_changes_made(&self, changes: &[Change]) -> Vec<f32> {
        let scaling = self.scaling();
        with_voxel_type!(self.dtype(), T => {
            let stored: &[T] = bytemuck::cast_slice(self.buffer().as_slice());
            let mut values = Vec::with_capacity(stored.len());
            for (i, block) in stored.chunks(BLOCK).enumerate() {
                let first = i * BLOCK;
                append(block, scaling, &mut values);
                let fresh = &mut values[first..];
                changes.iter().for_each(|change| change.make(fresh, first));
            }
            values
        })
    }
}

/// Appends the values of stored numbers; one loop a case, so that each becomes vector code.
fn append<T: Voxel>(stored: &[T], scaling: Scaling, values: &mut Vec<f32>) {
    match scaling == Scaling::NONE {
        true => T::append_f32(stored, values),
        false => values.extend(stored.iter().map(|v| value_of(*v, scaling))),
    }
}

/// The values of stored numbers; numbers that are their values as f32 are not copied.
pub(in crate::volume) fn values_of<T: Voxel>(stored: Vec<T>, scaling: Scaling) -> Vec<f32> {
    if T::DTYPE == Dtype::F32 && scaling == Scaling::NONE {
        return bytemuck::cast_vec(stored);
    }
    let mut values = Vec::with_capacity(stored.len());
    append(&stored, scaling, &mut values);
    values
}
