//! From a file's bytes to a volume in native byte order.

use super::header::Header;
use super::inflate::Block;
use super::input;
use crate::volume::{Volume, VolumeError, Voxel};
use crate::with_voxel_type;

/// Reads volume `index`; the header has been checked.
pub(super) fn volume(header: &Header, index: usize) -> Result<Volume, VolumeError> {
    let count = header.grid.voxel_count();
    let bytes = (count * header.dtype.bytes()) as u64;
    let block = Block {
        offset: header.vox_offset,
        whole: bytes * header.volumes as u64,
        skip: bytes * index as u64,
    };
    let voxels = with_voxel_type!(header.dtype, T => {
        let mut voxels = input::voxels::<T>(&header.voxels_path, block, count)?;
        if !header.byte_order.is_native() {
            swap_bytes(voxels.numbers_mut());
        }
        voxels.into_buffer()
    });
    Volume::try_new(voxels, header.dtype, header.scaling, header.grid)
}

/// Turns every voxel's bytes around, in place.
pub(super) fn swap_bytes<T: Voxel>(voxels: &mut [T]) {
    match size_of::<T>() {
        2 => bytemuck::cast_slice_mut::<T, u16>(voxels)
            .iter_mut()
            .for_each(|v| *v = v.swap_bytes()),
        4 => bytemuck::cast_slice_mut::<T, u32>(voxels)
            .iter_mut()
            .for_each(|v| *v = v.swap_bytes()),
        8 => bytemuck::cast_slice_mut::<T, u64>(voxels)
            .iter_mut()
            .for_each(|v| *v = v.swap_bytes()),
        _ => {}
    }
}
