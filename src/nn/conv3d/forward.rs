//! The convolution itself; the data gradient is the same routine with another kernel.

use super::super::cpu::{Matrix, fill_pieces, matmul};
use super::tile::{Path, Problem, Tile};
use super::winograd;
use rayon::prelude::*;

/// Buffers that a thread keeps between tiles.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) line: Vec<f32>,
    pub(super) operand: Vec<f32>,
    pub(super) product: Vec<f32>,
}

/// Kernel `[co, K]` as the matrix `[K, co]`, whose rows the product reads as vectors; transformed
/// where the path is [`Path::Winograd`].
pub(super) fn pack(problem: &Problem, w: &[f32]) -> Vec<f32> {
    if problem.path == Path::Winograd {
        return winograd::pack(problem, w);
    }
    // Four cache lines of each output's kernel: less would wait for pages, whose stride is large.
    const BLOCK: usize = 64;
    let (co, depth) = (problem.co, problem.taps() * problem.span());
    let mut packed = vec![0.0; w.len()];
    packed
        .par_chunks_mut(BLOCK * co)
        .enumerate()
        .for_each(|(block, rows)| {
            for o in 0..co {
                let source = &w[o * depth + block * BLOCK..][..rows.len() / co];
                for (row, value) in rows.chunks_exact_mut(co).zip(source) {
                    row[o] = *value;
                }
            }
        });
    packed
}

/// The forward kernel `[ci of the problem, K, co of the problem]` mirrored in space, as `[K, co]`;
/// transformed where the path is [`Path::Winograd`].
pub(super) fn pack_mirrored(problem: &Problem, w: &[f32]) -> Vec<f32> {
    if problem.path == Path::Winograd {
        return winograd::pack_mirrored(problem, w);
    }
    let (from, to) = (problem.ci, problem.co);
    let positions = problem.taps() * problem.kernel[2];
    let mut packed = vec![0.0; w.len()];
    packed
        .par_chunks_mut(from * to)
        .enumerate()
        .for_each(|(position, block)| {
            for (i, row) in block.chunks_exact_mut(to).enumerate() {
                row.copy_from_slice(&w[(i * positions + positions - 1 - position) * to..][..to]);
            }
        });
    packed
}

/// The output `[lines, w, co]` for a kernel packed by [`pack`] or [`pack_mirrored`].
pub(super) fn correlate(problem: &Problem, x: &[f32], packed: &[f32]) -> Vec<f32> {
    if problem.path == Path::Winograd {
        return winograd::correlate(problem, x, packed);
    }
    let (w, co) = (problem.size[2], problem.co);
    let tiles = problem.tiles();
    let lengths = tiles.iter().map(|tile| tile.lines * w * co);
    fill_pieces(lengths, Scratch::default, |scratch, index, out| {
        let tile = tiles[index];
        match problem.path {
            Path::Point => {
                let (rows, ci) = (tile.lines * w, problem.ci);
                let a = Matrix::rows(&x[tile.first * w * ci..][..rows * ci], ci);
                matmul([rows, ci, co], a, Matrix::rows(packed, co), out, co, false);
            }
            Path::Planar => {
                let (rows, depth) = (tile.lines * w, problem.taps() * problem.span());
                problem.gather_planar(x, tile, &mut scratch.line, &mut scratch.operand);
                let a = Matrix::rows(&scratch.operand, rows).t();
                matmul(
                    [rows, depth, co],
                    a,
                    Matrix::rows(packed, co),
                    out,
                    co,
                    false,
                );
            }
            // Transformed in blocks of its own, above; by the definition a view serves as well.
            Path::View | Path::Winograd => view_tile(problem, x, packed, tile, scratch, out),
            Path::Gather => gather_tile(problem, x, packed, tile, tiles.len(), scratch, out),
        }
    })
}

/// One product a kernel line, over padded lines read in place: a row is `kw ci` values and begins
/// `ci` after the row before. Rows that straddle two lines are computed and dropped.
fn view_tile(
    problem: &Problem,
    x: &[f32],
    packed: &[f32],
    tile: Tile,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let ([_, _, w], [kd, kh, kw]) = (problem.size, problem.kernel);
    let (ci, co, span) = (problem.ci, problem.co, problem.span());
    let padded_rows = w + kw - 1;
    let rows = (tile.lines - 1) * padded_rows + w;
    scratch.product.resize(rows * co, 0.0);
    let mut accumulate = false;
    for dz in 0..kd {
        if !problem.load_lines(x, tile, dz, &(0..kh), &mut scratch.operand) {
            continue;
        }
        for dy in 0..kh {
            let a = Matrix {
                data: &scratch.operand[dy * padded_rows * ci..],
                strides: [ci, 1],
            };
            let b = Matrix::rows(&packed[(dz * kh + dy) * span * co..], co);
            matmul([rows, span, co], a, b, &mut scratch.product, co, accumulate);
            accumulate = true;
        }
    }
    for (line, product) in out
        .chunks_exact_mut(w * co)
        .zip(scratch.product.chunks(padded_rows * co))
    {
        line.copy_from_slice(&product[..w * co]);
    }
}

/// Products over gathered rows; where tiles are too few for all threads, also cut along the outputs.
fn gather_tile(
    problem: &Problem,
    x: &[f32],
    packed: &[f32],
    tile: Tile,
    tiles: usize,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let (co, span) = (problem.co, problem.span());
    let rows = tile.lines * problem.size[2];
    // Outputs are sums of their own, so that no value depends on how many threads share them.
    let width = co
        .div_ceil(rayon::current_num_threads().div_ceil(tiles))
        .next_multiple_of(16)
        .max(48)
        .min(co);
    let pieces = problem.pieces(tile);
    let columns = |first: usize, width: usize, scratch: &mut Scratch, out: &mut [f32]| {
        for (i, &piece) in pieces.iter().enumerate() {
            let depth = piece.depth();
            problem.gather(x, tile, piece, &mut scratch.line, &mut scratch.operand);
            let a = Matrix::rows(&scratch.operand, depth);
            let row = piece.first * span + piece.start;
            let b = Matrix::rows(&packed[row * co + first..], co);
            matmul([rows, depth, width], a, b, out, width, i > 0);
        }
    };
    if width == co {
        return columns(0, co, scratch, out);
    }
    let parts: Vec<Vec<f32>> = (0..co.div_ceil(width))
        .into_par_iter()
        .map_init(Scratch::default, |scratch, part| {
            let first = part * width;
            let width = width.min(co - first);
            let mut product = vec![0.0; rows * width];
            columns(first, width, scratch, &mut product);
            product
        })
        .collect();
    for (part, product) in parts.iter().enumerate() {
        let first = part * width;
        let width = width.min(co - first);
        for (row, values) in out.chunks_exact_mut(co).zip(product.chunks_exact(width)) {
            row[first..first + width].copy_from_slice(values);
        }
    }
}
