//! The gradient of the kernel: a sum over all voxels, cut into parts by shape alone.

use super::super::cpu::{Matrix, add, matmul};
use super::forward::Scratch;
use super::tile::{Path, Problem, TASKS, Tile};
use rayon::prelude::*;
use std::ops::Range;

/// Values that the partial sums may hold together.
const PARTIAL: usize = 1 << 23;

/// The kernel's gradient `[co, K]` from the input and the output's gradient.
pub(super) fn gradient(problem: &Problem, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let (co, span, taps) = (problem.co, problem.span(), problem.taps());
    let length = co * taps * span;
    let tiles = problem.tiles();
    let parts = tiles.len().min(TASKS).min((PARTIAL / length).max(1));
    // Large kernels over few voxels: their lines are independent sums, so they share the work too.
    let splits = if parts * 2 <= TASKS && matches!(problem.path, Path::View | Path::Gather) {
        taps
    } else {
        1
    };
    let sums: Vec<Vec<f32>> = (0..parts * splits)
        .into_par_iter()
        .map_init(Scratch::default, |scratch, task| {
            let (part, split) = (task / splits, task % splits);
            let taps = taps * split / splits..taps * (split + 1) / splits;
            let mut sum = vec![0.0; co * taps.len() * span];
            for &tile in &tiles[tiles.len() * part / parts..tiles.len() * (part + 1) / parts] {
                let rows = tile.lines * problem.size[2];
                let dy = &dy[tile.first * problem.size[2] * co..][..rows * co];
                add_tile(problem, x, dy, tile, &taps, scratch, &mut sum);
            }
            sum
        })
        .collect();
    let mut total = vec![0.0; length];
    let width = taps * span / splits;
    total
        .par_chunks_mut(taps * span)
        .enumerate()
        .for_each(|(o, row)| {
            for sums in sums.chunks_exact(splits) {
                for (piece, sum) in row.chunks_exact_mut(width).zip(sums) {
                    add(piece, &sum[o * width..][..width]);
                }
            }
        });
    total
}

/// Adds one tile's share to `sum`, which is `[co, taps.len() * span]`.
fn add_tile(
    problem: &Problem,
    x: &[f32],
    dy: &[f32],
    tile: Tile,
    taps: &Range<usize>,
    scratch: &mut Scratch,
    sum: &mut [f32],
) {
    let [_, _, w] = problem.size;
    let (ci, co, span) = (problem.ci, problem.co, problem.span());
    let rows = tile.lines * w;
    let width = taps.len() * span;
    let gradient = Matrix::rows(dy, co).t();
    match problem.path {
        Path::Point => {
            let a = Matrix::rows(&x[tile.first * w * ci..][..rows * ci], ci);
            matmul([co, rows, ci], gradient, a, sum, width, true);
        }
        Path::Planar => {
            problem.gather_planar(x, tile, &mut scratch.line, &mut scratch.operand);
            // The product that reads both operands along their memory is the transposed one.
            let columns = Matrix::rows(&scratch.operand, rows);
            scratch.product.resize(width * co, 0.0);
            let product = &mut scratch.product;
            matmul(
                [width, rows, co],
                columns,
                Matrix::rows(dy, co),
                product,
                co,
                false,
            );
            for (o, sums) in sum.chunks_exact_mut(width).enumerate() {
                for (sum, row) in sums.iter_mut().zip(scratch.product.chunks_exact(co)) {
                    *sum += row[o];
                }
            }
        }
        Path::Gather => {
            let once = problem.taps_at_once(tile);
            for tap in taps.clone().step_by(once) {
                let chunk = tap..(tap + once).min(taps.end);
                let depth = chunk.len() * span;
                problem.gather(x, tile, &chunk, &mut scratch.line, &mut scratch.operand);
                let a = Matrix::rows(&scratch.operand, depth);
                let sum = &mut sum[(tap - taps.start) * span..];
                matmul([co, rows, depth], gradient, a, sum, width, true);
            }
        }
        Path::View => add_views(problem, x, dy, tile, taps, scratch, sum),
    }
}

/// As in the forward pass, with zeros in the gradient where a row straddles two lines.
fn add_views(
    problem: &Problem,
    x: &[f32],
    dy: &[f32],
    tile: Tile,
    taps: &Range<usize>,
    scratch: &mut Scratch,
    sum: &mut [f32],
) {
    let ([_, _, w], [kd, kh, kw]) = (problem.size, problem.kernel);
    let (ci, co, span) = (problem.ci, problem.co, problem.span());
    let padded_rows = w + kw - 1;
    let rows = (tile.lines - 1) * padded_rows + w;
    let width = taps.len() * span;
    scratch.product.resize(tile.lines * padded_rows * co, 0.0);
    for (line, source) in scratch
        .product
        .chunks_exact_mut(padded_rows * co)
        .zip(dy.chunks_exact(w * co))
    {
        line[..w * co].copy_from_slice(source);
        line[w * co..].fill(0.0);
    }
    let gradient = Matrix::rows(&scratch.product, co).t();
    for dz in 0..kd {
        let plane = dz * kh;
        let kernel_rows = taps.start.max(plane)..taps.end.min(plane + kh);
        if kernel_rows.is_empty() {
            continue;
        }
        let loaded = kernel_rows.start - plane..kernel_rows.end - plane;
        if !problem.load_lines(x, tile, dz, &loaded, &mut scratch.operand) {
            continue;
        }
        for (i, tap) in kernel_rows.enumerate() {
            let a = Matrix {
                data: &scratch.operand[i * padded_rows * ci..],
                strides: [ci, 1],
            };
            let sum = &mut sum[(tap - taps.start) * span..];
            matmul([co, rows, span], gradient, a, sum, width, true);
        }
    }
}
