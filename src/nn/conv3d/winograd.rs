//! Convolutions with 3x3x3 kernels by minimal filtering (Winograd 1980; Lavin & Gray 2016).
//!
//! In a plane, tiles of 4 x 4 outputs are computed from 6 x 6 inputs with 36 products where the
//! definition takes 144: F(4 x 4, 3 x 3). Over z the definition holds: the three planes a kernel
//! reads are one row of a matrix product, for a tile's planes lie one behind the other and rows
//! overlap. All three passes of the convolution have the same form.

mod tiles;
mod transform;
mod weights;

use super::super::cpu::{Matrix, matmul};
use super::tile::Problem;
use crate::kernel::simd::vectorised;
use rayon::prelude::*;
use std::ops::Range;
pub(super) use tiles::fits;
use tiles::{EDGE, OUTSIDE, POINTS, load_gradient, load_input, store_output};
use weights::{PLANES, panels, unpack_gradient};
pub(super) use weights::{pack, pack_mirrored};

/// Values that a block's transformed input may hold: it is read once, from the last-level cache.
const HELD: usize = 1 << 20;

/// Rows of one product aimed at; more would not make it faster.
const ROWS: usize = 192;

/// Values that partial sums of the kernel's gradient may hold together.
const PARTIAL: usize = 1 << 23;

/// Tiles that are computed together: some of a plane's, over some planes.
#[derive(Debug, Clone)]
struct Block {
    /// Planes of the batch before the volume's first.
    volume: usize,
    /// Planes of the volume.
    planes: Range<usize>,
    /// Tiles of the plane, x first.
    tiles: Range<usize>,
}

impl Block {
    /// Planes that a tile's outputs read: one more on both sides.
    fn read(&self) -> usize {
        self.planes.len() + PLANES - 1
    }

    /// Rows of a product; after a tile's last plane, rows that straddle two tiles are dropped.
    fn rows(&self) -> usize {
        self.tiles.len() * self.read() - (PLANES - 1)
    }

    /// Values between matrices of `channels` columns. A distance of whole pages would send the 36
    /// matrices to the same places of the cache.
    fn stride(&self, channels: usize) -> usize {
        (self.tiles.len() * self.read() * channels).next_multiple_of(1024) + 16
    }
}

/// A convolution's blocks.
struct Blocks {
    size: [usize; 3],
    /// Tiles along x.
    across: usize,
    /// Planes and tiles of a full block.
    step: [usize; 2],
    /// Blocks of a volume along z, and of a plane.
    count: [usize; 2],
    blocks: Vec<Block>,
}

impl Blocks {
    /// By shape alone: `channels` is the wider side of the products.
    fn new(problem: &Problem, channels: usize) -> Self {
        let [d, h, w] = problem.size;
        let (across, down) = (w.div_ceil(EDGE), h.div_ceil(EDGE));
        let volumes = problem.lines / h / d;
        let total = volumes * d * across * down;
        let rows = (HELD / (POINTS * channels)).min(total / 16).clamp(32, ROWS);
        // Planes first: every block reads two planes more than it computes.
        let parts = d.div_ceil(24);
        let planes = d.div_ceil(parts);
        let tiles = (rows / (planes + PLANES - 1)).clamp(1, across * down);
        let count = [parts, (across * down).div_ceil(tiles)];
        let tiles = (across * down).div_ceil(count[1]);
        let mut blocks = Vec::new();
        for volume in 0..volumes {
            for z in (0..d).step_by(planes) {
                for tile in (0..across * down).step_by(tiles) {
                    blocks.push(Block {
                        volume: volume * d,
                        planes: z..(z + planes).min(d),
                        tiles: tile..(tile + tiles).min(across * down),
                    });
                }
            }
        }
        let count = [d.div_ceil(planes), (across * down).div_ceil(tiles)];
        Self {
            size: problem.size,
            across,
            step: [planes, tiles],
            count,
            blocks,
        }
    }

    /// The first voxel's number of line (`plane`, `y`), which may lie in the padding.
    fn line(&self, block: &Block, plane: Option<usize>, y: Option<usize>) -> Option<usize> {
        let [d, h, w] = self.size;
        let (z, y) = (plane.filter(|&z| z < d)?, y.filter(|&y| y < h)?);
        Some(((block.volume + z) * h + y) * w)
    }

    /// First values of the `N` x `N` voxels from `margin` before a tile's first one on.
    fn voxels<const N: usize>(
        &self,
        block: &Block,
        (tile, plane): (usize, Option<usize>),
        margin: usize,
        channels: usize,
    ) -> [[usize; N]; N] {
        let [top, left] = [tile / self.across * EDGE, tile % self.across * EDGE];
        let mut voxels = [[OUTSIDE; N]; N];
        for (row, voxels) in voxels.iter_mut().enumerate() {
            if let Some(line) = self.line(block, plane, (top + row).checked_sub(margin)) {
                for (column, voxel) in voxels.iter_mut().enumerate() {
                    let x = (left + column).checked_sub(margin);
                    if let Some(x) = x.filter(|&x| x < self.size[2]) {
                        *voxel = (line + x) * channels;
                    }
                }
            }
        }
        voxels
    }

    /// Transforms what a block reads: 36 matrices of one row a tile and plane.
    fn load(&self, block: &Block, x: &[f32], channels: usize, v: &mut Vec<f32>) {
        let stride = block.stride(channels);
        v.resize(POINTS * stride, 0.0);
        vectorised(
            #[inline(always)]
            || {
                for (i, tile) in block.tiles.clone().enumerate() {
                    for plane in 0..block.read() {
                        let z = (block.planes.start + plane).checked_sub(1);
                        let voxels = self.voxels(block, (tile, z), 1, channels);
                        load_input(x, &voxels, channels, v, (i * block.read() + plane, stride));
                    }
                }
            },
        );
    }

    /// Transforms a block's output gradients, zero in rows that straddle two tiles.
    fn load_gradients(&self, block: &Block, dy: &[f32], channels: usize, v: &mut Vec<f32>) {
        let stride = block.stride(channels);
        v.resize(POINTS * stride, 0.0);
        vectorised(
            #[inline(always)]
            || {
                for (i, tile) in block.tiles.clone().enumerate() {
                    for plane in 0..block.read() {
                        let z = Some(block.planes.start + plane);
                        let z = z.filter(|z| block.planes.contains(z));
                        let voxels = self.voxels(block, (tile, z), 0, channels);
                        load_gradient(dy, &voxels, channels, v, (i * block.read() + plane, stride));
                    }
                }
            },
        );
    }

    /// Cuts the output into each block's lines: `EDGE` of each plane of each tile.
    fn share<'a>(&self, out: &'a mut [f32], channels: usize) -> Vec<Vec<&'a mut [f32]>> {
        let ([d, h, w], [planes, tiles]) = (self.size, self.step);
        let lines = |b: &Block| b.tiles.len() * b.planes.len() * EDGE;
        let mut shares: Vec<Vec<&mut [f32]>> = (self.blocks.iter())
            .map(|b| (0..lines(b)).map(|_| &mut [][..]).collect())
            .collect();
        for (number, line) in out.chunks_exact_mut(w * channels).enumerate() {
            let (z, y) = (number / h, number % h);
            let (volume, z) = (z / d, z % d);
            for (x, part) in line.chunks_mut(EDGE * channels).enumerate() {
                let tile = y / EDGE * self.across + x;
                let block = (volume * self.count[0] + z / planes) * self.count[1] + tile / tiles;
                let height = self.blocks[block].planes.len();
                let at = (tile % tiles * height + z % planes) * EDGE + y % EDGE;
                shares[block][at] = part;
            }
        }
        shares
    }
}

/// Buffers that a thread keeps between blocks.
#[derive(Default)]
struct Scratch {
    input: Vec<f32>,
    product: Vec<f32>,
}

/// The output `[lines, w, co]` for a kernel packed by [`pack`] or [`pack_mirrored`].
pub(super) fn correlate(problem: &Problem, x: &[f32], packed: &[f32]) -> Vec<f32> {
    let (ci, co) = (problem.ci, problem.co);
    let blocks = Blocks::new(problem, ci.max(co));
    let mut out = vec![0.0; problem.lines * problem.size[2] * co];
    (blocks.share(&mut out, co).into_par_iter())
        .zip(&blocks.blocks)
        .for_each_init(Scratch::default, |scratch, (mut lines, block)| {
            let Scratch { input, product } = scratch;
            blocks.load(block, x, ci, input);
            let [from, to] = [ci, co].map(|c| block.stride(c));
            product.resize(POINTS * to, 0.0);
            product
                .par_chunks_exact_mut(to)
                .zip(input.par_chunks_exact(from))
                .enumerate()
                .for_each(|(point, (product, input))| {
                    let a = Matrix {
                        data: input,
                        strides: [ci, 1],
                    };
                    for (first, width, kernel) in panels(problem, packed, point) {
                        let sizes = [block.rows(), PLANES * ci, width];
                        let kernel = Matrix::rows(kernel, width);
                        matmul(sizes, a, kernel, &mut product[first..], co, false);
                    }
                });
            vectorised(
                #[inline(always)]
                || {
                    let height = block.planes.len();
                    for (i, lines) in lines.chunks_exact_mut(EDGE).enumerate() {
                        let row = i / height * block.read() + i % height;
                        store_output(product, (row, to), co, lines);
                    }
                },
            );
        });
    out
}

/// The kernel's gradient `[co, 3, 3, 3, ci]` from the input and the output's gradient.
pub(super) fn gradient(problem: &Problem, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let (ci, co) = (problem.ci, problem.co);
    let blocks = Blocks::new(problem, ci.max(co));
    let (matrix, count) = (PLANES * ci * co, blocks.blocks.len());
    let parts = count.min((PARTIAL / (POINTS * matrix)).max(1));
    let sums: Vec<Vec<f32>> = (0..parts)
        .into_par_iter()
        .map_init(Scratch::default, |scratch, part| {
            let Scratch { input, product } = scratch;
            let mut sum = vec![0.0; POINTS * matrix];
            for block in &blocks.blocks[count * part / parts..count * (part + 1) / parts] {
                blocks.load(block, x, ci, input);
                blocks.load_gradients(block, dy, co, product);
                sum.par_chunks_exact_mut(matrix)
                    .zip(input.par_chunks_exact(block.stride(ci)))
                    .zip(product.par_chunks_exact(block.stride(co)))
                    .for_each(|((sum, input), gradient)| {
                        let a = Matrix {
                            data: input,
                            strides: [ci, 1],
                        };
                        let sizes = [co, block.rows(), PLANES * ci];
                        let gradient = Matrix::rows(gradient, co).t();
                        matmul(sizes, gradient, a, sum, PLANES * ci, true);
                    });
            }
            sum
        })
        .collect();
    unpack_gradient(problem, &sums)
}
