//! Transposed convolution whose stride is its kernel: the learned way up of a U-Net.
//!
//! Without overlap it is one matrix product a voxel and a scatter. A line of inputs produces, for one
//! kernel line, a line of outputs in place; so the scatter moves whole lines, and its reverse in the
//! backward pass too.

pub(super) mod blocks;

use super::cpu::{Matrix, add, dims5, f32s, fill_pieces, matmul};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Transposed convolution with stride = kernel, without bias; 2 x 2 x 2 doubles every axis.
///
/// **Shape** `x` `[n, d, h, w, ci]`, `w` `[co, kd, kh, kw, ci]`; the result is
/// `[n, d kd, h kh, w kw, co]`. A kernel size of 1 leaves its axis as it is.
///
/// **Law** `y[z K + k, o] = sum over i of w[o, k, i] x[z, i]`. No gradient is computed for an `x`
/// that does not depend on a variable. On CUDA `x` may be bf16, as for [`conv3d`](super::conv3d::conv3d).
///
/// **Errors** where the channels do not fit or values are not f32.
pub fn conv_transpose3d(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    if x.device().is_cuda() {
        return blocks::by_blocks(x, &w.to_dtype(x.dtype())?);
    }
    x.contiguous()?.apply_op2(&w.contiguous()?, ConvTranspose3d)
}

/// Gradients of `x` and of `w` from that of the result; that of `x` only where it is wanted. On the CPU.
///
/// **Errors** as [`conv_transpose3d`].
pub(super) fn gradients(
    x: &Tensor,
    w: &Tensor,
    dy: &Tensor,
    wanted: bool,
) -> Result<(Option<Tensor>, Tensor)> {
    let (_, kd, kh, kw, _) = w.dims5()?;
    let dx = match wanted {
        true => Some(dy.apply_op2_no_bwd(w, &Data)?),
        false => None,
    };
    Ok((dx, x.apply_op2_no_bwd(dy, &Filter([kd, kh, kw]))?))
}

struct ConvTranspose3d;

/// dx from (dy, w).
struct Data;

/// dw from (x, dy), for a kernel of these sizes.
struct Filter([usize; 3]);

/// One call's sizes.
#[derive(Clone, Copy)]
struct Problem {
    /// Input depth, height, width.
    size: [usize; 3],
    kernel: [usize; 3],
    ci: usize,
    co: usize,
    /// Input lines: n d h.
    lines: usize,
}

/// Voxels one task works on; a short line's products would be too small one by one.
const ROWS: usize = 128;

/// Partial sums of the filter gradient.
const PARTS: usize = 32;

impl Problem {
    fn new(op: &str, [n, d, h, w, ci]: [usize; 5], kernel: [usize; 3], co: usize) -> Result<Self> {
        if [n, d, h, w, ci, co]
            .iter()
            .chain(&kernel)
            .any(|&size| size == 0)
        {
            bail!(
                "{op}: expected at least one value on every axis, found input {:?}, kernel {kernel:?}, {co} outputs",
                [n, d, h, w, ci]
            );
        }
        Ok(Self {
            size: [d, h, w],
            kernel,
            ci,
            co,
            lines: n * d * h,
        })
    }

    /// Kernel lines, and values of an output line that belong to one input voxel.
    fn taps(&self) -> (usize, usize) {
        (self.kernel[0] * self.kernel[1], self.kernel[2] * self.co)
    }

    /// Input lines of one task; within a plane, whose outputs are consecutive planes.
    fn tile(&self) -> usize {
        ROWS.div_ceil(self.size[2]).min(self.size[1])
    }

    /// The output line of kernel line `tap` for input line `line`.
    fn target(&self, line: usize, tap: usize) -> usize {
        let ([_, h, _], [kd, kh, _]) = (self.size, self.kernel);
        let (plane, y) = (line / h, line % h);
        ((plane * kd + tap / kh) * h + y) * kh + tap % kh
    }

    /// Copies the lines of `dy` that belong to `tap` and input lines `first..first + lines`.
    fn gather(&self, dy: &[f32], first: usize, lines: usize, tap: usize, out: &mut Vec<f32>) {
        let length = self.size[2] * self.taps().1;
        out.resize(lines * length, 0.0);
        for (i, line) in out.chunks_exact_mut(length).enumerate() {
            line.copy_from_slice(&dy[self.target(first + i, tap) * length..][..length]);
        }
    }
}

/// Kernel `[co, taps, kw, ci]` with its axes exchanged: per tap `[ci, kw, co]` (`inputs_first`) or
/// `[kw, co, ci]`.
fn pack(problem: &Problem, w: &[f32], inputs_first: bool) -> Vec<f32> {
    let ((taps, span), [_, _, kw]) = (problem.taps(), problem.kernel);
    let (ci, co) = (problem.ci, problem.co);
    let mut packed = vec![0.0; w.len()];
    for (o, kernel) in w.chunks_exact(taps * kw * ci).enumerate() {
        for (position, values) in kernel.chunks_exact(ci).enumerate() {
            let (tap, dx) = (position / kw, position % kw);
            let block = &mut packed[tap * span * ci..][..span * ci];
            let column = dx * co + o;
            if inputs_first {
                for (row, value) in block.chunks_exact_mut(span).zip(values) {
                    row[column] = *value;
                }
            } else {
                block[column * ci..][..ci].copy_from_slice(values);
            }
        }
    }
    packed
}

fn forward(problem: &Problem, x: &[f32], w: &[f32]) -> Vec<f32> {
    let ((taps, span), [_, h, width]) = (problem.taps(), problem.size);
    let (ci, [kd, kh, _]) = (problem.ci, problem.kernel);
    let packed = pack(problem, w, true);
    let length = width * span;
    // One piece is what a plane of inputs and one kernel plane make: consecutive output lines.
    let pieces = problem.lines / h * kd;
    fill_pieces(
        std::iter::repeat_n(h * kh * length, pieces),
        Vec::new,
        |product, piece, out| {
            let (plane, dz) = (piece / kd, piece % kd);
            for first in (0..h).step_by(problem.tile()) {
                let lines = problem.tile().min(h - first);
                let rows = lines * width;
                let a = Matrix::rows(&x[(plane * h + first) * width * ci..][..rows * ci], ci);
                for dy in 0..kh {
                    let tap = dz * kh + dy;
                    debug_assert!(tap < taps);
                    product.resize(rows * span, 0.0);
                    matmul(
                        [rows, ci, span],
                        a,
                        Matrix::rows(&packed[tap * ci * span..], span),
                        product,
                        span,
                        false,
                    );
                    for (i, line) in product.chunks_exact(length).enumerate() {
                        out[((first + i) * kh + dy) * length..][..length].copy_from_slice(line);
                    }
                }
            }
        },
    )
}

fn data_gradient(problem: &Problem, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let ((taps, span), ci) = (problem.taps(), problem.ci);
    let packed = pack(problem, w, false);
    let width = problem.size[2];
    let tile = ROWS.div_ceil(width);
    let lengths = (0..problem.lines)
        .step_by(tile)
        .map(|first| tile.min(problem.lines - first) * width * ci);
    fill_pieces(lengths, Vec::new, |gathered, piece, out| {
        let rows = out.len() / ci;
        for tap in 0..taps {
            problem.gather(dy, piece * tile, rows / width, tap, gathered);
            let b = Matrix::rows(&packed[tap * span * ci..], ci);
            matmul(
                [rows, span, ci],
                Matrix::rows(gathered, span),
                b,
                out,
                ci,
                tap > 0,
            );
        }
    })
}

fn filter_gradient(problem: &Problem, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let ((taps, span), (ci, co)) = (problem.taps(), (problem.ci, problem.co));
    let (width, kw) = (problem.size[2], problem.kernel[2]);
    let tile = ROWS.div_ceil(width);
    let tiles = problem.lines.div_ceil(tile);
    let parts = tiles.min(PARTS.div_ceil(taps));
    let sums: Vec<Vec<f32>> = (0..parts * taps)
        .into_par_iter()
        .map_init(Vec::new, |gathered, task| {
            let (part, tap) = (task / taps, task % taps);
            let mut sum = vec![0.0; span * ci];
            for t in tiles * part / parts..tiles * (part + 1) / parts {
                let lines = tile.min(problem.lines - t * tile);
                let rows = lines * width;
                problem.gather(dy, t * tile, lines, tap, gathered);
                let a = Matrix::rows(&x[t * tile * width * ci..][..rows * ci], ci);
                matmul(
                    [span, rows, ci],
                    Matrix::rows(gathered, span).t(),
                    a,
                    &mut sum,
                    ci,
                    true,
                );
            }
            sum
        })
        .collect();
    let mut dw = vec![0.0; co * taps * kw * ci];
    for (task, sum) in sums.iter().enumerate() {
        let tap = task % taps;
        for (column, values) in sum.chunks_exact(ci).enumerate() {
            let (dx, o) = (column / co, column % co);
            add(&mut dw[((o * taps + tap) * kw + dx) * ci..][..ci], values);
        }
    }
    dw
}

impl CustomOp2 for ConvTranspose3d {
    fn name(&self) -> &'static str {
        "conv_transpose3d"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (xd, [co, kd, kh, kw, ci]) = (dims5(op, l1)?, dims5(op, l2)?);
        if xd[4] != ci {
            bail!(
                "{op}: the input {xd:?} has {} channels, the kernel {:?} expects {ci}",
                xd[4],
                l2.dims()
            );
        }
        let problem = Problem::new(op, xd, [kd, kh, kw], co)?;
        let y = forward(&problem, f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        Ok((
            CpuStorage::F32(y),
            Shape::from(vec![xd[0], xd[1] * kd, xd[2] * kh, xd[3] * kw, co]),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dx = match x.track_op() {
            true => Some(dy.apply_op2_no_bwd(w, &Data)?),
            false => None,
        };
        let dw = match (w.track_op(), w.dims()) {
            (true, &[_, kd, kh, kw, _]) => Some(x.apply_op2_no_bwd(&dy, &Filter([kd, kh, kw]))?),
            _ => None,
        };
        Ok((dx, dw))
    }
}

impl CustomOp2 for Data {
    fn name(&self) -> &'static str {
        "conv_transpose3d data gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let ([n, d, h, w, _], [co, kd, kh, kw, ci]) = (dims5(op, l1)?, dims5(op, l2)?);
        let shape = [n, d / kd, h / kh, w / kw, ci];
        let problem = Problem::new(op, shape, [kd, kh, kw], co)?;
        let dx = data_gradient(&problem, f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        Ok((CpuStorage::F32(dx), Shape::from(shape.to_vec())))
    }
}

impl CustomOp2 for Filter {
    fn name(&self) -> &'static str {
        "conv_transpose3d filter gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (xd, yd, [kd, kh, kw]) = (dims5(op, l1)?, dims5(op, l2)?, self.0);
        let problem = Problem::new(op, xd, self.0, yd[4])?;
        let dw = filter_gradient(&problem, f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        Ok((
            CpuStorage::F32(dw),
            Shape::from(vec![yd[4], kd, kh, kw, xd[4]]),
        ))
    }
}

#[cfg(test)]
mod tests;
