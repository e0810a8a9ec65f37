//! What the operators' CUDA sides share: types of values, views of tensors, launches.

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::cudarc::cudnn::sys::cudnnDataType_t;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, CudaViewMut, DeviceRepr, LaunchConfig,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorageSlice};
use candle_core::{CudaStorage, Layout, Result, bail};
use half::bf16;

/// A tensor as operators get it.
pub(in crate::nn) type Arg<'a> = (&'a CudaStorage, &'a Layout);

/// Threads of a block; the kernels' `THREADS`.
pub(super) const THREADS: usize = 256;

/// Blocks of an elementwise pass: a few for each multiprocessor, each thread walks on by the grid.
pub(super) const BLOCKS: usize = 132 * 16;

/// Values that activations may have.
pub(super) trait Value: CudaDType + DeviceRepr {
    /// How kernels' names end.
    const SUFFIX: &'static str;
    /// Values in 16 bytes.
    const WIDE: usize;
    /// cuDNN's name.
    const DNN: cudnnDataType_t;
}

impl Value for f32 {
    const SUFFIX: &'static str = "f32";
    const WIDE: usize = 4;
    const DNN: cudnnDataType_t = cudnnDataType_t::CUDNN_DATA_FLOAT;
}

impl Value for bf16 {
    const SUFFIX: &'static str = "bf16";
    const WIDE: usize = 8;
    const DNN: cudnnDataType_t = cudnnDataType_t::CUDNN_DATA_BFLOAT16;
}

/// Calls `$go::<f32>` or `$go::<bf16>` by the type of `$arg`'s values.
macro_rules! by_type {
    ($op:expr, $arg:expr, $go:ident ( $($args:expr),* )) => {
        match &$arg.0.slice {
            candle_core::cuda_backend::CudaStorageSlice::F32(_) => $go::<f32>($($args),*),
            candle_core::cuda_backend::CudaStorageSlice::BF16(_) => $go::<half::bf16>($($args),*),
            _ => candle_core::bail!("{}: expected f32 or bf16 values; convert with `to_dtype`", $op),
        }
    };
}
pub(super) use by_type;

/// Launches `$name` of the kernel file `$file` on `$dev`'s stream; its time counts to `$family`.
macro_rules! launch {
    ($dev:expr, $family:literal, $file:ident, $name:expr, $grid:expr; $($arg:expr),* $(,)?) => {{
        use candle_core::cuda_backend::WrapErr as _;
        use candle_core::cuda_backend::cudarc::driver::PushKernelArg as _;
        let function = $dev.get_or_load_custom_func(
            $name,
            stringify!($file),
            include_str!(concat!(env!("OUT_DIR"), "/", stringify!($file), ".ptx")),
        )?;
        let _timed = $crate::nn::cuda::profile::timed(&$dev, $family);
        let mut builder = function.builder();
        $( builder.arg($arg); )*
        // SAFETY: the arguments are those of the kernel, in its order and types; the caller checked
        // that every buffer holds what the sizes among the arguments let the kernel touch.
        unsafe { builder.launch($crate::nn::cuda::launch::config($grid)) }.w()?;
    }};
}
pub(super) use launch;

/// Blocks of [`THREADS`] threads.
pub(super) fn config([x, y, z]: [usize; 3]) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (x as u32, y as u32, z as u32),
        block_dim: (THREADS as u32, 1, 1),
        shared_mem_bytes: 0,
    }
}

/// Blocks for an elementwise pass over `count` values.
pub(super) fn blocks(count: usize) -> usize {
    count.div_ceil(THREADS).clamp(1, BLOCKS)
}

/// The values of a contiguous tensor. **Errors** name the operator and what was found.
pub(super) fn view<'a, T: CudaDType>(
    op: &str,
    (storage, layout): Arg<'a>,
) -> Result<CudaView<'a, T>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!(
            "{op}: expected a contiguous tensor, found strides {:?}",
            layout.stride()
        );
    };
    let Ok(values) = storage.as_cuda_slice::<T>() else {
        let found = storage.dtype();
        let expected = std::any::type_name::<T>();
        bail!("{op}: expected {expected} values, found {found:?}; convert with `to_dtype`");
    };
    Ok(values.slice(start..end))
}

/// As [`view`], to write.
pub(super) fn view_mut<'a>(
    op: &str,
    storage: &'a mut CudaStorage,
    layout: &Layout,
) -> Result<CudaViewMut<'a, f32>> {
    match (&mut storage.slice, layout.contiguous_offsets()) {
        (CudaStorageSlice::F32(values), Some((start, end))) => Ok(values.slice_mut(start..end)),
        _ => bail!("{op}: expected contiguous f32 values"),
    }
}

/// Returns `true` if rows of `c` values can be read 16 bytes at a time.
pub(super) fn is_wide<T: Value>(c: usize, layouts: &[&Layout]) -> bool {
    let aligned = |layout: &&Layout| layout.start_offset().is_multiple_of(T::WIDE);
    c.is_multiple_of(T::WIDE) && layouts.iter().all(aligned)
}

/// A buffer that the next kernel fills whole.
#[expect(
    unsafe_code,
    reason = "device memory is not zeroed before it is written"
)]
pub(super) fn room<T: DeviceRepr>(device: &CudaDevice, count: usize) -> Result<CudaSlice<T>> {
    // SAFETY: every caller hands the buffer to a kernel that writes all of it before it is read.
    unsafe { device.alloc::<T>(count) }
}
