//! Convolutions where one side has one to four channels: the first of a network, and its head.
#![expect(unsafe_code, reason = "kernels are launched with pointers and sizes")]

use super::super::conv3d::{Pass, Sizes};
use super::launch::{BLOCKS, THREADS, Value, blocks, launch, room};
use super::volume::{ints, sizes};
use candle_core::Result;
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};

/// Most channels of the thin side.
const THIN: usize = 4;

/// Output channels of one thread; the kernels' `OUTPUTS`.
const OUTPUTS: usize = 16;

/// Most channels of the other side, and taps: the kernel is in shared memory.
const MOST: [usize; 2] = [64, 27];

/// Pieces of a volume that blocks sum on their own.
const PIECES: usize = BLOCKS / 2;

/// The kernel that makes a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    FromThin,
    ToThin,
    Filter,
}

fn kernel<T: Value>(pass: Pass, of: Sizes) -> Option<Kernel> {
    let (ci, co, taps) = (of.x[4], of.co, of.kernel.iter().product::<usize>());
    let outputs = |c: usize| c.is_multiple_of(OUTPUTS) && c <= MOST[0];
    if of.stride > 1 || taps > MOST[1] || of.kernel.iter().any(|k| k.is_multiple_of(2)) {
        return None;
    }
    match pass {
        Pass::Forward if ci <= THIN && outputs(co) => Some(Kernel::FromThin),
        Pass::Forward if co <= THIN && taps == 1 && ci.is_multiple_of(T::WIDE) && ci <= MOST[0] => {
            Some(Kernel::ToThin)
        }
        Pass::Data if co <= THIN && outputs(ci) => Some(Kernel::FromThin),
        Pass::Filter if ci <= THIN && outputs(co) && taps * ci <= THREADS => Some(Kernel::Filter),
        _ => None,
    }
}

/// Returns `true` if a kernel of this file makes the pass; operands begin at multiples of 16 bytes, and volumes
/// count less than 2³¹ values.
pub(super) fn suits<T: Value>(pass: Pass, of: Sizes) -> bool {
    kernel::<T>(pass, of).is_some()
}

/// One of a convolution's three passes, that [`suits`]; operands as [`super::conv3d`].
pub(super) fn conv3d<T: Value>(
    device: &CudaDevice,
    pass: Pass,
    of: Sizes,
    (a, b): (&CudaView<'_, T>, &CudaView<'_, T>),
) -> Result<CudaSlice<T>> {
    let Some(kernel) = kernel::<T>(pass, of) else {
        candle_core::bail!("no kernel for few channels makes {pass:?} of {of:?}");
    };
    let [n, d, h, w, ci] = of.x;
    let ([kd, kh, kw], voxels) = (ints(of.kernel), n * d * h * w);
    Ok(match kernel {
        Kernel::FromThin => {
            // The data gradient is a convolution of dy with the mirrored kernel.
            let mirrored = pass == Pass::Data;
            let (from, to) = if mirrored { (of.co, ci) } else { (ci, of.co) };
            let y = room::<T>(device, voxels * to)?;
            let size = sizes([n, d, h, w, from]);
            let (outputs, flag) = (to as i32, i32::from(mirrored));
            launch!(device, "conv3d", thin, &format!("from_thin_{}", T::SUFFIX), [blocks(voxels * to / OUTPUTS), 1, 1];
                a, b, &size, &kd, &kh, &kw, &outputs, &flag, &y);
            y
        }
        Kernel::ToThin => {
            let y = room::<T>(device, voxels * of.co)?;
            let (rows, from, to) = (voxels as i64, ci as i32, of.co as i32);
            launch!(device, "conv3d", thin, &format!("to_thin_{}", T::SUFFIX), [blocks(voxels), 1, 1];
                a, b, &rows, &from, &to, &y);
            y
        }
        Kernel::Filter => {
            let entries = of.kernel.iter().product::<usize>() * ci;
            let dw = room::<T>(device, entries * of.co)?;
            let pieces = PIECES.min(voxels.div_ceil(THREADS));
            let partial = room::<f64>(device, pieces * entries * of.co)?;
            let (size, co) = (sizes(of.x), of.co as i32);
            launch!(device, "conv3d", thin, &format!("thin_filter_{}", T::SUFFIX), [pieces, of.co / OUTPUTS, 1];
                a, b, &size, &kd, &kh, &kw, &co, &partial);
            let (pieces, rows) = (pieces as i32, entries as i32);
            launch!(device, "conv3d", thin, &format!("thin_filter_finish_{}", T::SUFFIX), [entries * of.co, 1, 1];
                &partial, &pieces, &rows, &dw);
            dw
        }
    })
}
