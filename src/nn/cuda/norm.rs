//! Norm and activation: two-stage reductions and one pass.
#![expect(unsafe_code, reason = "kernels are launched with pointers and sizes")]

use super::super::norm_act::{EPS, Problem};
use super::{Arg, THREADS, Value, blocks, by_type, is_wide, launch, room, view};
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaStorage, Result};

/// Four numbers a sample and channel, on the device.
pub(in crate::nn) struct Table(CudaSlice<f32>);

/// Values that one block of the first stage sums.
const PIECE: usize = 1 << 14;

/// Most pieces of one sample: a second stage of more would be slow.
const PIECES: usize = 1 << 10;

fn pieces(problem: &Problem) -> usize {
    let values = problem.voxels * problem.channels.min(THREADS);
    values.div_ceil(PIECE).min(PIECES).min(problem.voxels)
}

/// Grid of the first stage, and room for its sums.
fn first_stage(device: &CudaDevice, problem: &Problem) -> Result<([usize; 3], CudaSlice<f64>)> {
    let (pieces, channels) = (pieces(problem), problem.channels);
    let partial = room::<f64>(device, problem.samples * pieces * channels * 2)?;
    Ok((
        [pieces, problem.samples, channels.div_ceil(THREADS)],
        partial,
    ))
}

/// The result, and the table that the gradient needs.
pub(in crate::nn) fn norm_act(
    op: &str,
    problem: &Problem,
    x: Arg<'_>,
    scale: Arg<'_>,
    shift: Arg<'_>,
) -> Result<(CudaStorage, Table)> {
    fn go<T: Value>(
        op: &str,
        problem: &Problem,
        x: Arg<'_>,
        scale: Arg<'_>,
        shift: Arg<'_>,
    ) -> Result<(CudaStorage, Table)> {
        let device = x.0.device.clone();
        let count = problem.samples * problem.voxels * problem.channels;
        let wide = is_wide::<T>(problem.channels, &[x.1]);
        let x = view::<T>(op, x)?;
        let (scale, shift) = (view::<f32>(op, scale)?, view::<f32>(op, shift)?);
        let (voxels, channels) = (problem.voxels as i64, problem.channels as i32);
        let (groups, samples) = (problem.groups as i32, problem.samples);

        let (grid, partial) = first_stage(&device, problem)?;
        let name = |kernel: &str| format!("norm_{kernel}_{}", T::SUFFIX);
        launch!(device, "norm and activation", norm, &name("moments"), grid; &x, &voxels, &channels, &groups, &partial);
        let table = room::<f32>(&device, samples * problem.channels * 4)?;
        let pieces = grid[0] as i32;
        launch!(device, "norm and activation", norm, &name("finish"), [samples * problem.groups, 1, 1];
            &x, &partial, &pieces, &voxels, &channels, &groups, &EPS, &scale, &shift, &table);
        let y = room::<T>(&device, count)?;
        let (kernel, step) = if wide {
            ("apply_wide", T::WIDE)
        } else {
            ("apply", 1)
        };
        let grid = [blocks(count / samples / step), samples, 1];
        launch!(device, "norm and activation", norm, &name(kernel), grid; &x, &table, &voxels, &channels, &problem.slope, &y);
        Ok((
            CudaStorage::wrap_cuda_slice(y, device.clone()),
            Table(table),
        ))
    }
    by_type!(op, x, go(op, problem, x, scale, shift))
}

/// dscale and dshift one after another in f32, and the terms that [`norm_act_input`] needs.
pub(in crate::nn) fn norm_act_sums(
    op: &str,
    problem: &Problem,
    table: &Table,
    [x, dy, scale]: [Arg<'_>; 3],
) -> Result<(CudaStorage, Table)> {
    fn go<T: Value>(
        op: &str,
        problem: &Problem,
        Table(table): &Table,
        [x, dy, scale]: [Arg<'_>; 3],
    ) -> Result<(CudaStorage, Table)> {
        let device = x.0.device.clone();
        let (x, dy, scale) = (
            view::<T>(op, x)?,
            view::<T>(op, dy)?,
            view::<f32>(op, scale)?,
        );
        let (voxels, channels) = (problem.voxels as i64, problem.channels as i32);
        let (groups, samples) = (problem.groups as i32, problem.samples);

        let (grid, partial) = first_stage(&device, problem)?;
        launch!(device, "norm and activation gradient", norm, &format!("norm_grad_sums_{}", T::SUFFIX), grid;
            &x, &dy, table, &voxels, &channels, &problem.slope, &partial);
        let totals = room::<f64>(&device, samples * problem.channels * 2)?;
        let terms = room::<f32>(&device, samples * problem.channels * 4)?;
        let pieces = grid[0] as i32;
        launch!(device, "norm and activation gradient", norm, "norm_grad_finish", [samples * problem.groups, 1, 1];
            &partial, &pieces, &voxels, &channels, &groups, &scale, table, &totals, &terms);
        let sums = room::<f32>(&device, 2 * problem.channels)?;
        let samples = samples as i32;
        launch!(device, "norm and activation gradient", norm, "norm_grad_affine", [(2 * problem.channels).div_ceil(THREADS), 1, 1];
            &totals, &samples, &channels, &sums);
        Ok((
            CudaStorage::wrap_cuda_slice(sums, device.clone()),
            Table(terms),
        ))
    }
    by_type!(op, x, go(op, problem, table, [x, dy, scale]))
}

/// dx, from what the forward pass and [`norm_act_sums`] left.
pub(in crate::nn) fn norm_act_input(
    op: &str,
    problem: &Problem,
    (table, terms): (&Table, &Table),
    [x, dy]: [Arg<'_>; 2],
) -> Result<CudaStorage> {
    fn go<T: Value>(
        op: &str,
        problem: &Problem,
        (Table(table), Table(terms)): (&Table, &Table),
        [x, dy]: [Arg<'_>; 2],
    ) -> Result<CudaStorage> {
        let device = x.0.device.clone();
        let count = problem.samples * problem.voxels * problem.channels;
        let wide = is_wide::<T>(problem.channels, &[x.1, dy.1]);
        let (x, dy) = (view::<T>(op, x)?, view::<T>(op, dy)?);
        let dx = room::<T>(&device, count)?;
        let (voxels, channels) = (problem.voxels as i64, problem.channels as i32);
        let (kernel, step) = if wide { ("wide_", T::WIDE) } else { ("", 1) };
        let grid = [blocks(count / problem.samples / step), problem.samples, 1];
        launch!(device, "norm and activation gradient", norm, &format!("norm_grad_apply_{kernel}{}", T::SUFFIX), grid;
            &x, &dy, table, terms, &voxels, &channels, &problem.slope, &dx);
        Ok(CudaStorage::wrap_cuda_slice(dx, device.clone()))
    }
    by_type!(op, x, go(op, problem, (table, terms), [x, dy]))
}
