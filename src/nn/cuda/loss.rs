//! Dice and cross entropy: nothing of it comes back to the host before the loss itself.
#![expect(unsafe_code, reason = "kernels are launched with pointers and sizes")]

use super::super::dice_ce::{DiceCe, Problem};
use super::launch::{Arg, blocks, launch, room, view};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaStorage, Result};

/// What the forward pass leaves for the gradient.
pub(in crate::nn) struct LossState {
    weights: CudaSlice<f32>,
    terms: CudaSlice<f32>,
}

/// Voxels that one block sums.
const PIECE: usize = 1 << 12;

/// Most pieces of one sample.
const PIECES: usize = 1 << 10;

/// The loss, a scalar in f32, and what its gradient needs.
pub(in crate::nn) fn dice_ce(
    op: &str,
    problem: &Problem,
    config: &DiceCe,
    logits: Arg<'_>,
    target: Arg<'_>,
) -> Result<(CudaStorage, LossState)> {
    let device = logits.0.device.clone();
    let (logits, target) = (view::<f32>(op, logits)?, view::<u8>(op, target)?);
    let weights = device.clone_htod(&problem.weights)?;
    let (voxels, classes) = (problem.voxels as i64, problem.classes as i32);
    let (samples, rows) = (problem.samples, 3 * problem.classes + 2);
    let pieces = problem.voxels.div_ceil(PIECE).clamp(1, PIECES);
    let partial = room::<f64>(&device, samples * rows * pieces)?;
    let squared = i32::from(problem.squared);
    launch!(device, "loss", loss, "dice_ce_sums", [pieces, samples, 1];
        &logits, &target, &voxels, &classes, &weights, &squared, &partial);
    let sums = room::<f64>(&device, samples * rows)?;
    let pieces = pieces as i32;
    launch!(device, "loss", loss, "join_pieces", [samples * rows, 1, 1]; &partial, &pieces, &sums);
    let loss = room::<f32>(&device, 1)?;
    let terms = room::<f32>(&device, samples * problem.classes * 2 + 1)?;
    let samples = samples as i32;
    let (background, batch) = (
        i32::from(config.include_background),
        i32::from(config.batch_dice),
    );
    launch!(device, "loss", loss, "dice_ce_terms", [1, 1, 1];
        &sums, &samples, &classes, &background, &config.smooth, &config.dice_weight, &config.ce_weight, &batch,
        &loss, &terms);
    let loss = CudaStorage::wrap_cuda_slice(loss, device.clone());
    Ok((loss, LossState { weights, terms }))
}

/// The gradient of the logits, times that of the loss.
pub(in crate::nn) fn dice_ce_gradient(
    op: &str,
    problem: &Problem,
    state: &LossState,
    [logits, target, g]: [Arg<'_>; 3],
) -> Result<CudaStorage> {
    let device = logits.0.device.clone();
    let (logits, target) = (view::<f32>(op, logits)?, view::<u8>(op, target)?);
    let g = view::<f32>(op, g)?;
    let dz = room::<f32>(&device, problem.samples * problem.voxels * problem.classes)?;
    let (voxels, classes) = (problem.voxels as i64, problem.classes as i32);
    let squared = i32::from(problem.squared);
    launch!(device, "loss", loss, "dice_ce_grad", [blocks(problem.voxels), problem.samples, 1];
        &logits, &target, &g, &state.terms, &voxels, &classes, &state.weights, &squared, &dz);
    Ok(CudaStorage::wrap_cuda_slice(dz, device.clone()))
}
