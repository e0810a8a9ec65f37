//! The end of a residual block: a sum and the activation after it, as one operator.

use super::cpu::{CHUNK, fill_pieces};
use super::norm_act::Activation;
use super::operator::{Input, Op, Operator};
use candle_core::{Device, Layout, Result, Shape, Tensor, bail};

/// `act(a + b)`.
///
/// **Shape** both alike, any; the result too. The gradient at a sum of 0 is that of a negative one.
/// On CUDA values may be bf16.
///
/// **Errors** where shapes differ or values are not f32.
pub fn add_act(a: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    let slope = activation.slope();
    match a.device() {
        Device::Cuda(_) => {
            let sum = (a + b)?;
            // A slope of 1 or less, so the larger of both is the activation.
            sum.maximum(&(&sum * f64::from(slope))?)
        }
        _ => (a.contiguous()?).apply_op2(&b.contiguous()?, Op(AddAct { slope })),
    }
}

struct AddAct {
    slope: f32,
}

/// The gradient of either summand from the result and its gradient.
struct Gradient {
    slope: f32,
}

/// The shape of two inputs alike.
fn alike(op: &str, [a, b]: [&Layout; 2]) -> Result<Shape> {
    if a.dims() != b.dims() {
        bail!(
            "{op}: expected equal shapes, found {:?} and {:?}",
            a.dims(),
            b.dims()
        );
    }
    Ok(a.shape().clone())
}

/// `of` every pair of values.
fn zip([a, b]: [Input<'_>; 2], of: impl Fn(f32, f32) -> f32 + Sync + Send) -> Result<Vec<f32>> {
    let (a, b) = (a.f32s()?, b.f32s()?);
    let pieces = a.chunks(CHUNK).map(<[f32]>::len);
    Ok(fill_pieces(
        pieces,
        || (),
        |(), piece, out| {
            let from = piece * CHUNK;
            let both = a[from..].iter().zip(&b[from..]);
            (out.iter_mut().zip(both)).for_each(|(out, (a, b))| *out = of(*a, *b));
        },
    ))
}

impl Operator<2> for AddAct {
    fn name(&self) -> &'static str {
        "add_act"
    }

    fn shape(&self, inputs: [&Layout; 2]) -> Result<Shape> {
        alike(self.name(), inputs)
    }

    fn cpu(&self, inputs: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let slope = self.slope;
        zip(inputs, |a, b| {
            let sum = a + b;
            if sum > 0.0 { sum } else { slope * sum }
        })
    }

    fn gradient(&self, _: [&Tensor; 2], y: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let gradient = Op(Gradient { slope: self.slope });
        let da = y.detach().apply_op2_no_bwd(&dy.contiguous()?, &gradient)?;
        Ok([Some(da.clone()), Some(da)])
    }
}

impl Operator<2> for Gradient {
    fn name(&self) -> &'static str {
        "add_act gradient"
    }

    fn shape(&self, inputs: [&Layout; 2]) -> Result<Shape> {
        alike(self.name(), inputs)
    }

    fn cpu(&self, inputs: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let slope = self.slope;
        zip(inputs, |y, dy| if y > 0.0 { dy } else { slope * dy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{check_op, normals};

    #[test]
    fn agrees_with_the_definition_and_its_differences() {
        let shape = [2, 3, 1, 4, 5];
        for activation in [Activation::LeakyRelu(0.01), Activation::None] {
            let slope = f64::from(activation.slope());
            check_op(
                &format!("add_act {activation:?}"),
                &[(&shape, normals("a", 120)), (&shape, normals("b", 120))],
                1e-5,
                |t| add_act(&t[0], &t[1], activation),
                |v| {
                    let sums = v[0].iter().zip(&v[1]).map(|(a, b)| a + b);
                    sums.map(|s| if s > 0.0 { s } else { slope * s }).collect()
                },
            );
        }
    }

    #[test]
    fn shapes_that_differ_are_refused() {
        let zeros = |n: usize| Tensor::zeros(n, candle_core::DType::F32, &Device::Cpu).unwrap();
        let text = add_act(&zeros(2), &zeros(3), Activation::Relu)
            .unwrap_err()
            .to_string();
        assert!(text.contains("[2] and [3]"), "{text}");
    }
}
