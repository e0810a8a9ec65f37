//! The gradient of the kernel: a sum over all voxels, cut into parts by shape alone.

use super::super::cpu::{Matrix, add, matmul};
use super::forward::Scratch;
use super::tile::{Path, Problem, TASKS, Tile};
use super::winograd;
use rayon::prelude::*;
use std::ops::Range;

/// Values that the partial sums may hold together.
const PARTIAL: usize = 1 << 23;

/// Fewer partial sums than this would not share the work among threads.
const FEW: usize = 8;

/// The kernel's gradient `[co, K]` from the input and the output's gradient.
pub(super) fn gradient(problem: &Problem, x: &[f32], dy: &[f32]) -> Vec<f32> {
    if problem.path == Path::Winograd {
        return winograd::gradient(problem, x, dy);
    }
    let (co, span, taps) = (problem.co, problem.span(), problem.taps());
    let length = co * taps * span;
    let tiles = problem.tiles();
    let share = |tile: &Tile| {
        let start = tile.first * problem.size[2] * co;
        &dy[start..start + tile.lines * problem.size[2] * co]
    };
    let parts = tiles.len().min(TASKS).min((PARTIAL / length).max(1));
    let mut total = vec![0.0; length];
    if parts < FEW && matches!(problem.path, Path::View | Path::Gather) {
        // Large kernels over few voxels: outputs are sums of their own, so that no value depends
        // on how many threads share them, and nothing is kept twice.
        let block = co
            .div_ceil(rayon::current_num_threads())
            .next_multiple_of(16);
        total
            .par_chunks_mut(block * taps * span)
            .enumerate()
            .for_each_init(Scratch::default, |scratch, (index, sum)| {
                let first = index * block;
                let outputs = first..(first + block).min(co);
                for tile in &tiles {
                    add_tile(problem, x, share(tile), *tile, &outputs, scratch, sum);
                }
            });
        return total;
    }
    let sums: Vec<Vec<f32>> = (0..parts)
        .into_par_iter()
        .map_init(Scratch::default, |scratch, part| {
            let mut sum = vec![0.0; length];
            for tile in &tiles[tiles.len() * part / parts..tiles.len() * (part + 1) / parts] {
                add_tile(problem, x, share(tile), *tile, &(0..co), scratch, &mut sum);
            }
            sum
        })
        .collect();
    total
        .par_chunks_mut(taps * span)
        .enumerate()
        .for_each(|(o, row)| {
            for sum in &sums {
                add(row, &sum[o * row.len()..][..row.len()]);
            }
        });
    total
}

/// Adds one tile's share to `sum`, which is `[outputs, K]`.
fn add_tile(
    problem: &Problem,
    x: &[f32],
    dy: &[f32],
    tile: Tile,
    outputs: &Range<usize>,
    scratch: &mut Scratch,
    sum: &mut [f32],
) {
    let [_, _, w] = problem.size;
    let (ci, co, span) = (problem.ci, problem.co, problem.span());
    let rows = tile.lines * w;
    let width = problem.taps() * span;
    let gradient = Matrix::rows(&dy[outputs.start..], co).t();
    let count = outputs.len();
    match problem.path {
        Path::Point => {
            let a = Matrix::rows(&x[tile.first * w * ci..][..rows * ci], ci);
            matmul([count, rows, ci], gradient, a, sum, width, true);
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
            for piece in problem.pieces(tile) {
                let depth = piece.depth();
                problem.gather(x, tile, piece, &mut scratch.line, &mut scratch.operand);
                let a = Matrix::rows(&scratch.operand, depth);
                let sum = &mut sum[piece.first * span + piece.start..];
                matmul([count, rows, depth], gradient, a, sum, width, true);
            }
        }
        Path::View | Path::Winograd => add_views(problem, x, dy, tile, outputs, scratch, sum),
    }
}

/// As in the forward pass, with zeros in the gradient where a row straddles two lines.
fn add_views(
    problem: &Problem,
    x: &[f32],
    dy: &[f32],
    tile: Tile,
    outputs: &Range<usize>,
    scratch: &mut Scratch,
    sum: &mut [f32],
) {
    let ([_, _, w], [kd, kh, kw]) = (problem.size, problem.kernel);
    let (ci, co, span) = (problem.ci, problem.co, problem.span());
    let padded_rows = w + kw - 1;
    let rows = (tile.lines - 1) * padded_rows + w;
    let (width, count) = (problem.taps() * span, outputs.len());
    scratch
        .product
        .resize(tile.lines * padded_rows * count, 0.0);
    for (line, source) in scratch
        .product
        .chunks_exact_mut(padded_rows * count)
        .zip(dy.chunks_exact(w * co))
    {
        for (row, source) in line.chunks_exact_mut(count).zip(source.chunks_exact(co)) {
            row.copy_from_slice(&source[outputs.clone()]);
        }
        line[w * count..].fill(0.0);
    }
    let gradient = Matrix::rows(&scratch.product, count).t();
    for dz in 0..kd {
        if !problem.load_lines(x, tile, dz, &(0..kh), &mut scratch.operand) {
            continue;
        }
        for dy in 0..kh {
            let a = Matrix {
                data: &scratch.operand[dy * padded_rows * ci..],
                strides: [ci, 1],
            };
            let sum = &mut sum[(dz * kh + dy) * span..];
            matmul([count, rows, span], gradient, a, sum, width, true);
        }
    }
}
