//! Stochastic gradient descent with Nesterov's momentum, one pass in place for each parameter.

use super::cpu::f32s;
use super::gradients::Gradients;
use super::inplace::{CHUNK, f32s_mut};
use super::params::Params;
use super::tensor_file::TensorFileError;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;
use std::cell::RefCell;

/// Constants of SGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// Decay of the velocity.
    pub momentum: f64,
    /// Added to the gradient for each unit of weight.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    /// nnU-Net's constants (Isensee et al. 2021).
    fn default() -> Self {
        Self {
            momentum: 0.99,
            weight_decay: 3e-5,
        }
    }
}

/// The optimiser and the velocity of every parameter.
///
/// **Law** with `g' = g + weight_decay p`: `v = momentum v + g'`, `p = p - lr (g' + momentum v)`.
///
/// Weight decay is left out for parameters with one axis or none: scale and shift of norms and
/// biases.
///
/// **Source** Nesterov 1983 in the form of Sutskever et al. 2013, as PyTorch's
/// `SGD(nesterov=True)`.
pub struct Sgd {
    config: SgdConfig,
    slots: Vec<Slot>,
}

struct Slot {
    name: String,
    var: Var,
    velocity: Velocity,
}

/// Where a velocity is: beside its parameter.
enum Velocity {
    Cpu(Vec<f32>),
    Device(Tensor),
}

impl Velocity {
    fn new(values: Vec<f32>, var: &Var) -> Result<Self> {
        Ok(match var.device() {
            Device::Cpu => Self::Cpu(values),
            device => Self::Device(Tensor::from_vec(values, var.shape(), device)?),
        })
    }

    fn values(&self) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(values) => Ok(values.clone()),
            Self::Device(tensor) => tensor.flatten_all()?.to_vec1(),
        }
    }
}

/// The update of one parameter in place.
struct Update<'a> {
    lr: f32,
    momentum: f32,
    decay: f32,
    velocity: RefCell<&'a mut [f32]>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_l: &Layout,
        src: &CpuStorage,
        src_l: &Layout,
    ) -> Result<()> {
        let values = f32s_mut(self.name(), dst, dst_l)?;
        let gradient = f32s(self.name(), src, src_l)?;
        let velocity = &mut *self.velocity.borrow_mut();
        if gradient.len() != values.len() || velocity.len() != values.len() {
            bail!(
                "sgd: found {} values, {} gradients and {} velocities",
                values.len(),
                gradient.len(),
                velocity.len()
            );
        }
        let Self {
            lr,
            momentum,
            decay,
            ..
        } = *self;
        values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(velocity.par_chunks_mut(CHUNK))
            .for_each(|((values, gradient), velocity)| {
                for ((p, g), v) in values.iter_mut().zip(gradient).zip(velocity) {
                    let g = g + decay * *p;
                    *v = momentum * *v + g;
                    *p -= lr * (g + momentum * *v);
                }
            });
        Ok(())
    }
}

impl Sgd {
    /// Velocities of zero for every parameter of `params`, which it updates from then on.
    ///
    /// **Errors** where the device refuses.
    pub fn new(params: &Params, config: SgdConfig) -> Result<Self> {
        let slot = |(name, var): &(String, Var)| {
            Ok(Slot {
                name: name.clone(),
                var: var.clone(),
                velocity: Velocity::new(vec![0.0; var.elem_count()], var)?,
            })
        };
        Ok(Self {
            config,
            slots: params.named().iter().map(slot).collect::<Result<_>>()?,
        })
    }

    /// One step along `grads`.
    ///
    /// **Errors** where the gradients belong to other parameters, or the device refuses.
    pub fn step(&mut self, grads: &Gradients, lr: f64) -> Result<()> {
        let named = grads.named();
        let fits = |(slot, (name, g)): (&Slot, &(String, Tensor))| {
            slot.name == *name && slot.var.dims() == g.dims()
        };
        if self.slots.len() != named.len() || !self.slots.iter().zip(named).all(fits) {
            bail!("sgd: the gradients belong to another list of parameters");
        }
        for (slot, (_, gradient)) in self.slots.iter_mut().zip(named) {
            let decay = match slot.var.rank() {
                0 | 1 => 0.0,
                _ => self.config.weight_decay,
            };
            let gradient = gradient.contiguous()?;
            let momentum = self.config.momentum;
            match &mut slot.velocity {
                Velocity::Cpu(velocity) => {
                    let update = Update {
                        lr: lr as f32,
                        momentum: momentum as f32,
                        decay: decay as f32,
                        velocity: RefCell::new(velocity),
                    };
                    slot.var.as_tensor().inplace_op2(&gradient, &update)?;
                }
                Velocity::Device(velocity) => {
                    let value = slot.var.as_detached_tensor();
                    let gradient = (gradient + (&value * decay)?)?;
                    *velocity = ((&*velocity * momentum)? + &gradient)?;
                    let along = (gradient + (&*velocity * momentum)?)?;
                    slot.var.set(&(value - (along * lr)?)?)?;
                }
            }
        }
        Ok(())
    }

    /// Everything a restart needs: `sgd.velocity.NAME` for each parameter.
    ///
    /// **Errors** where a tensor cannot be made.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let velocity = |slot: &Slot| {
            let tensor = Tensor::from_vec(slot.velocity.values()?, slot.var.shape(), &Device::Cpu)?;
            Ok((format!("sgd.velocity.{}", slot.name), tensor))
        };
        self.slots.iter().map(velocity).collect()
    }

    /// Takes up what [`Sgd::state`] gave; tensors of other names are passed over.
    ///
    /// **Errors** name every missing and mis-shaped tensor; nothing is changed then.
    pub fn load_state(
        &mut self,
        state: &[(String, Tensor)],
    ) -> std::result::Result<(), TensorFileError> {
        let (mut problems, mut found) = (vec![], vec![]);
        for slot in &self.slots {
            let name = format!("sgd.velocity.{}", slot.name);
            match state.iter().find(|(known, _)| *known == name) {
                None => problems.push(format!("`{name}` is missing")),
                Some((_, t)) if t.dims() != slot.var.dims() || t.dtype() != DType::F32 => {
                    problems.push(format!(
                        "`{name}` is {:?} {:?}, expected {:?} {:?}",
                        t.dtype(),
                        t.dims(),
                        DType::F32,
                        slot.var.dims()
                    ));
                }
                Some((_, tensor)) => {
                    let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>());
                    found.push(values.map_err(|source| TensorFileError::Tensor { name, source })?);
                }
            }
        }
        if !problems.is_empty() {
            return Err(TensorFileError::Mismatch { problems });
        }
        for (slot, velocity) in self.slots.iter_mut().zip(found) {
            let name = &slot.name;
            slot.velocity = Velocity::new(velocity, &slot.var).map_err(|source| {
                let name = format!("sgd.velocity.{name}");
                TensorFileError::Tensor { name, source }
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::values;
    use crate::nn::params::Init;

    fn params() -> Params {
        let mut params = Params::new(3, &Device::Cpu);
        params
            .get("w", &[2, 2], Init::HeNormal { fan_in: 2 })
            .unwrap();
        params.get("b", &[2], Init::Const(0.5)).unwrap();
        params
    }

    /// One step on the sum of fourth powers over 4, whose gradient is the cube.
    fn step(sgd: &mut Sgd, params: &Params) {
        let mut gradients = Gradients::zeros(params).unwrap();
        let terms: Vec<Tensor> = params
            .named()
            .iter()
            .map(|(_, v)| v.sqr().unwrap().sqr().unwrap().sum_all().unwrap())
            .collect();
        let loss = (Tensor::stack(&terms, 0).unwrap().sum_all().unwrap() / 4.0).unwrap();
        gradients.add(loss.backward().unwrap(), params).unwrap();
        sgd.step(&gradients, 0.1).unwrap();
    }

    fn all(params: &Params) -> Vec<f32> {
        params.named().iter().flat_map(|(_, v)| values(v)).collect()
    }

    #[test]
    fn follows_the_formula_with_decay_on_weights_only() {
        let params = params();
        let config = SgdConfig {
            momentum: 0.9,
            weight_decay: 0.1,
        };
        let mut sgd = Sgd::new(&params, config).unwrap();
        let mut p: Vec<f64> = all(&params).into_iter().map(f64::from).collect();
        let mut v = vec![0.0; 6];
        for _ in 0..5 {
            step(&mut sgd, &params);
            for (i, (p, v)) in p.iter_mut().zip(&mut v).enumerate() {
                let g = p.powi(3) + if i < 4 { 0.1 * *p } else { 0.0 };
                *v = 0.9 * *v + g;
                *p -= 0.1 * (g + 0.9 * *v);
            }
        }
        for (found, expected) in all(&params).iter().zip(&p) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-6,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn a_restart_goes_on_as_if_nothing_happened() {
        let (one, two) = (params(), params());
        let mut first = Sgd::new(&one, SgdConfig::default()).unwrap();
        step(&mut first, &one);
        step(&mut first, &one);
        let mut second = Sgd::new(&two, SgdConfig::default()).unwrap();
        step(&mut second, &two);
        let mut third = Sgd::new(&two, SgdConfig::default()).unwrap();
        third.load_state(&second.state().unwrap()).unwrap();
        step(&mut third, &two);
        assert_eq!(all(&one), all(&two));
        let error = third.load_state(&[]).unwrap_err().to_string();
        assert!(error.contains("`sgd.velocity.w` is missing"), "{error}");
    }
}
