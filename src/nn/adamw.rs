//! Adam with decoupled weight decay, one pass in place for each parameter.
//!
//! Composed of tensor operations a step would be eighteen passes and as many allocations.

pub use super::gradients::Gradients;

use super::cpu::f32s;
use super::cuda;
use super::inplace::{CHUNK, f32s_mut};
use super::params::Params;
use super::tensor_file::TensorFileError;
use candle_core::{
    CpuStorage, CudaStorage, DType, Device, InplaceOp2, Layout, Result, Tensor, Var, bail,
};
use rayon::prelude::*;
use std::cell::RefCell;

/// Constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Learning rate without a schedule.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Share of a weight that a step takes away, per unit of learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    /// The constants of the paper, with a weight decay of 0.01.
    fn default() -> Self {
        Self {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// The optimiser and its two moments of every parameter.
///
/// **Law** At step `t`: `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`,
/// `p = p - lr weight_decay p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)`.
///
/// Weight decay is left out for parameters with one axis or none: scale and shift of norms and
/// biases, which do not grow with the features they weigh.
///
/// **Source** Loshchilov and Hutter 2019, algorithm 2.
pub struct AdamW {
    config: AdamWConfig,
    step: u64,
    slots: Vec<Slot>,
}

/// A parameter and its moments.
struct Slot {
    name: String,
    var: Var,
    moments: Moments,
}

/// The means of gradients and of squared gradients of one parameter, where it is updated.
enum Moments {
    Host { mean: Vec<f32>, square: Vec<f32> },
    Device(cuda::Moments),
}

impl Moments {
    /// Copies of both.
    fn values(&self, device: &Device) -> Result<[Vec<f32>; 2]> {
        match self {
            Self::Host { mean, square } => Ok([mean.clone(), square.clone()]),
            Self::Device(moments) => moments.values(device),
        }
    }
}

/// The numbers of one parameter's step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constants {
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    /// 1 - lr weight_decay.
    pub(super) keep: f32,
    /// lr / (1 - beta1^t).
    pub(super) rate: f32,
    /// 1 / sqrt(1 - beta2^t).
    pub(super) root: f32,
    pub(super) eps: f32,
}

/// The update of one parameter in place.
struct Update<'a> {
    constants: Constants,
    moments: RefCell<&'a mut Moments>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_l: &Layout,
        src: &CpuStorage,
        src_l: &Layout,
    ) -> Result<()> {
        let (values, gradient) = (
            f32s_mut(self.name(), dst, dst_l)?,
            f32s(self.name(), src, src_l)?,
        );
        let Moments::Host { mean, square } = &mut **self.moments.borrow_mut() else {
            bail!("adamw: the moments lie on another device than the parameter");
        };
        if gradient.len() != values.len() || mean.len() != values.len() {
            bail!(
                "adamw: found {} values, {} gradients and {} moments",
                values.len(),
                gradient.len(),
                mean.len()
            );
        }
        let Constants {
            beta1,
            beta2,
            keep,
            rate,
            root,
            eps,
        } = self.constants;
        values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK)))
            .for_each(|((values, gradient), (mean, square))| {
                for (((p, g), m), v) in values.iter_mut().zip(gradient).zip(mean).zip(square) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                    *p = keep * *p - rate * *m / (v.sqrt() * root + eps);
                }
            });
        Ok(())
    }

    fn cuda_fwd(
        &self,
        dst: &mut CudaStorage,
        dst_l: &Layout,
        src: &CudaStorage,
        src_l: &Layout,
    ) -> Result<()> {
        let moments = &mut **self.moments.borrow_mut();
        if let Moments::Host { mean, square } = moments {
            // The first step, or the first after a state was loaded.
            *moments = Moments::Device(cuda::Moments::new(dst, mean, square)?);
        }
        match moments {
            Moments::Device(moments) => {
                let (dst, src) = ((dst, dst_l), (src, src_l));
                cuda::adamw(self.name(), dst, src, moments, &self.constants)
            }
            Moments::Host { .. } => bail!("adamw: the moments did not reach the device"),
        }
    }
}

impl AdamW {
    /// Moments of zero for every parameter of `params`, which it updates from then on.
    pub fn new(params: &Params, config: AdamWConfig) -> Self {
        let slot = |(name, var): &(String, Var)| {
            let zeros = vec![0.0; var.elem_count()];
            Slot {
                name: name.clone(),
                var: var.clone(),
                moments: Moments::Host {
                    mean: zeros.clone(),
                    square: zeros,
                },
            }
        };
        Self {
            config,
            step: 0,
            slots: params.named().iter().map(slot).collect(),
        }
    }

    /// The constants.
    pub fn config(&self) -> &AdamWConfig {
        &self.config
    }

    /// Steps made so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// One step along `grads` with learning rate `lr`.
    ///
    /// **Errors** where the gradients belong to other parameters.
    pub fn step(&mut self, grads: &Gradients, lr: f64) -> Result<()> {
        let fits = self.slots.len() == grads.named().len()
            && self
                .slots
                .iter()
                .zip(grads.named())
                .all(|(slot, (name, g))| slot.name == *name && slot.var.dims() == g.dims());
        if !fits {
            bail!("adamw: the gradients belong to another list of parameters");
        }
        self.step += 1;
        let AdamWConfig {
            beta1,
            beta2,
            eps,
            weight_decay,
            ..
        } = self.config;
        let correction = |beta: f64| 1.0 - beta.powf(self.step as f64);
        for (slot, (_, gradient)) in self.slots.iter_mut().zip(grads.named()) {
            let decay = if slot.var.rank() > 1 {
                weight_decay
            } else {
                0.0
            };
            let update = Update {
                constants: Constants {
                    beta1: beta1 as f32,
                    beta2: beta2 as f32,
                    keep: (1.0 - lr * decay) as f32,
                    rate: (lr / correction(beta1)) as f32,
                    root: (1.0 / correction(beta2).sqrt()) as f32,
                    eps: eps as f32,
                },
                moments: RefCell::new(&mut slot.moments),
            };
            slot.var
                .as_tensor()
                .inplace_op2(&gradient.contiguous()?, &update)?;
        }
        Ok(())
    }

    /// Everything a restart needs: `adamw.step`, then `adamw.mean.NAME` and `adamw.square.NAME`.
    ///
    /// **Errors** where a tensor cannot be made.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = vec![(
            "adamw.step".to_owned(),
            Tensor::new(&[self.step as i64], &Device::Cpu)?,
        )];
        for slot in &self.slots {
            let [mean, square] = slot.moments.values(slot.var.device())?;
            for (kind, values) in [("mean", mean), ("square", square)] {
                let tensor = Tensor::from_vec(values, slot.var.shape(), &Device::Cpu)?;
                state.push((format!("adamw.{kind}.{}", slot.name), tensor));
            }
        }
        Ok(state)
    }

    /// Takes up what [`AdamW::state`] gave; tensors whose name does not begin with `adamw.` are
    /// passed over, so that a file may hold more.
    ///
    /// **Errors** name every missing, unexpected and mis-shaped tensor; nothing is changed then.
    pub fn load_state(
        &mut self,
        state: &[(String, Tensor)],
    ) -> std::result::Result<(), TensorFileError> {
        let mut problems = vec![];
        let expected = self.state().map_err(|source| TensorFileError::Tensor {
            name: "adamw.step".into(),
            source,
        })?;
        let ours: Vec<&(String, Tensor)> = state
            .iter()
            .filter(|(name, _)| name.starts_with("adamw."))
            .collect();
        for (name, _) in &ours {
            if !expected.iter().any(|(known, _)| known == name) {
                problems.push(format!("`{name}` is unexpected"));
            }
        }
        let mut found = vec![];
        for (name, wanted) in &expected {
            match ours.iter().find(|(known, _)| known == name) {
                None => problems.push(format!("`{name}` is missing")),
                Some((_, t)) if t.dims() != wanted.dims() || t.dtype() != wanted.dtype() => {
                    problems.push(format!(
                        "`{name}` is {:?} {:?}, expected {:?} {:?}",
                        t.dtype(),
                        t.dims(),
                        wanted.dtype(),
                        wanted.dims()
                    ))
                }
                Some((_, tensor)) => found.push((name, tensor)),
            }
        }
        if !problems.is_empty() {
            return Err(TensorFileError::Mismatch { problems });
        }
        let mut step = self.step;
        let mut moments = vec![];
        for (name, tensor) in found {
            let failed = |source| TensorFileError::Tensor {
                name: name.clone(),
                source,
            };
            if tensor.dtype() == DType::I64 {
                step = tensor.to_vec1::<i64>().map_err(failed)?[0].max(0) as u64;
            } else {
                moments.push(
                    tensor
                        .flatten_all()
                        .and_then(|t| t.to_vec1::<f32>())
                        .map_err(failed)?,
                );
            }
        }
        self.step = step;
        let mut moments = moments.into_iter();
        for slot in &mut self.slots {
            if let (Some(mean), Some(square)) = (moments.next(), moments.next()) {
                slot.moments = Moments::Host { mean, square };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
