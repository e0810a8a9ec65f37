//! Maximum over blocks of 2 x 2 x 2 voxels.

use super::cpu::{dims5, f32s, fill_pieces};
use super::cuda;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail,
};

/// Maximum over 2 x 2 x 2 voxels with stride 2, each channel by itself.
///
/// **Shape** `[n, d, h, w, c]` to `[n, d / 2, h / 2, w / 2, c]`; an axis of size 1 stays as it is.
///
/// **Law** Of equal maxima the first in `z, y, x` order takes the gradient. NaN wins over numbers.
///
/// **Errors** where a size is neither 1 nor even (the message names the shape) or values are not f32.
pub fn max_pool3d(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool3d)
}

/// As [`max_pool3d`], without a node in the graph.
pub(super) fn forward(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&MaxPool3d)
}

/// The gradient of `x` from `x`, the pooled `y` and its gradient.
pub(super) fn gradient(x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(y, &dy.contiguous()?, &Gradient)
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
    fn new(op: &str, size: [usize; 5]) -> Result<Self> {
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

impl CustomOp1 for MaxPool3d {
    fn name(&self) -> &'static str {
        "max_pool3d"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let problem = Problem::new(op, dims5(op, layout)?)?;
        let x = f32s(op, storage, layout)?;
        let [n, d, h, w, c] = problem.pooled();
        let (length, kw) = (problem.size[3] * c, problem.window[2]);
        // A piece is a plane of outputs: lines alone would be too short to share out.
        let y = fill_pieces(
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
        );
        Ok((CpuStorage::F32(y), Shape::from(vec![n, d, h, w, c])))
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let op = self.name();
        let problem = Problem::new(op, dims5(op, layout)?)?;
        let y = cuda::max_pool3d(op, problem.size, problem.window, (storage, layout))?;
        Ok((y, Shape::from(problem.pooled().to_vec())))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient(x, y, dy)?))
    }
}

impl CustomOp3 for Gradient {
    fn name(&self) -> &'static str {
        "max_pool3d gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let problem = Problem::new(op, dims5(op, l1)?)?;
        let (x, y, dy) = (f32s(op, s1, l1)?, f32s(op, s2, l2)?, f32s(op, s3, l3)?);
        let ([n, d, h, w, c], [_, _, pooled_h, _, _]) = (problem.size, problem.pooled());
        let [kd, kh, kw] = problem.window;
        let (length, pooled) = (w * c, w / kw * c);
        let dx = fill_pieces(
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
        );
        debug_assert!(kh <= 2);
        Ok((CpuStorage::F32(dx), l1.shape().clone()))
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let op = self.name();
        let Problem { size, window } = Problem::new(op, dims5(op, l1)?)?;
        let dx = cuda::max_pool3d_gradient(op, size, window, [(s1, l1), (s2, l2), (s3, l3)])?;
        Ok((dx, l1.shape().clone()))
    }
}

#[cfg(test)]
mod tests;
