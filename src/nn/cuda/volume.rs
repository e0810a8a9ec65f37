//! Pooling, block permutation, and the plain convolution.
#![expect(unsafe_code, reason = "kernels are launched with pointers and sizes")]

use super::super::conv3d::Pass;
use super::{Arg, Value, blocks, by_type, launch, room, view};
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr};
use candle_core::{CudaStorage, Result};

/// The kernels' `Sizes`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sizes([i64; 5]);

// SAFETY: five 64-bit numbers, laid out as the kernels' struct.
unsafe impl DeviceRepr for Sizes {}

fn sizes(of: [usize; 5]) -> Sizes {
    Sizes(of.map(|size| size as i64))
}

fn ints(of: [usize; 3]) -> [i32; 3] {
    of.map(|size| size as i32)
}

/// Pooled values of `x` of this size.
pub(in crate::nn) fn max_pool3d(
    op: &str,
    size: [usize; 5],
    window: [usize; 3],
    x: Arg<'_>,
) -> Result<CudaStorage> {
    fn go<T: Value>(
        op: &str,
        size: [usize; 5],
        window: [usize; 3],
        x: Arg<'_>,
    ) -> Result<CudaStorage> {
        let device = x.0.device.clone();
        let count = size.iter().product::<usize>() / window.iter().product::<usize>();
        let (from, y) = (view::<T>(op, x)?, room::<T>(&device, count)?);
        let (size, [kd, kh, kw]) = (sizes(size), ints(window));
        launch!(device, "pooling", volume, &format!("max_pool_{}", T::SUFFIX), [blocks(count), 1, 1];
            &from, &size, &kd, &kh, &kw, &y);
        Ok(CudaStorage::wrap_cuda_slice(y, device.clone()))
    }
    by_type!(op, x, go(op, size, window, x))
}

/// The gradient of `x`, from `x`, the pooled `y` and its gradient.
pub(in crate::nn) fn max_pool3d_gradient(
    op: &str,
    size: [usize; 5],
    window: [usize; 3],
    [x, y, dy]: [Arg<'_>; 3],
) -> Result<CudaStorage> {
    fn go<T: Value>(
        op: &str,
        size: [usize; 5],
        window: [usize; 3],
        [x, y, dy]: [Arg<'_>; 3],
    ) -> Result<CudaStorage> {
        let device = x.0.device.clone();
        let count = size.iter().product::<usize>();
        let (x, y, dy) = (view::<T>(op, x)?, view::<T>(op, y)?, view::<T>(op, dy)?);
        let dx = room::<T>(&device, count)?;
        let pooled = count / window.iter().product::<usize>();
        let (size, [kd, kh, kw]) = (sizes(size), ints(window));
        launch!(device, "pooling", volume, &format!("max_pool_grad_{}", T::SUFFIX), [blocks(pooled), 1, 1];
            &x, &y, &dy, &size, &kd, &kh, &kw, &dx);
        Ok(CudaStorage::wrap_cuda_slice(dx, device.clone()))
    }
    by_type!(op, x, go(op, size, window, [x, y, dy]))
}

/// Blocks `[n, d, h, w, kd, kh, kw, c]` as the volume `[n, d kd, h kh, w kw, c]`, or `back`;
/// `size` is `[n, d, h, w, c]` of the blocks.
pub(in crate::nn) fn permute_blocks(
    op: &str,
    size: [usize; 5],
    kernel: [usize; 3],
    back: bool,
    x: Arg<'_>,
) -> Result<CudaStorage> {
    fn go<T: Value>(
        op: &str,
        size: [usize; 5],
        kernel: [usize; 3],
        back: bool,
        x: Arg<'_>,
    ) -> Result<CudaStorage> {
        let device = x.0.device.clone();
        let [kd, kh, kw] = ints(kernel);
        let back = i32::from(back);
        // Whole words of 16 bytes where rows are made of them: values are moved, not read.
        let (word, per_word) = match super::is_wide::<T>(size[4], &[x.1]) {
            true => (16, T::WIDE),
            false => (size_of::<T>(), 1),
        };
        let count = size.iter().product::<usize>() * kernel.iter().product::<usize>();
        let (from, to) = (view::<T>(op, x)?, room::<T>(&device, count)?);
        let [n, d, h, w, c] = size;
        let size = sizes([n, d, h, w, c / per_word]);
        launch!(device, "permutation", volume, &format!("permute_{word}"), [blocks(count / per_word), 1, 1];
            &from, &size, &kd, &kh, &kw, &back, &to);
        Ok(CudaStorage::wrap_cuda_slice(to, device.clone()))
    }
    by_type!(op, x, go(op, size, kernel, back, x))
}

/// A convolution where cuDNN has no algorithm; one thread an output, or one block a weight.
pub(super) fn plain_conv3d<T: Value>(
    device: &CudaDevice,
    pass: Pass,
    x: [usize; 5],
    kernel: [usize; 3],
    co: usize,
    (a, b): (&CudaView<'_, T>, &CudaView<'_, T>),
) -> Result<CudaSlice<T>> {
    let [n, d, h, w, ci] = x;
    let ([kd, kh, kw], voxels) = (ints(kernel), n * d * h * w);
    let weights = co * kernel.iter().product::<usize>() * ci;
    Ok(match pass {
        Pass::Forward | Pass::Data => {
            // The data gradient is a convolution of dy with the mirrored kernel.
            let mirrored = pass == Pass::Data;
            let (from, to) = if mirrored { (co, ci) } else { (ci, co) };
            let y = room::<T>(device, voxels * to)?;
            let size = sizes([n, d, h, w, from]);
            let (to, flag) = (to as i32, i32::from(mirrored));
            launch!(device, "plain convolution", volume, &format!("convolve_{}", T::SUFFIX), [blocks(voxels * to as usize), 1, 1];
                a, b, &size, &kd, &kh, &kw, &to, &flag, &y);
            y
        }
        Pass::Filter => {
            let dw = room::<T>(device, weights)?;
            let (size, outputs) = (sizes(x), co as i32);
            launch!(device, "plain convolution", volume, &format!("filter_grad_{}", T::SUFFIX), [weights, 1, 1];
                a, b, &size, &kd, &kh, &kw, &outputs, &dw);
            dw
        }
    })
}
