//! The transposed convolution as one matrix product and a permutation: its form on a GPU.

use super::super::cpu::dims5;
use super::super::cuda;
use super::super::operator::{Input, Op, Operator};
use candle_core::{CudaStorage, Layout, Result, Shape, Tensor, bail};

/// As [`conv_transpose3d`](super::conv_transpose3d): the product makes for every voxel its block of
/// outputs, `[kd, kh, kw, co]`, and the blocks are then put in their places. Gradients are those of
/// the two parts.
pub(super) fn by_blocks(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let op = "conv_transpose3d";
    let ([n, d, h, width, channels], [co, kd, kh, kw, ci]) =
        (dims5(op, x.layout())?, dims5(op, w.layout())?);
    if channels != ci {
        bail!(
            "{op}: the input {:?} has {channels} channels, the kernel {:?} expects {ci}",
            x.dims(),
            w.dims()
        );
    }
    let taps = kd * kh * kw;
    let rows = x.contiguous()?.reshape((n * d * h * width, ci))?;
    let w = w.contiguous()?.reshape((co, taps, ci))?.transpose(0, 1)?;
    let w = w.contiguous()?.reshape((taps * co, ci))?;
    rows.matmul(&w.t()?)?.apply_op1(Op(Blocks {
        size: [n, d, h, width, co],
        kernel: [kd, kh, kw],
        back: false,
    }))
}

/// Blocks `[n d h w, kd kh kw c]` to the volume `[n, d kd, h kh, w kw, c]`, or back.
struct Blocks {
    /// `[n, d, h, w, c]` of the blocks.
    size: [usize; 5],
    kernel: [usize; 3],
    back: bool,
}

impl Operator<1> for Blocks {
    fn name(&self) -> &'static str {
        "conv_transpose3d blocks"
    }

    fn shape(&self, _: [&Layout; 1]) -> Result<Shape> {
        let ([n, d, h, w, c], [kd, kh, kw]) = (self.size, self.kernel);
        Ok(match self.back {
            false => Shape::from(vec![n, d * kd, h * kh, w * kw, c]),
            true => Shape::from(vec![n * d * h * w, kd * kh * kw * c]),
        })
    }

    fn cpu(&self, [from]: [Input<'_>; 1]) -> Result<Vec<f32>> {
        let from = from.f32s()?;
        let ([n, d, h, w, c], [kd, kh, kw]) = (self.size, self.kernel);
        let mut to = vec![0.0; from.len()];
        for line in 0..n * d * kd * h * kh {
            let (plane, y) = (line / (h * kh), line % (h * kh));
            for x in 0..w * kw {
                let voxel = (plane / kd * h + y / kh) * w + x / kw;
                let tap = (plane % kd * kh + y % kh) * kw + x % kw;
                let (block, place) = (voxel * kd * kh * kw + tap, line * w * kw + x);
                let (source, target) = if self.back {
                    (place, block)
                } else {
                    (block, place)
                };
                to[target * c..][..c].copy_from_slice(&from[source * c..][..c]);
            }
        }
        Ok(to)
    }

    fn cuda(&self, [x]: [(&CudaStorage, &Layout); 1]) -> Result<CudaStorage> {
        cuda::permute_blocks(self.name(), self.size, self.kernel, self.back, x)
    }

    fn gradient(&self, _: [&Tensor; 1], _y: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; 1]> {
        let back = Self {
            back: !self.back,
            ..*self
        };
        Ok([Some(dy.contiguous()?.apply_op1_no_bwd(&Op(back))?)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::conv_transpose3d;
    use super::*;
    use crate::nn::check::{normals, values};
    use candle_core::{Device, Var};

    #[test]
    fn both_forms_agree() {
        for (shape, kernel, co) in [
            ([2, 2, 3, 4, 5], [2, 2, 2], 3),
            ([1, 1, 3, 2, 4], [1, 2, 2], 8),
        ] {
            let weights = [co, kernel[0], kernel[1], kernel[2], shape[4]];
            let var = |name: &str, shape: &[usize]| {
                let count = shape.iter().product();
                Var::from_vec(normals(name, count), shape, &Device::Cpu).unwrap()
            };
            let (x, w) = (var("x", &shape), var("w", &weights));
            let run = |op: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>| {
                let y = op(&x, &w).unwrap();
                let g = Tensor::from_vec(normals("g", y.elem_count()), y.shape(), &Device::Cpu);
                let loss = (&y * g.unwrap()).unwrap().sum_all().unwrap();
                let grads = loss.backward().unwrap();
                [
                    y,
                    grads.get(&x).unwrap().clone(),
                    grads.get(&w).unwrap().clone(),
                ]
            };
            for (a, b) in run(&conv_transpose3d).iter().zip(run(&by_blocks)) {
                assert_eq!(a.dims(), b.dims());
                for (a, b) in values(a).iter().zip(values(&b)) {
                    assert!((a - b).abs() < 1e-4, "{a} and {b}");
                }
            }
        }
    }
}
