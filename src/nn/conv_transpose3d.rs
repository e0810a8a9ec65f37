//! Transposed convolution whose stride is its kernel: the learned way up of a U-Net.
//!
//! Without overlap it is one matrix product a voxel and a scatter. A line of inputs produces, for one
//! kernel line, a line of outputs in place; so the scatter moves whole lines, and its reverse in the
//! backward pass too.

pub(super) mod blocks;

use super::cpu::{Matrix, add, dims5, fill_pieces, matmul};
use super::operator::{Input, Op, Operator};
use candle_core::{Layout, Result, Shape, Tensor, bail};
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
    x.contiguous()?
        .apply_op2(&w.contiguous()?, Op(ConvTranspose3d))
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
        true => Some(dy.apply_op2_no_bwd(w, &Op(Data))?),
        false => None,
    };
    Ok((dx, x.apply_op2_no_bwd(dy, &Op(Filter([kd, kh, kw])))?))
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

impl ConvTranspose3d {
    fn problem(&self, [x, w]: [&Layout; 2]) -> Result<Problem> {
        let op = self.name();
        let (xd, [co, kd, kh, kw, ci]) = (dims5(op, x)?, dims5(op, w)?);
        if xd[4] != ci {
            bail!(
                "{op}: the input {xd:?} has {} channels, the kernel {:?} expects {ci}",
                xd[4],
                w.dims()
            );
        }
        Problem::new(op, xd, [kd, kh, kw], co)
    }
}

impl Operator<2> for ConvTranspose3d {
    fn name(&self) -> &'static str {
        "conv_transpose3d"
    }

    fn shape(&self, [x, w]: [&Layout; 2]) -> Result<Shape> {
        let Problem { kernel, co, .. } = self.problem([x, w])?;
        let ([n, d, h, wide, _], [kd, kh, kw]) = (dims5(self.name(), x)?, kernel);
        Ok(Shape::from(vec![n, d * kd, h * kh, wide * kw, co]))
    }

    fn cpu(&self, [x, w]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let problem = self.problem([x.layout, w.layout])?;
        Ok(forward(&problem, x.f32s()?, w.f32s()?))
    }

    fn gradient(
        &self,
        [x, w]: [&Tensor; 2],
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        let dy = dy.contiguous()?;
        let dx = match x.track_op() {
            true => Some(dy.apply_op2_no_bwd(w, &Op(Data))?),
            false => None,
        };
        let dw = match (w.track_op(), w.dims()) {
            (true, &[_, kd, kh, kw, _]) => {
                Some(x.apply_op2_no_bwd(&dy, &Op(Filter([kd, kh, kw])))?)
            }
            _ => None,
        };
        Ok([dx, dw])
    }
}

impl Data {
    /// The input's sizes, and the problem.
    fn problem(&self, [dy, w]: [&Layout; 2]) -> Result<([usize; 5], Problem)> {
        let op = self.name();
        let ([n, d, h, wide, _], [co, kd, kh, kw, ci]) = (dims5(op, dy)?, dims5(op, w)?);
        let shape = [n, d / kd, h / kh, wide / kw, ci];
        Ok((shape, Problem::new(op, shape, [kd, kh, kw], co)?))
    }
}

impl Operator<2> for Data {
    fn name(&self) -> &'static str {
        "conv_transpose3d data gradient"
    }

    fn shape(&self, inputs: [&Layout; 2]) -> Result<Shape> {
        Ok(Shape::from(self.problem(inputs)?.0.to_vec()))
    }

    fn cpu(&self, [dy, w]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let (_, problem) = self.problem([dy.layout, w.layout])?;
        Ok(data_gradient(&problem, dy.f32s()?, w.f32s()?))
    }
}

impl Operator<2> for Filter {
    fn name(&self) -> &'static str {
        "conv_transpose3d filter gradient"
    }

    fn shape(&self, [x, dy]: [&Layout; 2]) -> Result<Shape> {
        let op = self.name();
        let ([.., ci], [.., co], [kd, kh, kw]) = (dims5(op, x)?, dims5(op, dy)?, self.0);
        Ok(Shape::from(vec![co, kd, kh, kw, ci]))
    }

    fn cpu(&self, [x, dy]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let op = self.name();
        let [.., co] = dims5(op, dy.layout)?;
        let problem = Problem::new(op, dims5(op, x.layout)?, self.0, co)?;
        Ok(filter_gradient(&problem, x.f32s()?, dy.f32s()?))
    }
}

#[cfg(test)]
mod tests;
