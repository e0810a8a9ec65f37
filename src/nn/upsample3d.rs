//! Trilinear upsampling by 2, axis by axis.

use super::cpu::{dims5, fill_pieces};
use super::operator::{Input, Op, Operator};
use candle_core::{Device, Layout, Result, Shape, Tensor, bail};

/// Values from which on a row along an axis is a task of its own.
const LONG: usize = 1 << 12;

/// Linear interpolation to twice the size along depth, height and width.
///
/// **Shape** `[n, d, h, w, c]` to `[n, 2 d, 2 h, 2 w, c]`.
///
/// **Law** along each axis `y[2 i] = 3/4 x[i] + 1/4 x[i - 1]` and `y[2 i + 1] = 3/4 x[i] + 1/4
/// x[i + 1]`, the neighbour beyond an end being the end itself: voxel edges stay where they are
/// (PyTorch's `align_corners=False`).
///
/// On CUDA `x` may be bf16.
///
/// **Errors** where there are not five axes or values are not f32.
pub fn upsample3d(x: &Tensor) -> Result<Tensor> {
    match x.device() {
        Device::Cuda(_) => by_tensors(x),
        _ => x.contiguous()?.apply_op1(Op(Upsample3d)),
    }
}

/// The same law in candle's own operations, for devices that the operator has no kernel for.
fn by_tensors(x: &Tensor) -> Result<Tensor> {
    let (n, d, h, w, c) = x.dims5()?;
    let mut x = x.contiguous()?;
    for Axis {
        outer,
        length,
        inner,
    } in axes([n, d, h, w, c], true)
    {
        x = x.reshape((outer, length, inner))?;
        let (first, last) = (x.narrow(1, 0, 1)?, x.narrow(1, length - 1, 1)?);
        let before = Tensor::cat(&[&first, &x.narrow(1, 0, length - 1)?], 1)?;
        let after = Tensor::cat(&[&x.narrow(1, 1, length - 1)?, &last], 1)?;
        let near = (&x * 0.75)?;
        let even = (&near + (before * 0.25)?)?;
        let odd = (&near + (after * 0.25)?)?;
        x = Tensor::stack(&[even, odd], 2)?;
    }
    x.reshape((n, 2 * d, 2 * h, 2 * w, c))
}

struct Upsample3d;

/// dx from dy: the transpose.
struct Gradient;

/// One axis of a volume: `outer` times `length` times `inner` consecutive values.
#[derive(Clone, Copy)]
struct Axis {
    outer: usize,
    length: usize,
    inner: usize,
}

/// The three axes, each with what is outside and inside of it.
fn axes([n, d, h, w, c]: [usize; 5], along_first: bool) -> [Axis; 3] {
    // From w to d going up, so that the first passes are over few voxels; the reverse coming down.
    let axis = |outer, length, inner| Axis {
        outer,
        length,
        inner,
    };
    if along_first {
        [
            axis(n * d * h, w, c),
            axis(n * d, h, 2 * w * c),
            axis(n, d, 4 * h * w * c),
        ]
    } else {
        [
            axis(n, d, 4 * h * w * c),
            axis(n * d, h, 2 * w * c),
            axis(n * d * h, w, c),
        ]
    }
}

/// Makes `rows` rows of `inner` values for each of `outer` parts; `fill(part, row, out)`.
fn by_rows(
    axis: Axis,
    rows: usize,
    fill: impl Fn(usize, usize, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let at_once = if axis.inner >= LONG { 1 } else { rows };
    let pieces = axis.outer * rows / at_once;
    fill_pieces(
        std::iter::repeat_n(at_once * axis.inner, pieces),
        || (),
        |(), piece, out| {
            for (i, out) in out.chunks_exact_mut(axis.inner).enumerate() {
                let row = piece * at_once + i;
                fill(row / rows, row % rows, out);
            }
        },
    )
}

fn up(axis: Axis, x: &[f32]) -> Vec<f32> {
    let Axis { length, inner, .. } = axis;
    by_rows(axis, 2 * length, |part, row, out| {
        let at = row / 2;
        let beside = match row % 2 {
            0 => at.saturating_sub(1),
            _ => (at + 1).min(length - 1),
        };
        let line = |i: usize| &x[(part * length + i) * inner..][..inner];
        for ((out, near), far) in out.iter_mut().zip(line(at)).zip(line(beside)) {
            *out = 0.75 * near + 0.25 * far;
        }
    })
}

fn down(axis: Axis, dy: &[f32]) -> Vec<f32> {
    let Axis { length, inner, .. } = axis;
    by_rows(axis, length, |part, row, out| {
        let line = |i: usize| &dy[(part * 2 * length + i) * inner..][..inner];
        let (even, odd) = (line(2 * row), line(2 * row + 1));
        let before = line((2 * row).saturating_sub(1));
        let after = line((2 * row + 2).min(2 * length - 1));
        for (i, out) in out.iter_mut().enumerate() {
            *out = 0.75 * (even[i] + odd[i]) + 0.25 * (before[i] + after[i]);
        }
    })
}

impl Operator<1> for Upsample3d {
    fn name(&self) -> &'static str {
        "upsample3d"
    }

    fn shape(&self, [x]: [&Layout; 1]) -> Result<Shape> {
        let op = self.name();
        let size = dims5(op, x)?;
        if size.contains(&0) {
            bail!("{op}: expected at least one value on every axis, found {size:?}");
        }
        let [n, d, h, w, c] = size;
        Ok(Shape::from(vec![n, 2 * d, 2 * h, 2 * w, c]))
    }

    fn cpu(&self, [x]: [Input<'_>; 1]) -> Result<Vec<f32>> {
        let [first, second, third] = axes(dims5(self.name(), x.layout)?, true);
        Ok(up(third, &up(second, &up(first, x.f32s()?))))
    }

    fn gradient(&self, _: [&Tensor; 1], _y: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(dy.contiguous()?.apply_op1_no_bwd(&Op(Gradient))?)])
    }
}

impl Operator<1> for Gradient {
    fn name(&self) -> &'static str {
        "upsample3d gradient"
    }

    fn shape(&self, [dy]: [&Layout; 1]) -> Result<Shape> {
        let [n, d, h, w, c] = dims5(self.name(), dy)?;
        Ok(Shape::from(vec![n, d / 2, h / 2, w / 2, c]))
    }

    fn cpu(&self, [dy]: [Input<'_>; 1]) -> Result<Vec<f32>> {
        let [n, d, h, w, c] = dims5(self.name(), dy.layout)?;
        let [first, second, third] = axes([n, d / 2, h / 2, w / 2, c], false);
        Ok(down(third, &down(second, &down(first, dy.f32s()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{check_op, check_threads, normals};
    use candle_core::{DType, Device, Var};

    /// The weights of PyTorch's rule: source coordinate (i + 1/2) / 2 - 1/2, cut off at 0.
    fn direct(x: &[f64], [n, d, h, w, c]: [usize; 5]) -> Vec<f64> {
        let source = |i: usize, size: usize| {
            let at = ((i as f64 + 0.5) / 2.0 - 0.5).max(0.0);
            let low = at.floor() as usize;
            [
                (low, 1.0 - at.fract()),
                ((low + 1).min(size - 1), at.fract()),
            ]
        };
        let mut y = Vec::new();
        for i in 0..n * 8 * d * h * w * c {
            let (ch, px, py, pz, b) = (
                i % c,
                i / c % (2 * w),
                i / c / (2 * w) % (2 * h),
                i / c / (4 * w * h) % (2 * d),
                i / c / (8 * w * h * d),
            );
            let mut sum = 0.0;
            for (sz, wz) in source(pz, d) {
                for (sy, wy) in source(py, h) {
                    for (sx, wx) in source(px, w) {
                        sum += wz * wy * wx * x[(((b * d + sz) * h + sy) * w + sx) * c + ch];
                    }
                }
            }
            y.push(sum);
        }
        y
    }

    #[test]
    fn agrees_with_the_definition_and_its_differences() {
        for shape in [[1, 2, 3, 4, 3], [2, 1, 3, 1, 2], [1, 3, 2, 5, 1]] {
            check_op(
                &format!("upsample3d {shape:?}"),
                &[(&shape, normals("x", shape.iter().product()))],
                1e-5,
                |t| upsample3d(&t[0]),
                |v| direct(&v[0], shape),
            );
        }
    }

    #[test]
    fn both_ways_of_computing_it_agree_with_their_gradients() {
        let shape = (2, 2, 3, 2, 3);
        let x = Var::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let by = |f: fn(&Tensor) -> Result<Tensor>| -> Vec<Vec<f32>> {
            let y = f(x.as_tensor()).unwrap();
            let weights = Tensor::arange(0f32, y.elem_count() as f32, &Device::Cpu).unwrap();
            let weights = (weights.reshape(y.shape()).unwrap() / 100.0).unwrap();
            let loss = (&y * weights).unwrap().sum_all().unwrap();
            let gradients = loss.backward().unwrap();
            let both = [&y, gradients.get(x.as_tensor()).unwrap()];
            (both.iter())
                .map(|t| t.flatten_all().unwrap().to_vec1().unwrap())
                .collect()
        };
        let (op, tensors) = (by(upsample3d), by(by_tensors));
        for (a, b) in op.iter().flatten().zip(tensors.iter().flatten()) {
            assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn does_not_depend_on_threads() {
        check_threads("upsample3d", || {
            let x = normals("x", 2 * 9 * 10 * 11 * 32);
            let x = Var::from_vec(x, (2, 9, 10, 11, 32), &Device::Cpu).unwrap();
            let y = upsample3d(&x).unwrap();
            let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            vec![y, grads.get(&x).unwrap().clone()]
        });
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let flat = Tensor::ones((2, 3, 4), DType::F32, &Device::Cpu).unwrap();
        let error = upsample3d(&flat).unwrap_err().to_string();
        assert!(error.contains("[2, 3, 4]"), "{error}");
        let wide = Tensor::ones((1, 1, 1, 1, 1), DType::F64, &Device::Cpu).unwrap();
        let error = upsample3d(&wide).unwrap_err().to_string();
        assert!(error.contains("f32"), "{error}");
    }
}
