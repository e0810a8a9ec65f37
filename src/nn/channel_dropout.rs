//! Dropout of whole channels, with masks that the caller draws.
//!
//! A perturbation of features must be the same after a restart, so nothing is drawn here: the mask
//! is a tensor of the caller, keyed by whatever keys its other draws.

use super::cpu::{dims5, fill_pieces};
use super::operator::{Input, Op, Operator};
use candle_core::{Device, Layout, Result, Shape, Tensor, bail};

/// Multiplies every channel of every sample by its entry of `mask`.
///
/// **Shape** `x` `[n, d, h, w, c]`, `mask` `[n, c]` in f32; the result is shaped as `x`.
///
/// **Law** `y[b, .., i] = mask[b, i] x[b, .., i]`. Plain dropout at rate `p` has masks of 0 with
/// probability `p` and `1 / (1 - p)` otherwise, which keeps the mean. No gradient reaches the mask.
///
/// **Source** spatial dropout: Tompson et al. 2015.
///
/// On CUDA `x` may be bf16; the mask is then rounded to it.
///
/// **Errors** where shapes do not fit or values are not f32.
pub fn channel_dropout(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let mask = mask.detach();
    match x.device() {
        Device::Cuda(_) => {
            let (n, c) = mask.dims2()?;
            x.broadcast_mul(&mask.reshape((n, 1, 1, 1, c))?.to_dtype(x.dtype())?)
        }
        _ => x
            .contiguous()?
            .apply_op2(&mask.contiguous()?, Op(ChannelDropout)),
    }
}

/// The mask of the other view: what one view drops, the other one keeps.
///
/// **Law** `2 - mask`. With masks of 0 or 2, half of the channels each, the two views see disjoint
/// halves of the features, both scaled to keep their mean; a mask of ones stays as it is.
///
/// **Source** Yang et al. 2025 (UniMatch V2), complementary channel-wise dropout.
///
/// **Errors** where an entry is outside 0 to 2 (its complement would change sign); the message
/// names it.
pub fn complementary(mask: &Tensor) -> Result<Tensor> {
    let values = mask.flatten_all()?.to_vec1::<f32>()?;
    if let Some(found) = values.iter().find(|v| !(0.0..=2.0).contains(*v)) {
        bail!(
            "channel_dropout: found {found} in a mask, expected entries from 0 to 2, which have a complement"
        );
    }
    mask.affine(-1.0, 2.0)
}

struct ChannelDropout;

impl Operator<2> for ChannelDropout {
    fn name(&self) -> &'static str {
        "channel_dropout"
    }

    fn shape(&self, [x, mask]: [&Layout; 2]) -> Result<Shape> {
        let op = self.name();
        let [n, .., c] = dims5(op, x)?;
        if mask.dims() != [n, c] {
            bail!(
                "{op}: expected a mask of shape [{n}, {c}] for {:?}, found {:?}",
                x.dims(),
                mask.dims()
            );
        }
        Ok(x.shape().clone())
    }

    fn cpu(&self, [x, mask]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let [n, d, h, w, c] = dims5(self.name(), x.layout)?;
        let (x, mask) = (x.f32s()?, mask.f32s()?);
        // A piece is a plane.
        Ok(fill_pieces(
            std::iter::repeat_n(h * w * c, n * d),
            || (),
            |(), plane, out| {
                let mask = &mask[plane / d * c..][..c];
                let x = &x[plane * h * w * c..][..h * w * c];
                for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    for ((out, x), m) in out.iter_mut().zip(x).zip(mask) {
                        // A dropped channel is 0, whatever it held.
                        *out = if *m == 0.0 { 0.0 } else { x * m };
                    }
                }
            },
        ))
    }

    fn gradient(
        &self,
        [_, mask]: [&Tensor; 2],
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        // The operator is its own transpose.
        let dx = dy.contiguous()?.apply_op2_no_bwd(mask, &Op(Self))?;
        Ok([Some(dx), None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{check_op, normals, values};
    use candle_core::{DType, Device};

    #[test]
    fn agrees_with_the_definition_and_its_differences() {
        let shape = [2, 2, 3, 4, 5];
        let mask: Vec<f32> = (0..10).map(|i| [0.0, 2.0, 1.0][i % 3]).collect();
        let tensor = Tensor::from_slice(&mask, (2, 5), &Device::Cpu).unwrap();
        check_op(
            "channel_dropout",
            &[(&shape, normals("x", shape.iter().product()))],
            1e-6,
            |t| channel_dropout(&t[0], &tensor),
            |v| {
                let at = |i: usize| f64::from(mask[i / 120 * 5 + i % 5]);
                v[0].iter().enumerate().map(|(i, x)| x * at(i)).collect()
            },
        );
    }

    #[test]
    fn complements_share_the_channels() {
        let x = Tensor::from_vec(normals("x", 48), (1, 2, 2, 2, 6), &Device::Cpu).unwrap();
        let mask = Tensor::new(&[[0f32, 2.0, 2.0, 0.0, 1.0, 2.0]], &Device::Cpu).unwrap();
        let other = complementary(&mask).unwrap();
        assert_eq!(values(&other), [2.0, 0.0, 0.0, 2.0, 1.0, 0.0]);
        let sum =
            (channel_dropout(&x, &mask).unwrap() + channel_dropout(&x, &other).unwrap()).unwrap();
        let twice: Vec<f32> = values(&x).iter().map(|v| 2.0 * v).collect();
        assert_eq!(values(&sum), twice);
        let three = Tensor::new(&[[3f32]], &Device::Cpu).unwrap();
        let error = complementary(&three).unwrap_err().to_string();
        assert!(error.contains("found 3"), "{error}");
    }

    #[test]
    fn a_dropped_channel_hides_even_infinity() {
        let x = Tensor::full(f32::INFINITY, (1, 1, 1, 1, 2), &Device::Cpu).unwrap();
        let mask = Tensor::zeros((1, 2), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(values(&channel_dropout(&x, &mask).unwrap()), [0.0, 0.0]);
        let narrow = Tensor::zeros((1, 3), DType::F32, &Device::Cpu).unwrap();
        let error = channel_dropout(&x, &narrow).unwrap_err().to_string();
        assert!(error.contains("[1, 2]"), "{error}");
    }
}
