//! Norm and activation: two-stage reductions and one pass.
#![expect(unsafe_code, reason = "kernels are launched with pointers and sizes")]

use super::super::norm_act::{EPS, Problem};
use super::launch::{Arg, THREADS, Value, blocks, by_type, is_wide, launch, room, view};
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};
use candle_core::{CudaStorage, Layout, Result};

/// Four numbers a sample and channel, on the device.
pub(in crate::nn) struct Table(CudaSlice<f32>);

/// Values that one block of the first stage sums.
const PIECE: usize = 1 << 14;

/// Most pieces of one sample: two blocks a multiprocessor, since each ends with a sum over its threads.
const PIECES: usize = 264;

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

/// Returns `true` if the first stage reads whole packs: a row of them must fit a block.
fn wide_rows<T: Value>(problem: &Problem, layouts: &[&Layout]) -> bool {
    is_wide::<T>(problem.channels, layouts) && problem.channels / T::WIDE <= THREADS
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
        let wide = is_wide::<T>(problem.channels, &[x.1]);
        let moments = match wide_rows::<T>(problem, &[x.1]) {
            true => "moments_wide",
            false => "moments",
        };
        let x = view::<T>(op, x)?;
        let (scale, shift) = (view::<f32>(op, scale)?, view::<f32>(op, shift)?);
        let (voxels, channels) = (problem.voxels as i64, problem.channels as i32);
        let (groups, samples) = (problem.groups as i32, problem.samples);

        let (grid, partial) = first_stage(&device, problem)?;
        let name = |kernel: &str| format!("norm_{kernel}_{}", T::SUFFIX);
        launch!(device, "norm and activation", norm, &name(moments), grid; &x, &voxels, &channels, &groups, &partial);
        let table = room::<f32>(&device, samples * problem.channels * 4)?;
        let pieces = grid[0] as i32;
        launch!(device, "norm and activation", norm, &name("finish"), [samples * problem.groups, 1, 1];
            &x, &partial, &pieces, &voxels, &channels, &groups, &EPS, &scale, &shift, &table);
        let y = apply(&device, problem, &x, &table, wide)?;
        Ok((
            CudaStorage::wrap_cuda_slice(y, device.clone()),
            Table(table),
        ))
    }
    by_type!(op, x, go(op, problem, x, scale, shift))
}

/// The second stage: each value by its channel's two numbers, and the activation.
fn apply<T: Value>(
    device: &CudaDevice,
    problem: &Problem,
    x: &CudaView<'_, T>,
    table: &CudaSlice<f32>,
    wide: bool,
) -> Result<CudaSlice<T>> {
    let count = problem.samples * problem.voxels * problem.channels;
    let y = room::<T>(device, count)?;
    let (kernel, step) = match wide {
        true => ("apply_wide", T::WIDE),
        false => ("apply", 1),
    };
    let (voxels, channels) = (problem.voxels as i64, problem.channels as i32);
    let grid = [blocks(count / problem.samples / step), problem.samples, 1];
    launch!(device, "norm and activation", norm, &format!("norm_{kernel}_{}", T::SUFFIX), grid;
        x, table, &voxels, &channels, &problem.slope, &y);
    Ok(y)
}

/// The result of [`norm_act`] once more, from the same `x` and the table that it left.
pub(in crate::nn) fn norm_act_again(
    op: &str,
    problem: &Problem,
    Table(table): &Table,
    x: Arg<'_>,
) -> Result<CudaStorage> {
    fn go<T: Value>(
        op: &str,
        problem: &Problem,
        table: &CudaSlice<f32>,
        x: Arg<'_>,
    ) -> Result<CudaStorage> {
        let (device, wide) = (x.0.device.clone(), is_wide::<T>(problem.channels, &[x.1]));
        let y = apply(&device, problem, &view::<T>(op, x)?, table, wide)?;
        Ok(CudaStorage::wrap_cuda_slice(y, device))
    }
    by_type!(op, x, go(op, problem, table, x))
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
        let kernel = match wide_rows::<T>(problem, &[x.1, dy.1]) {
            true => "norm_grad_sums_wide",
            false => "norm_grad_sums",
        };
        let (x, dy, scale) = (
            view::<T>(op, x)?,
            view::<T>(op, dy)?,
            view::<f32>(op, scale)?,
        );
        let (voxels, channels) = (problem.voxels as i64, problem.channels as i32);
        let (groups, samples) = (problem.groups as i32, problem.samples);

        let (grid, partial) = first_stage(&device, problem)?;
        launch!(device, "norm and activation gradient", norm, &format!("{kernel}_{}", T::SUFFIX), grid;
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

/// `y[v, c] = x[v, c] + bias[c]`, for an f32 bias.
pub(in crate::nn) fn add_bias(op: &str, x: Arg<'_>, bias: Arg<'_>) -> Result<CudaStorage> {
    fn go<T: Value>(op: &str, x: Arg<'_>, bias: Arg<'_>) -> Result<CudaStorage> {
        let device = x.0.device.clone();
        let (x, bias) = (view::<T>(op, x)?, view::<f32>(op, bias)?);
        let y = room::<T>(&device, x.len())?;
        let (count, channels) = (x.len() as i64, bias.len() as i32);
        launch!(device, "bias", norm, &format!("add_bias_{}", T::SUFFIX), [blocks(x.len()), 1, 1];
            &x, &bias, &count, &channels, &y);
        Ok(CudaStorage::wrap_cuda_slice(y, device.clone()))
    }
    by_type!(op, x, go(op, x, bias))
}

/// Sums of the columns of `[rows, channels]`, in f32: the gradient of a bias.
pub(in crate::nn) fn column_sums(op: &str, x: Arg<'_>, channels: usize) -> Result<CudaStorage> {
    fn go<T: Value>(op: &str, x: Arg<'_>, channels: usize) -> Result<CudaStorage> {
        let device = x.0.device.clone();
        let x = view::<T>(op, x)?;
        let problem = Problem {
            samples: 1,
            channels,
            groups: channels,
            voxels: x.len() / channels,
            slope: 1.0,
        };
        let (grid, partial) = first_stage(&device, &problem)?;
        let (rows, pieces) = (problem.voxels as i64, grid[0] as i32);
        let sums = room::<f32>(&device, channels)?;
        let count = channels as i32;
        launch!(device, "bias", norm, &format!("column_sums_{}", T::SUFFIX), grid; &x, &rows, &count, &partial);
        launch!(device, "bias", norm, "column_sums_finish", [channels, 1, 1]; &partial, &pieces, &count, &sums);
        Ok(CudaStorage::wrap_cuda_slice(sums, device.clone()))
    }
    by_type!(op, x, go(op, x, channels))
}
