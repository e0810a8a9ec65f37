//! One gate over all modalities' bottlenecks, and what each decoder makes of it.

use candle_core::{Result, Tensor};

use super::super::add_bias::add_bias;
use super::super::blocks::{Builder, ConvNormAct, Layers, NormAct, Scope};
use super::super::conv3d::conv3d;
use super::super::network::NetworkError;
use super::super::norm_act::{Activation, Norm};
use super::super::params::Init;

/// The gate `Z = sigmoid(norm(conv(relu(norm(conv(F_1 ‖ … ‖ F_m))))))`, one for all modalities.
///
/// The features of every declared modality are joined in order; those of a missing one are zeros,
/// so any non-empty subset is accepted. The second convolution has no ReLU, unless the released
/// model is to be followed: with one the sigmoid never sees a negative number and the gate loses
/// half of its range.
pub struct Fusion {
    first: ConvNormAct,
    second: ConvNormAct,
    modalities: usize,
}

impl Fusion {
    /// A gate of `channels` for that many channels a modality; `last` is the activation before
    /// the sigmoid.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        (modalities, channels): (usize, usize),
        layers: Layers,
        last: Activation,
    ) -> Result<Self> {
        let joined = (modalities * channels, channels);
        let gate = (channels, channels);
        Ok(Self {
            first: ConvNormAct::new(builder, scope, 1, joined, layers)?,
            second: ConvNormAct::new(builder, scope, 2, gate, layers.with(last))?,
            modalities,
        })
    }

    /// The gate in (0, 1), `[n, d, h, w, c]`, from one such tensor a modality (`None` where missing).
    ///
    /// **Errors** [`NetworkError`], wrapped: all missing, a wrong number, or different shapes.
    pub fn forward(&self, features: &[Option<Tensor>]) -> Result<Tensor> {
        if features.len() != self.modalities {
            return Err(NetworkError::Modalities {
                found: features.len(),
                expected: self.modalities,
            }
            .into());
        }
        let declared = self.modalities;
        let present = features.iter().flatten().next();
        let first = present.ok_or(NetworkError::NoModality { declared })?;
        let misfit = |x: &Option<Tensor>| x.as_ref().is_some_and(|x| x.dims() != first.dims());
        if let Some(modality) = features.iter().position(misfit) {
            let found = features[modality].as_ref().map(|x| x.dims().to_vec());
            return Err(NetworkError::Features {
                modality,
                found: found.unwrap_or_default(),
                expected: first.dims().to_vec(),
            }
            .into());
        }
        let blank = first.zeros_like()?;
        let joined: Vec<&Tensor> = features
            .iter()
            .map(|x| x.as_ref().unwrap_or(&blank))
            .collect();
        let x = Tensor::cat(&joined, 4)?;
        sigmoid(&self.second.forward(&self.first.forward(&x)?)?)
    }
}

/// Input of one modality's decoder: `W ReLU(GroupNorm(Z ‖ F))` with `W` a 1³ convolution.
pub(super) struct Convert {
    norm: NormAct,
    weight: Tensor,
    bias: Tensor,
}

impl Convert {
    /// Parameters `convert.norm.*` and `convert.conv.*` under `scope`.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        channels: usize,
        groups: usize,
    ) -> Result<Self> {
        let scope = scope.child("convert");
        let (norm, activation) = (Norm::Group { groups }, Activation::Relu);
        let conv = format!("{}.conv", scope.kernels);
        let zeros = Init::Const(0.0);
        Ok(Self {
            norm: NormAct::new(builder, &scope, "norm", 2 * channels, norm, activation)?,
            weight: builder.kernel(&format!("{conv}.weight"), 1, 2 * channels, channels)?,
            bias: builder.get(&format!("{conv}.bias"), &[channels], zeros)?,
        })
    }

    /// `[n, d, h, w, c]` from the gate and this modality's features of that shape.
    pub(super) fn forward(&self, gate: &Tensor, features: &Tensor) -> Result<Tensor> {
        let x = self.norm.forward(&Tensor::cat(&[gate, features], 4)?)?;
        add_bias(&conv3d(&x, &self.weight)?, &self.bias)
    }
}

/// `1 / (1 + exp(-x))` through tanh, which overflows on neither side, backward included.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x * 0.5)?.tanh()?.affine(0.5, 0.5)
}
