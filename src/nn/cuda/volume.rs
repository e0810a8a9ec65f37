//! Pooling, block permutation, and the plain convolution.
#![expect(unsafe_code, reason = "kernels are launched with pointers and sizes")]

use super::super::conv3d::Pass;
use super::launch::{Arg, Value, blocks, by_type, is_wide, launch, room, view};
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr};
use candle_core::{CudaStorage, Layout, Result};

/// The kernels' `Sizes`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Sizes([i64; 5]);

// SAFETY: five 64-bit numbers, laid out as the kernels' struct.
unsafe impl DeviceRepr for Sizes {}

pub(super) fn sizes(of: [usize; 5]) -> Sizes {
    Sizes(of.map(|size| size as i64))
}

pub(super) fn ints(of: [usize; 3]) -> [i32; 3] {
    of.map(|size| size as i32)
}

/// Returns `true` if rows are moved in whole words of 16 bytes, counted in 32 bits; of all operands' layouts.
fn is_wide_volume<T: Value>(size: [usize; 5], layouts: &[&Layout]) -> bool {
    let words = size.iter().product::<usize>() / T::WIDE;
    is_wide::<T>(size[4], layouts) && words < (1 << 31)
}

/// How a pooling kernel's name begins, and the volume's size as it counts it.
fn pooling<T: Value>(size: [usize; 5], layouts: &[&Layout]) -> (&'static str, Sizes) {
    let [n, d, h, w, c] = size;
    match is_wide_volume::<T>(size, layouts) {
        true => ("wide_", sizes([n, d, h, w, c / T::WIDE])),
        false => ("", sizes(size)),
    }
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
        let (wide, sizes) = pooling::<T>(size, &[x.1]);
        let (from, y) = (view::<T>(op, x)?, room::<T>(&device, count)?);
        let [kd, kh, kw] = ints(window);
        launch!(device, "pooling", volume, &format!("max_pool_{wide}{}", T::SUFFIX), [blocks(count), 1, 1];
            &from, &sizes, &kd, &kh, &kw, &y);
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
        let (wide, sizes) = pooling::<T>(size, &[x.1, y.1, dy.1]);
        let (x, y, dy) = (view::<T>(op, x)?, view::<T>(op, y)?, view::<T>(op, dy)?);
        let dx = room::<T>(&device, count)?;
        let pooled = count / window.iter().product::<usize>();
        let [kd, kh, kw] = ints(window);
        launch!(device, "pooling", volume, &format!("max_pool_grad_{wide}{}", T::SUFFIX), [blocks(pooled), 1, 1];
            &x, &y, &dy, &sizes, &kd, &kh, &kw, &dx);
        Ok(CudaStorage::wrap_cuda_slice(dx, device.clone()))
    }
    by_type!(op, x, go(op, size, window, [x, y, dy]))
}

/// Bytes of the words that rows of `channels` values are moved in, and values of a word; of all
/// operands' layouts and channels.
fn words<T: Value>(count: usize, channels: &[usize], layouts: &[&Layout]) -> (usize, usize) {
    let wide = channels.iter().all(|&c| is_wide::<T>(c, layouts));
    match wide && count / T::WIDE < (1 << 31) {
        true => (16, T::WIDE),
        false => (size_of::<T>(), 1),
    }
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
        let count = size.iter().product::<usize>() * kernel.iter().product::<usize>();
        let (word, per_word) = words::<T>(count, &[size[4]], &[x.1]);
        let (from, to) = (view::<T>(op, x)?, room::<T>(&device, count)?);
        let [n, d, h, w, c] = size;
        let size = sizes([n, d, h, w, c / per_word]);
        launch!(device, "permutation", volume, &format!("permute_{word}"), [blocks(count / per_word), 1, 1];
            &from, &size, &kd, &kh, &kw, &back, &to);
        Ok(CudaStorage::wrap_cuda_slice(to, device.clone()))
    }
    by_type!(op, x, go(op, size, kernel, back, x))
}

/// Blocks `[n, d, h, w, kd, kh, kw, c]`, whose `size` is `[n, d, h, w, c]`, and a volume
/// `[n, d kd, h kh, w kw, s]` as the volume `[n, d kd, h kh, w kw, c + s]`.
pub(in crate::nn) fn join_blocks(
    op: &str,
    size: [usize; 5],
    kernel: [usize; 3],
    [blocks_, skip]: [Arg<'_>; 2],
) -> Result<CudaStorage> {
    fn go<T: Value>(
        op: &str,
        size: [usize; 5],
        kernel: [usize; 3],
        [blocks_, skip]: [Arg<'_>; 2],
    ) -> Result<CudaStorage> {
        let device = blocks_.0.device.clone();
        let layouts = [blocks_.1, skip.1];
        let (from, skip) = (view::<T>(op, blocks_)?, view::<T>(op, skip)?);
        let joined = room::<T>(&device, from.len() + skip.len())?;
        let join = Join::new::<T>(size, kernel, skip.len(), &layouts);
        let Join {
            sizes,
            kernel: [kd, kh, kw],
            skips,
            ..
        } = join;
        let apart = 0i32;
        launch!(device, "joining", volume, &join.name(), join.grid(joined.len());
            &from, &skip, &sizes, &kd, &kh, &kw, &skips, &apart, &joined);
        Ok(CudaStorage::wrap_cuda_slice(joined, device.clone()))
    }
    by_type!(op, blocks_, go(op, size, kernel, [blocks_, skip]))
}

/// The two parts of what [`join_blocks`] made, `skips` channels in the second.
pub(in crate::nn) fn part_blocks(
    op: &str,
    size: [usize; 5],
    kernel: [usize; 3],
    skips: usize,
    joined: Arg<'_>,
) -> Result<[CudaStorage; 2]> {
    fn go<T: Value>(
        op: &str,
        size: [usize; 5],
        kernel: [usize; 3],
        skips: usize,
        joined: Arg<'_>,
    ) -> Result<[CudaStorage; 2]> {
        let device = joined.0.device.clone();
        let layouts = [joined.1];
        let joined = view::<T>(op, joined)?;
        let taps = kernel.iter().product::<usize>();
        let skip = size[..4].iter().product::<usize>() * taps * skips;
        let (to, skip) = (
            room::<T>(&device, joined.len() - skip)?,
            room::<T>(&device, skip)?,
        );
        let join = Join::new::<T>(size, kernel, skip.len(), &layouts);
        let Join {
            sizes,
            kernel: [kd, kh, kw],
            skips,
            ..
        } = join;
        let apart = 1i32;
        launch!(device, "joining", volume, &join.name(), join.grid(joined.len());
            &to, &skip, &sizes, &kd, &kh, &kw, &skips, &apart, &joined);
        let storage = |slice| CudaStorage::wrap_cuda_slice(slice, device.clone());
        Ok([storage(to), storage(skip)])
    }
    by_type!(op, joined, go(op, size, kernel, skips, joined))
}

/// How the kernel that joins counts.
struct Join {
    sizes: Sizes,
    kernel: [i32; 3],
    /// Words of a voxel of the second part.
    skips: i64,
    word: usize,
    per_word: usize,
}

impl Join {
    /// For a second part of `skip` values.
    fn new<T: Value>(
        [n, d, h, w, c]: [usize; 5],
        kernel: [usize; 3],
        skip: usize,
        layouts: &[&Layout],
    ) -> Self {
        let voxels = n * d * h * w * kernel.iter().product::<usize>();
        let skips = skip / voxels;
        let (word, per_word) = words::<T>(voxels * (c + skips), &[c, skips], layouts);
        Self {
            sizes: sizes([n, d, h, w, c / per_word]),
            kernel: ints(kernel),
            skips: (skips / per_word) as i64,
            word,
            per_word,
        }
    }

    fn name(&self) -> String {
        format!("join_{}", self.word)
    }

    fn grid(&self, values: usize) -> [usize; 3] {
        [blocks(values / self.per_word), 1, 1]
    }
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
