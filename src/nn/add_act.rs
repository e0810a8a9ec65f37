//! The end of a residual block: a sum and the activation after it, as one operator.

use super::cpu::{CHUNK, f32s, fill_pieces};
use super::norm_act::Activation;
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

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
        _ => (a.contiguous()?).apply_op2(&b.contiguous()?, AddAct { slope }),
    }
}

struct AddAct {
    slope: f32,
}

/// The gradient of either summand from the result and its gradient.
struct Gradient {
    slope: f32,
}

fn zip(
    op: &'static str,
    (s1, l1): (&CpuStorage, &Layout),
    (s2, l2): (&CpuStorage, &Layout),
    of: impl Fn(f32, f32) -> f32 + Sync + Send,
) -> Result<(CpuStorage, Shape)> {
    if l1.dims() != l2.dims() {
        bail!(
            "{op}: expected equal shapes, found {:?} and {:?}",
            l1.dims(),
            l2.dims()
        );
    }
    let (a, b) = (f32s(op, s1, l1)?, f32s(op, s2, l2)?);
    let pieces = a.chunks(CHUNK).map(<[f32]>::len);
    let y = fill_pieces(
        pieces,
        || (),
        |(), piece, out| {
            let from = piece * CHUNK;
            let both = a[from..].iter().zip(&b[from..]);
            (out.iter_mut().zip(both)).for_each(|(out, (a, b))| *out = of(*a, *b));
        },
    );
    Ok((CpuStorage::F32(y), l1.shape().clone()))
}

impl CustomOp2 for AddAct {
    fn name(&self) -> &'static str {
        "add_act"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let slope = self.slope;
        zip(self.name(), (s1, l1), (s2, l2), |a, b| {
            let sum = a + b;
            if sum > 0.0 { sum } else { slope * sum }
        })
    }

    fn bwd(
        &self,
        _a: &Tensor,
        _b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = Gradient { slope: self.slope };
        let da = y.detach().apply_op2_no_bwd(&dy.contiguous()?, &gradient)?;
        Ok((Some(da.clone()), Some(da)))
    }
}

impl CustomOp2 for Gradient {
    fn name(&self) -> &'static str {
        "add_act gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let slope = self.slope;
        zip(self.name(), (s1, l1), (s2, l2), |y, dy| {
            if y > 0.0 { dy } else { slope * dy }
        })
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
