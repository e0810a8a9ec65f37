//! The optimiser's passes.
#![expect(unsafe_code, reason = "kernels are launched with pointers and sizes")]

use super::super::adamw::Constants;
use super::launch::{Arg, THREADS, blocks, launch, room, view, view_mut};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaStorage, Device, Layout, Result, bail};

/// Most blocks that sum one tensor's squares.
const SUMS: usize = 264;

/// Both moments of one parameter, on the device.
pub(in crate::nn) struct Moments {
    mean: CudaSlice<f32>,
    square: CudaSlice<f32>,
}

impl Moments {
    /// Moments with these values, on the device of the parameter.
    pub(in crate::nn) fn new(beside: &CudaStorage, mean: &[f32], square: &[f32]) -> Result<Self> {
        let device = &beside.device;
        Ok(Self {
            mean: device.clone_htod(mean)?,
            square: device.clone_htod(square)?,
        })
    }

    /// Copies of both.
    pub(in crate::nn) fn values(&self, device: &Device) -> Result<[Vec<f32>; 2]> {
        let device = device.as_cuda_device()?;
        Ok([
            device.clone_dtoh(&self.mean)?,
            device.clone_dtoh(&self.square)?,
        ])
    }
}

fn fits(op: &str, found: usize, expected: usize) -> Result<()> {
    if found != expected {
        bail!("{op}: found {found} values, expected {expected}");
    }
    Ok(())
}

/// `dst = keep dst + factor src`.
pub(in crate::nn) fn blend(
    op: &str,
    (dst, layout): (&mut CudaStorage, &Layout),
    src: Arg<'_>,
    (keep, factor): (f32, f32),
) -> Result<()> {
    let device = dst.device.clone();
    let (mut dst, src) = (view_mut(op, dst, layout)?, view::<f32>(op, src)?);
    fits(op, src.len(), dst.len())?;
    let count = dst.len() as i64;
    let grid = [blocks(dst.len()), 1, 1];
    launch!(device, "optimiser", step, "blend", grid; &mut dst, &src, &count, &keep, &factor);
    Ok(())
}

/// `dst = factor dst`; 0 clears.
pub(in crate::nn) fn scale(
    op: &str,
    (dst, layout): (&mut CudaStorage, &Layout),
    factor: f32,
) -> Result<()> {
    let device = dst.device.clone();
    let mut dst = view_mut(op, dst, layout)?;
    let count = dst.len() as i64;
    let grid = [blocks(dst.len()), 1, 1];
    launch!(device, "optimiser", step, "scale", grid; &mut dst, &count, &factor);
    Ok(())
}

/// One parameter's step.
pub(in crate::nn) fn adamw(
    op: &str,
    (dst, layout): (&mut CudaStorage, &Layout),
    gradient: Arg<'_>,
    moments: &mut Moments,
    constants: &Constants,
) -> Result<()> {
    let device = dst.device.clone();
    let (mut values, gradient) = (view_mut(op, dst, layout)?, view::<f32>(op, gradient)?);
    fits(op, gradient.len(), values.len())?;
    fits(op, moments.mean.len(), values.len())?;
    let count = values.len() as i64;
    let grid = [blocks(values.len()), 1, 1];
    launch!(device, "optimiser", step, "adamw", grid;
        &mut values, &gradient, &mut moments.mean, &mut moments.square, &count,
        &constants.beta1, &constants.beta2, &constants.keep, &constants.rate, &constants.root, &constants.eps);
    Ok(())
}

/// Sum of the squares of all values, in f64; one number comes back.
pub(in crate::nn) fn sum_of_squares(op: &str, tensors: &[Arg<'_>]) -> Result<f64> {
    let Some((first, _)) = tensors.first() else {
        return Ok(0.0);
    };
    let device = first.device.clone();
    let blocks: Vec<usize> = tensors
        .iter()
        .map(|(_, layout)| {
            layout
                .shape()
                .elem_count()
                .div_ceil(8 * THREADS)
                .clamp(1, SUMS)
        })
        .collect();
    let pieces = blocks.iter().sum();
    let mut partial = room::<f64>(&device, pieces)?;
    let mut start = 0;
    for (tensor, blocks) in tensors.iter().zip(blocks) {
        let values = view::<f32>(op, *tensor)?;
        let mut sums = partial.slice_mut(start..start + blocks);
        let count = values.len() as i64;
        launch!(device, "optimiser", step, "squares", [blocks, 1, 1]; &values, &count, &mut sums);
        start += blocks;
    }
    let (sum, pieces) = (room::<f64>(&device, 1)?, pieces as i32);
    launch!(device, "optimiser", loss, "join_pieces", [1, 1, 1]; &partial, &pieces, &sum);
    Ok(device
        .clone_dtoh(&sum)?
        .first()
        .copied()
        .unwrap_or(f64::NAN))
}
