//! Maximum over blocks of 2 x 2 x 2 voxels.

use super::cpu::{dims5, fill_pieces};
use super::cuda;
use super::operator::{Input, Op, Operator};
use candle_core::{CudaStorage, Layout, Result, Shape, Tensor, bail};

/// Maximum over 2 x 2 x 2 voxels with stride 2, each channel by itself.
///
/// **Shape** `[n, d, h, w, c]` to `[n, d / 2, h / 2, w / 2, c]`; an axis of size 1 stays as it is.
///
/// **Law** Of equal maxima the first in `z, y, x` order takes the gradient. NaN wins over numbers.
///
/// **Errors** where a size is neither 1 nor even (the message names the shape) or values are not f32.
pub fn max_pool3d(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Op(MaxPool3d))
}

/// As [`max_pool3d`], without a node in the graph.
pub(super) fn forward(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Op(MaxPool3d))
}

/// The gradient of `x` from `x`, the pooled `y` and its gradient.
pub(super) fn gradient(x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(y, &dy.contiguous()?, &Op(Gradient))
}

struct MaxPool3d;

/// dx from (x, y, dy).
struct Gradient;

/// Sizes of the input and of the window.
#[derive(Clone, Copy)]
struct Problem {
    size: [usize; 5],
    window: [usize; 3],
}

impl Problem {
    fn new(op: &str, x: &Layout) -> Result<Self> {
        let size = dims5(op, x)?;
        if size.contains(&0) || size[1..4].iter().any(|&s| s != 1 && s % 2 == 1) {
            bail!(
                "{op}: expected depth, height and width to be even or 1, found {size:?}; pad or crop the input"
            );
        }
        let window = [1, 2, 3].map(|axis| if size[axis] == 1 { 1 } else { 2 });
        Ok(Self { size, window })
    }

    fn pooled(&self) -> [usize; 5] {
        let [n, d, h, w, c] = self.size;
        let [kd, kh, kw] = self.window;
        [n, d / kd, h / kh, w / kw, c]
    }

    /// The input lines under output line `line`, in order; lines are counted over n, d, h.
    fn lines(self, line: usize) -> impl Iterator<Item = usize> {
        let (h, [kd, kh, _]) = (self.size[2], self.window);
        let pooled_h = h / kh;
        let (plane, y) = (line / pooled_h, line % pooled_h);
        (0..kd).flat_map(move |dz| (0..kh).map(move |dy| (plane * kd + dz) * h + y * kh + dy))
    }
}

impl Operator<1> for MaxPool3d {
    fn name(&self) -> &'static str {
        "max_pool3d"
    }

    fn shape(&self, [x]: [&Layout; 1]) -> Result<Shape> {
        Ok(Shape::from(Problem::new(self.name(), x)?.pooled().to_vec()))
    }

    fn cpu(&self, [x]: [Input<'_>; 1]) -> Result<Vec<f32>> {
        let problem = Problem::new(self.name(), x.layout)?;
        let x = x.f32s()?;
        let [n, d, h, w, c] = problem.pooled();
        let (length, kw) = (problem.size[3] * c, problem.window[2]);
        // A piece is a plane of outputs: lines alone would be too short to share out.
        Ok(fill_pieces(
            std::iter::repeat_n(h * w * c, n * d),
            || (),
            |(), plane, out| {
                for (y, out) in out.chunks_exact_mut(w * c).enumerate() {
                    for (i, line) in problem.lines(plane * h + y).enumerate() {
                        let line = &x[line * length..][..length];
                        for (out, voxels) in out.chunks_exact_mut(c).zip(line.chunks_exact(kw * c))
                        {
                            for (dx, values) in voxels.chunks_exact(c).enumerate() {
                                let first = i == 0 && dx == 0;
                                for (most, &value) in out.iter_mut().zip(values) {
                                    *most = if first || value > *most || value.is_nan() {
                                        value
                                    } else {
                                        *most
                                    };
                                }
                            }
                        }
                    }
                }
            },
        ))
    }

    fn cuda(&self, [x]: [(&CudaStorage, &Layout); 1]) -> Result<CudaStorage> {
        let op = self.name();
        let Problem { size, window } = Problem::new(op, x.1)?;
        cuda::max_pool3d(op, size, window, x)
    }

    fn gradient(&self, [x]: [&Tensor; 1], y: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(gradient(x, y, dy)?)])
    }
}

impl Operator<3> for Gradient {
    fn name(&self) -> &'static str {
        "max_pool3d gradient"
    }

    fn shape(&self, [x, ..]: [&Layout; 3]) -> Result<Shape> {
        Ok(x.shape().clone())
    }

    fn cpu(&self, [x, y, dy]: [Input<'_>; 3]) -> Result<Vec<f32>> {
        let problem = Problem::new(self.name(), x.layout)?;
        let (x, y, dy) = (x.f32s()?, y.f32s()?, dy.f32s()?);
        let ([n, d, h, w, c], [_, _, pooled_h, _, _]) = (problem.size, problem.pooled());
        let [kd, _, kw] = problem.window;
        let (length, pooled) = (w * c, w / kw * c);
        Ok(fill_pieces(
            std::iter::repeat_n(kd * h * length, n * d / kd),
            Vec::new,
            |left, plane, out| {
                for line in 0..pooled_h {
                    let (y, dy) = (
                        &y[(plane * pooled_h + line) * pooled..][..pooled],
                        &dy[(plane * pooled_h + line) * pooled..][..pooled],
                    );
                    // What the first maximum has not yet taken.
                    left.clear();
                    left.extend_from_slice(dy);
                    for source in problem.lines(plane * pooled_h + line) {
                        let local = source - plane * kd * h;
                        let (x, out) = (
                            &x[source * length..][..length],
                            &mut out[local * length..][..length],
                        );
                        for (voxel, y) in y.chunks_exact(c).enumerate() {
                            for dx in 0..kw {
                                let at = (voxel * kw + dx) * c;
                                let left = &mut left[voxel * c..][..c];
                                for (((out, left), x), y) in out[at..at + c]
                                    .iter_mut()
                                    .zip(left)
                                    .zip(&x[at..at + c])
                                    .zip(y)
                                {
                                    let is_max = x == y;
                                    *out = if is_max { *left } else { 0.0 };
                                    *left = if is_max { 0.0 } else { *left };
                                }
                            }
                        }
                    }
                }
            },
        ))
    }

    fn cuda(&self, all: [(&CudaStorage, &Layout); 3]) -> Result<CudaStorage> {
        let op = self.name();
        let Problem { size, window } = Problem::new(op, all[0].1)?;
        cuda::max_pool3d_gradient(op, size, window, all)
    }
}

#[cfg(test)]
mod tests;
