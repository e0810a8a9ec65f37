//! Convolution in three dimensions: stride 1 or 2, odd kernel, «same» zero padding.
//!
//! On the CPU the convolution is a sum of matrix products over tiles of image lines. The operand is
//! read in place where a line is long enough (a row of three neighbours in x is a strided view of a
//! padded line), and gathered tile by tile where lines are short or channels few; the whole column
//! matrix never exists.

mod filter;
mod forward;
mod joined;
mod stride2;
mod tile;
mod winograd;

#[cfg(test)]
mod tests;

use super::cpu::{dims5, f32s};
use super::cuda;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
pub use joined::conv3d_joined;
pub use stride2::conv3d_stride2;
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
    let w = w.to_dtype(x.dtype())?;
    x.contiguous()?.apply_op2(&w.contiguous()?, Conv3d)
}

/// Which of a convolution's three passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    /// y from (x, w).
    Forward,
    /// dx from (dy, w).
    Data,
    /// dw from (x, dy).
    Filter,
}

/// Sizes of the forward pass, whichever pass it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sizes {
    /// `[n, d, h, w, ci]`.
    pub(super) x: [usize; 5],
    /// Kernel sizes.
    pub(super) kernel: [usize; 3],
    /// Output channels.
    pub(super) co: usize,
    /// Voxels between neighbouring outputs, on every axis.
    pub(super) stride: usize,
}

impl Sizes {
    /// `[n, ceil(d / stride), ceil(h / stride), ceil(w / stride), co]`.
    pub(super) fn output(&self) -> [usize; 5] {
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

struct Conv3d;

/// dx from (dy, w).
struct Conv3dData;

/// dw from (x, dy), for a kernel of these sizes.
struct Conv3dFilter([usize; 3]);

fn problem(op: &str, x: [usize; 5], kernel: [usize; 3], co: usize) -> Result<Problem> {
    check(op, x, kernel, co)?;
    Ok(Problem::new(x, kernel, co))
}

fn check(op: &str, x: [usize; 5], kernel: [usize; 3], co: usize) -> Result<()> {
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
    Ok(())
}

impl Conv3d {
    fn check(&self, x: &Layout, w: &Layout) -> Result<(Sizes, Problem)> {
        let op = self.name();
        let (x, [co, kd, kh, kw, ci]) = (dims5(op, x)?, dims5(op, w)?);
        if x[4] != ci {
            bail!(
                "{op}: the input {x:?} has {} channels, the kernel {:?} expects {ci}",
                x[4],
                w.dims()
            );
        }
        let kernel = [kd, kh, kw];
        let sizes = Sizes {
            x,
            kernel,
            co,
            stride: 1,
        };
        Ok((sizes, problem(op, x, kernel, co)?))
    }
}

impl CustomOp2 for Conv3d {
    fn name(&self) -> &'static str {
        "conv3d"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (sizes, problem) = self.check(l1, l2)?;
        let (x, w) = (f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        let y = forward::correlate(&problem, x, &forward::pack(&problem, w));
        Ok((CpuStorage::F32(y), sizes.y()))
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (sizes, _) = self.check(l1, l2)?;
        let y = cuda::conv3d(self.name(), Pass::Forward, sizes, (s1, l1), (s2, l2))?;
        Ok((y, sizes.y()))
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
            true => Some(dy.apply_op2_no_bwd(&w.contiguous()?, &Conv3dData)?),
            false => None,
        };
        let dw = match (w.track_op(), w.dims()) {
            (true, &[_, kd, kh, kw, _]) => {
                Some(x.apply_op2_no_bwd(&dy, &Conv3dFilter([kd, kh, kw]))?)
            }
            _ => None,
        };
        Ok((dx, dw))
    }
}

impl CustomOp2 for Conv3dData {
    fn name(&self) -> &'static str {
        "conv3d data gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let ([n, d, h, w, co], [_, kd, kh, kw, ci]) = (dims5(op, l1)?, dims5(op, l2)?);
        // The gradient is a convolution too, with the kernel mirrored and its channels exchanged.
        let problem = problem(op, [n, d, h, w, co], [kd, kh, kw], ci)?;
        let (dy, weights) = (f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        let dx = forward::correlate(&problem, dy, &forward::pack_mirrored(&problem, weights));
        Ok((CpuStorage::F32(dx), Shape::from(vec![n, d, h, w, ci])))
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let op = self.name();
        let ([n, d, h, w, co], [_, kd, kh, kw, ci]) = (dims5(op, l1)?, dims5(op, l2)?);
        let (x, kernel) = ([n, d, h, w, ci], [kd, kh, kw]);
        problem(op, x, kernel, co)?;
        let sizes = Sizes {
            x,
            kernel,
            co,
            stride: 1,
        };
        let dx = cuda::conv3d(op, Pass::Data, sizes, (s1, l1), (s2, l2))?;
        Ok((dx, Shape::from(x.to_vec())))
    }
}

impl CustomOp2 for Conv3dFilter {
    fn name(&self) -> &'static str {
        "conv3d filter gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (xd, yd) = (dims5(op, l1)?, dims5(op, l2)?);
        let problem = problem(op, xd, self.0, yd[4])?;
        let dw = filter::gradient(&problem, f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        let sizes = Sizes {
            x: xd,
            kernel: self.0,
            co: yd[4],
            stride: 1,
        };
        Ok((CpuStorage::F32(dw), sizes.w()))
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let op = self.name();
        let (x, y) = (dims5(op, l1)?, dims5(op, l2)?);
        problem(op, x, self.0, y[4])?;
        let (kernel, co) = (self.0, y[4]);
        let sizes = Sizes {
            x,
            kernel,
            co,
            stride: 1,
        };
        let dw = cuda::conv3d(op, Pass::Filter, sizes, (s1, l1), (s2, l2))?;
        Ok((dw, sizes.w()))
    }
}
