//! Convolution in three dimensions: stride 1 or 2, odd kernel, «same» zero padding.
//!
//! On the CPU the convolution is a sum of matrix products over tiles of image lines. The operand is
//! read in place where a line is long enough (a row of three neighbours in x is a strided view of a
//! padded line), and gathered tile by tile where lines are short or channels few; the whole column
//! matrix never exists.

mod filter;
mod forward;
pub(super) mod joined;
mod stride2;
mod tile;
mod winograd;

#[cfg(test)]
mod tests;

use super::cpu::dims5;
use super::cuda;
use super::operator::{Input, Op, Operator};
use candle_core::{CudaStorage, Layout, Result, Shape, Tensor, bail};
pub use joined::conv3d_joined;
use tile::Problem;

/// Convolution of a volume with a kernel, without bias.
///
/// **Shape** `x` `[n, d, h, w, ci]`, `w` `[co, kd, kh, kw, ci]` with odd `kd`, `kh`, `kw`; the result
/// is `[n, d, h, w, co]`.
///
/// **Law** `y[z, o] = sum over k, i of w[o, k, i] x[z + k - (K - 1) / 2, i]`, zero outside. No
/// gradient is computed for an `x` that does not depend on a variable (the image).
///
/// On CUDA `x` may be bf16; the kernel is then rounded to it, and its gradient is f32 again.
///
/// **Errors** where shapes do not fit, the kernel is even or values are not f32.
pub fn conv3d(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    convolved(x, w, 1)
}

/// As [`conv3d`] for every second voxel of each axis, the first included.
///
/// **Shape** the result is `[n, ceil(d / 2), ceil(h / 2), ceil(w / 2), co]`.
///
/// **Law** `y[z, o] = sum over k, i of w[o, k, i] x[2 z + k - (K - 1) / 2, i]`, zero outside.
///
/// **Errors** as there.
pub fn conv3d_stride2(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    convolved(x, w, 2)
}

fn convolved(x: &Tensor, w: &Tensor, stride: usize) -> Result<Tensor> {
    let w = w.to_dtype(x.dtype())?;
    x.contiguous()?
        .apply_op2(&w.contiguous()?, Op(Conv3d { stride }))
}

/// Which of a convolution's three passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// y from (x, w).
    Forward,
    /// dx from (dy, w).
    Data,
    /// dw from (x, dy).
    Filter,
}

/// Sizes of the forward pass, whichever pass it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sizes {
    /// `[n, d, h, w, ci]`.
    pub(crate) x: [usize; 5],
    /// Kernel sizes.
    pub(crate) kernel: [usize; 3],
    /// Output channels.
    pub(crate) co: usize,
    /// Voxels between neighbouring outputs, on every axis.
    pub(crate) stride: usize,
}

impl Sizes {
    /// `[n, ceil(d / stride), ceil(h / stride), ceil(w / stride), co]`.
    pub(crate) fn output(&self) -> [usize; 5] {
        let [n, d, h, w, _] = self.x;
        let [d, h, w] = [d, h, w].map(|edge| edge.div_ceil(self.stride));
        [n, d, h, w, self.co]
    }

    fn y(&self) -> Shape {
        Shape::from(self.output().to_vec())
    }

    fn w(&self) -> Shape {
        let [kd, kh, kw] = self.kernel;
        Shape::from(vec![self.co, kd, kh, kw, self.x[4]])
    }
}

struct Conv3d {
    stride: usize,
}

/// dx of these sizes from (dy, w).
struct Data {
    x: [usize; 5],
    stride: usize,
}

/// dw from (x, dy), for a kernel of these sizes.
struct Filter {
    kernel: [usize; 3],
    stride: usize,
}

/// One pass by itself, from its two inputs: (x, w), (dy, w) or (x, dy). No gradient flows through it.
///
/// **Errors** as [`conv3d`].
pub(crate) fn one_pass(pass: Pass, sizes: Sizes, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let Sizes {
        x, kernel, stride, ..
    } = sizes;
    match pass {
        Pass::Forward => a.apply_op2_no_bwd(b, &Op(Conv3d { stride })),
        Pass::Data => a.apply_op2_no_bwd(b, &Op(Data { x, stride })),
        Pass::Filter => a.apply_op2_no_bwd(b, &Op(Filter { kernel, stride })),
    }
}

/// Checks a convolution's sizes.
fn sizes(op: &str, x: [usize; 5], kernel: [usize; 3], co: usize, stride: usize) -> Result<Sizes> {
    if kernel.iter().any(|k| k % 2 == 0) {
        bail!(
            "{op}: expected odd kernel sizes for the same padding on both sides, found {kernel:?}"
        );
    }
    if x.iter().chain([&co]).any(|&size| size == 0) {
        bail!(
            "{op}: expected at least one value on every axis, found input {x:?} and {co} outputs"
        );
    }
    Ok(Sizes {
        x,
        kernel,
        co,
        stride,
    })
}

impl Sizes {
    /// How the CPU goes about it.
    fn problem(&self) -> Problem {
        match self.stride {
            1 => Problem::new(self.x, self.kernel, self.co),
            _ => Problem::stride2(self.x, self.kernel, self.co),
        }
    }
}

impl Conv3d {
    fn sizes(&self, [x, w]: [&Layout; 2]) -> Result<Sizes> {
        let op = self.name();
        let (x, [co, kd, kh, kw, ci]) = (dims5(op, x)?, dims5(op, w)?);
        if x[4] != ci {
            bail!(
                "{op}: the input {x:?} has {} channels, the kernel {:?} expects {ci}",
                x[4],
                w.dims()
            );
        }
        sizes(op, x, [kd, kh, kw], co, self.stride)
    }
}

impl Operator<2> for Conv3d {
    fn name(&self) -> &'static str {
        match self.stride {
            1 => "conv3d",
            _ => "conv3d_stride2",
        }
    }

    fn shape(&self, inputs: [&Layout; 2]) -> Result<Shape> {
        Ok(self.sizes(inputs)?.y())
    }

    fn cpu(&self, [x, w]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let problem = self.sizes([x.layout, w.layout])?.problem();
        let packed = forward::pack(&problem, w.f32s()?);
        Ok(forward::correlate(&problem, x.f32s()?, &packed))
    }

    fn cuda(&self, [x, w]: [(&CudaStorage, &Layout); 2]) -> Result<CudaStorage> {
        cuda::conv3d(self.name(), Pass::Forward, self.sizes([x.1, w.1])?, x, w)
    }

    fn gradient(
        &self,
        [x, w]: [&Tensor; 2],
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        let (dy, stride) = (dy.contiguous()?, self.stride);
        let ((n, d, h, wide, ci), (_, kd, kh, kw, _)) = (x.dims5()?, w.dims5()?);
        let data = Data {
            x: [n, d, h, wide, ci],
            stride,
        };
        let dx = match x.track_op() {
            true => Some(dy.apply_op2_no_bwd(&w.contiguous()?, &Op(data))?),
            false => None,
        };
        let kernel = [kd, kh, kw];
        let dw = match w.track_op() {
            true => Some(x.apply_op2_no_bwd(&dy, &Op(Filter { kernel, stride }))?),
            false => None,
        };
        Ok([dx, dw])
    }
}

impl Data {
    fn sizes(&self, [dy, w]: [&Layout; 2]) -> Result<Sizes> {
        let op = self.name();
        let (y, [_, kd, kh, kw, _]) = (dims5(op, dy)?, dims5(op, w)?);
        sizes(op, self.x, [kd, kh, kw], y[4], self.stride)
    }
}

impl Operator<2> for Data {
    fn name(&self) -> &'static str {
        "conv3d data gradient"
    }

    fn shape(&self, _: [&Layout; 2]) -> Result<Shape> {
        Ok(Shape::from(self.x.to_vec()))
    }

    fn cpu(&self, [dy, w]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let sizes = self.sizes([dy.layout, w.layout])?;
        let (dy, weights, y) = (dy.f32s()?, w.f32s()?, sizes.output());
        Ok(match self.stride {
            // The gradient is a convolution too, with the kernel mirrored and its channels exchanged.
            1 => {
                let problem = Problem::new(y, sizes.kernel, self.x[4]);
                forward::correlate(&problem, dy, &forward::pack_mirrored(&problem, weights))
            }
            _ => stride2::data_gradient(self.x, y, sizes.kernel, dy, weights),
        })
    }

    fn cuda(&self, [dy, w]: [(&CudaStorage, &Layout); 2]) -> Result<CudaStorage> {
        cuda::conv3d(self.name(), Pass::Data, self.sizes([dy.1, w.1])?, dy, w)
    }
}

impl Filter {
    fn sizes(&self, [x, dy]: [&Layout; 2]) -> Result<Sizes> {
        let op = self.name();
        let (x, y) = (dims5(op, x)?, dims5(op, dy)?);
        sizes(op, x, self.kernel, y[4], self.stride)
    }
}

impl Operator<2> for Filter {
    fn name(&self) -> &'static str {
        "conv3d filter gradient"
    }

    fn shape(&self, inputs: [&Layout; 2]) -> Result<Shape> {
        Ok(self.sizes(inputs)?.w())
    }

    fn cpu(&self, [x, dy]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let problem = self.sizes([x.layout, dy.layout])?.problem();
        Ok(filter::gradient(&problem, x.f32s()?, dy.f32s()?))
    }

    fn cuda(&self, [x, dy]: [(&CudaStorage, &Layout); 2]) -> Result<CudaStorage> {
        cuda::conv3d(self.name(), Pass::Filter, self.sizes([x.1, dy.1])?, x, dy)
    }
}
