//! Convolution of every second voxel: a network's way down without pooling.
//!
//! Forward and filter gradient are the gathered path with a stride. The data gradient falls apart
//! into eight products, one for each parity of the input voxel: a voxel at an even place meets
//! other kernel entries than one at an odd place, and none is multiplied by a zero that a stride
//! would have put between the gradients.

use super::super::cpu::{Matrix, dims5, f32s, fill_pieces, matmul};
use super::super::cuda;
use super::tile::Problem;
use super::{Pass, Sizes, check, filter, forward};
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// Values of gathered gradients at once.
const GATHERED: usize = 1 << 16;

/// Convolution with stride 2 on every axis, without bias.
///
/// **Shape** `x` `[n, d, h, w, ci]`, `w` `[co, kd, kh, kw, ci]` with odd `kd`, `kh`, `kw`; the result
/// is `[n, ceil(d / 2), ceil(h / 2), ceil(w / 2), co]`.
///
/// **Law** `y[z, o] = sum over k, i of w[o, k, i] x[2 z + k - (K - 1) / 2, i]`, zero outside. No
/// gradient is computed for an `x` that does not depend on a variable.
///
/// On CUDA `x` may be bf16; the kernel is then rounded to it, and its gradient is f32 again.
///
/// **Errors** where shapes do not fit, the kernel is even or values are not f32.
pub fn conv3d_stride2(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let w = w.to_dtype(x.dtype())?;
    x.contiguous()?.apply_op2(&w.contiguous()?, Stride2)
}

struct Stride2;

/// dx of these sizes from (dy, w).
struct Data([usize; 5]);

/// dw from (x, dy), for a kernel of these sizes.
struct Filter([usize; 3]);

impl Stride2 {
    fn check(&self, x: &Layout, w: &Layout) -> Result<Sizes> {
        let op = self.name();
        let (x, [co, kd, kh, kw, ci]) = (dims5(op, x)?, dims5(op, w)?);
        if x[4] != ci {
            bail!(
                "{op}: the input {x:?} has {} channels, the kernel {:?} expects {ci}",
                x[4],
                w.dims()
            );
        }
        sizes(op, x, [kd, kh, kw], co)
    }
}

fn sizes(op: &str, x: [usize; 5], kernel: [usize; 3], co: usize) -> Result<Sizes> {
    check(op, x, kernel, co)?;
    Ok(Sizes {
        x,
        kernel,
        co,
        stride: 2,
    })
}

impl CustomOp2 for Stride2 {
    fn name(&self) -> &'static str {
        "conv3d_stride2"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (op, sizes) = (self.name(), self.check(l1, l2)?);
        let problem = Problem::stride2(sizes.x, sizes.kernel, sizes.co);
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
        let sizes = self.check(l1, l2)?;
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
        let ((n, d, h, wide, ci), (_, kd, kh, kw, _)) = (x.dims5()?, w.dims5()?);
        let dx = match x.track_op() {
            true => Some(dy.apply_op2_no_bwd(w, &Data([n, d, h, wide, ci]))?),
            false => None,
        };
        let dw = match w.track_op() {
            true => Some(x.apply_op2_no_bwd(&dy, &Filter([kd, kh, kw]))?),
            false => None,
        };
        Ok((dx, dw))
    }
}

impl CustomOp2 for Filter {
    fn name(&self) -> &'static str {
        "conv3d_stride2 filter gradient"
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
        let sizes = sizes(op, xd, self.0, yd[4])?;
        let problem = Problem::stride2(xd, self.0, yd[4]);
        let dw = filter::gradient(&problem, f32s(op, s1, l1)?, f32s(op, s2, l2)?);
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
        let (xd, yd) = (dims5(op, l1)?, dims5(op, l2)?);
        let sizes = sizes(op, xd, self.0, yd[4])?;
        let dw = cuda::conv3d(op, Pass::Filter, sizes, (s1, l1), (s2, l2))?;
        Ok((dw, sizes.w()))
    }
}

impl CustomOp2 for Data {
    fn name(&self) -> &'static str {
        "conv3d_stride2 data gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (yd, [_, kd, kh, kw, _]) = (dims5(op, l1)?, dims5(op, l2)?);
        check(op, self.0, [kd, kh, kw], yd[4])?;
        let dx = data_gradient(
            self.0,
            yd,
            [kd, kh, kw],
            f32s(op, s1, l1)?,
            f32s(op, s2, l2)?,
        );
        Ok((CpuStorage::F32(dx), Shape::from(self.0.to_vec())))
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let op = self.name();
        let (yd, [_, kd, kh, kw, _]) = (dims5(op, l1)?, dims5(op, l2)?);
        let sizes = sizes(op, self.0, [kd, kh, kw], yd[4])?;
        let dx = cuda::conv3d(op, Pass::Data, sizes, (s1, l1), (s2, l2))?;
        Ok((dx, Shape::from(self.0.to_vec())))
    }
}

/// Kernel entries that reach inputs `2 j + parity`, each with its shift of `j` towards the output:
/// output `j + shift` meets the input through entry `k` where `2 shift = parity + pad - k`.
fn entries(kernel: usize, parity: usize) -> Vec<(usize, isize)> {
    let reach = (parity + kernel / 2) as isize;
    (0..kernel)
        .filter(|&k| (reach - k as isize) % 2 == 0)
        .map(|k| (k, (reach - k as isize) / 2))
        .collect()
}

/// `j + shift` where it lies inside.
fn shifted(j: usize, shift: isize, size: usize) -> Option<usize> {
    j.checked_add_signed(shift).filter(|&at| at < size)
}

fn data_gradient(
    [n, d, h, w, ci]: [usize; 5],
    [_, yd, yh, yw, co]: [usize; 5],
    kernel: [usize; 3],
    dy: &[f32],
    weights: &[f32],
) -> Vec<f32> {
    let volume: usize = kernel.iter().product();
    let [_, kh, kw] = kernel;
    let length = w * ci;
    fill_pieces(
        std::iter::repeat_n(h * length, n * d),
        || [Vec::new(), Vec::new(), Vec::new()],
        |[gathered, packed, product], plane, out| {
            let (sample, z) = (plane / d, plane % d);
            for parity in [[0, 0], [0, 1], [1, 0], [1, 1]] {
                // Lines and voxels of a line at this parity.
                let (lines, width) = ((h + 1 - parity[0]) / 2, (w + 1 - parity[1]) / 2);
                let (rows, mut accumulate) = (lines * width, false);
                if rows == 0 {
                    continue;
                }
                let taps: Vec<_> = entries(kernel[0], z % 2)
                    .into_iter()
                    .filter_map(|(kz, sz)| Some((kz, shifted(z / 2, sz, yd)?)))
                    .flat_map(|(kz, source)| {
                        entries(kh, parity[0])
                            .into_iter()
                            .map(move |(ky, sy)| (kz, source, ky, sy))
                    })
                    .flat_map(|(kz, source, ky, sy)| {
                        entries(kw, parity[1])
                            .into_iter()
                            .map(move |(kx, sx)| ((kz * kh + ky) * kw + kx, source, sy, sx))
                    })
                    .collect();
                product.clear();
                product.resize(rows * ci, 0.0);
                for taps in taps.chunks((GATHERED / (rows * co)).max(1)) {
                    let depth = taps.len() * co;
                    gathered.clear();
                    gathered.resize(rows * depth, 0.0);
                    packed.resize(depth * ci, 0.0);
                    for (t, &(k, source_z, sy, sx)) in taps.iter().enumerate() {
                        for (o, row) in packed[t * co * ci..][..co * ci]
                            .chunks_exact_mut(ci)
                            .enumerate()
                        {
                            row.copy_from_slice(&weights[(o * volume + k) * ci..][..ci]);
                        }
                        for line in 0..lines {
                            let Some(source_y) = shifted(line, sy, yh) else {
                                continue;
                            };
                            let source = ((sample * yd + source_z) * yh + source_y) * yw;
                            for x in 0..width {
                                if let Some(source_x) = shifted(x, sx, yw) {
                                    gathered[(line * width + x) * depth + t * co..][..co]
                                        .copy_from_slice(&dy[(source + source_x) * co..][..co]);
                                }
                            }
                        }
                    }
                    matmul(
                        [rows, depth, ci],
                        Matrix::rows(gathered, depth),
                        Matrix::rows(packed, ci),
                        product,
                        ci,
                        accumulate,
                    );
                    accumulate = true;
                }
                for line in 0..lines {
                    let out = &mut out[(2 * line + parity[0]) * length..][..length];
                    for x in 0..width {
                        out[(2 * x + parity[1]) * ci..][..ci]
                            .copy_from_slice(&product[(line * width + x) * ci..][..ci]);
                    }
                }
            }
        },
    )
}
