//! The gradients of all parameters, summed over micro-batches.

use super::beside::Beside;
use super::cpu::f32s;
use super::cuda;
use super::inplace::{Blend, CHUNK, Scale};
use super::params::Params;
use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

/// One gradient a parameter, in the parameters' order.
///
/// Memory is held from the first [`Gradients::add`] to the next [`Gradients::clear`] alone: what the
/// first backward pass found is kept as it is, and only further ones are added to it.
pub struct Gradients {
    tensors: Vec<(String, Tensor)>,
    /// Whether nothing was added yet: the tensors are one 0 seen under every shape.
    blank: bool,
}

impl Gradients {
    /// Zeros for every parameter.
    ///
    /// **Errors** where the device refuses.
    pub fn zeros(params: &Params) -> Result<Self> {
        let zero = |(name, var): &(String, candle_core::Var)| {
            let zero = Tensor::zeros((), var.dtype(), var.device())?;
            Ok((name.clone(), zero.broadcast_as(var.shape())?))
        };
        Ok(Self {
            tensors: params.named().iter().map(zero).collect::<Result<_>>()?,
            blank: true,
        })
    }

    /// Adds what one backward pass found, in the graph and beside it. A parameter that the loss did not reach adds nothing.
    ///
    /// **Errors** where `params` is not the list this buffer was made for.
    pub fn add(&mut self, mut grads: GradStore, params: &Params) -> Result<()> {
        if self.tensors.len() != params.named().len() {
            bail!(
                "gradients of {} parameters were asked to take those of {}",
                self.tensors.len(),
                params.named().len()
            );
        }
        for ((name, _), (other, _)) in self.tensors.iter().zip(params.named()) {
            if name != other {
                bail!("the gradient of `{name}` was asked to take that of `{other}`");
            }
        }
        let mut beside = params.beside().map(Beside::take).unwrap_or_default();
        for ((_, sum), (_, var)) in self.tensors.iter_mut().zip(params.named()) {
            let mut blank = self.blank;
            let found = [
                grads.remove(var.as_tensor()),
                beside.remove(&var.as_tensor().id()),
            ];
            for gradient in found.into_iter().flatten() {
                // Every gradient is a sum that candle made for it, so nobody shares it.
                let gradient = gradient.detach().contiguous()?;
                match std::mem::replace(&mut blank, false) {
                    true => *sum = gradient,
                    false => sum.inplace_op2(&gradient, &Blend::SUM)?,
                }
            }
            if blank {
                *sum = sum.contiguous()?;
            }
        }
        self.blank = false;
        Ok(())
    }

    /// Changes every gradient by `change`, in the parameters' order: for sums over several devices.
    ///
    /// **Errors** as `change`, or where the device refuses.
    pub fn change(&mut self, mut change: impl FnMut(&mut Tensor) -> Result<()>) -> Result<()> {
        for (_, tensor) in &mut self.tensors {
            if self.blank {
                *tensor = tensor.contiguous()?;
            }
            change(tensor)?;
        }
        self.blank = false;
        Ok(())
    }

    /// Multiplies all gradients, for instance by 1 / micro-batches.
    ///
    /// **Errors** where the device refuses.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        if self.blank {
            return Ok(());
        }
        self.tensors
            .iter()
            .try_for_each(|(_, tensor)| tensor.inplace_op1(&Scale(factor as f32)))
    }

    /// Euclidean norm over all gradients together; not finite where one of them is not.
    ///
    /// **Errors** where the device refuses.
    pub fn global_norm(&self) -> Result<f64> {
        if self.blank {
            return Ok(0.0);
        }
        if let Some((_, first)) = self.tensors.first()
            && let Device::Cuda(_) = first.device()
        {
            return self.global_norm_on_device();
        }
        let mut squares = 0.0;
        for (name, tensor) in &self.tensors {
            let (storage, layout) = tensor.storage_and_layout();
            let of = |values: &[f32]| -> f64 {
                // Collected before it is summed: the order must not be that of the threads.
                let sums: Vec<f64> = values
                    .par_chunks(CHUNK)
                    .map(|chunk| chunk.iter().map(|&v| f64::from(v) * f64::from(v)).sum())
                    .collect();
                sums.iter().sum()
            };
            squares += match &*storage {
                Storage::Cpu(storage) => of(f32s(name, storage, layout)?),
                _ => of(&tensor.flatten_all()?.to_vec1::<f32>()?),
            };
        }
        Ok(squares.sqrt())
    }

    /// As [`Gradients::global_norm`] with one number coming back from the device.
    fn global_norm_on_device(&self) -> Result<f64> {
        let held: Vec<_> = self
            .tensors
            .iter()
            .map(|(_, tensor)| tensor.storage_and_layout())
            .collect();
        let mut found = Vec::with_capacity(held.len());
        for (storage, layout) in &held {
            match &**storage {
                Storage::Cuda(storage) => found.push((storage, *layout)),
                _ => bail!("gradients lie on several devices; expected one"),
            }
        }
        Ok(cuda::sum_of_squares("global_norm", &found)?.sqrt())
    }

    /// Scales all gradients, whose norm is `norm`, down to `max_norm` where it is larger.
    ///
    /// A norm that is not finite changes nothing: it is for the caller to stop.
    ///
    /// **Errors** where the device refuses.
    pub fn clip(&mut self, norm: f64, max_norm: f64) -> Result<()> {
        match norm.is_finite() && norm > max_norm {
            true => self.scale(max_norm / norm),
            false => Ok(()),
        }
    }

    /// Back to zeros; the memory is given back.
    ///
    /// **Errors** where the device refuses.
    pub fn clear(&mut self) -> Result<()> {
        for (_, tensor) in &mut self.tensors {
            let zero = Tensor::zeros((), tensor.dtype(), tensor.device())?;
            *tensor = zero.broadcast_as(tensor.shape())?;
        }
        self.blank = true;
        Ok(())
    }

    /// Names and gradients in the parameters' order; before the first [`Gradients::add`] they are
    /// views of one 0 and not contiguous.
    pub fn named(&self) -> &[(String, Tensor)] {
        &self.tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{check_threads, normals, values};
    use crate::nn::params::Init;
    use candle_core::Device;

    fn params() -> Params {
        let mut params = Params::new(0, &Device::Cpu);
        params.get("a", &[2], Init::Const(3.0)).unwrap();
        params.get("b", &[1], Init::Const(1.0)).unwrap();
        params
    }

    #[test]
    fn gradients_sum_scale_clip_and_clear() {
        let params = params();
        let mut gradients = Gradients::zeros(&params).unwrap();
        // d/da a^2 / 2 = a; the loss does not reach b.
        let a = params.named()[0].1.as_tensor();
        let loss = (a.sqr().unwrap().sum_all().unwrap() / 2.0).unwrap();
        let backward = || loss.backward().unwrap();
        gradients.add(backward(), &params).unwrap();
        gradients.add(backward(), &params).unwrap();
        gradients.scale(0.5).unwrap();
        assert_eq!(values(&gradients.named()[0].1), [3.0, 3.0]);
        assert_eq!(values(&gradients.named()[1].1), [0.0]);
        let norm = 18f64.sqrt();
        assert_eq!(gradients.global_norm().unwrap(), norm);
        gradients.clip(norm, 10.0).unwrap();
        assert_eq!(gradients.global_norm().unwrap(), norm);
        gradients.clip(norm, 1.0).unwrap();
        assert!((gradients.global_norm().unwrap() - 1.0).abs() < 1e-6);
        gradients.scale(f64::NAN).unwrap();
        assert!(gradients.global_norm().unwrap().is_nan());
        gradients.clear().unwrap();
        assert_eq!(gradients.global_norm().unwrap(), 0.0);
    }

    #[test]
    fn another_list_is_refused() {
        let mut other = Params::new(0, &Device::Cpu);
        let c = other.get("c", &[2], Init::Const(3.0)).unwrap();
        other.get("b", &[1], Init::Const(1.0)).unwrap();
        let grads = c.sum_all().unwrap().backward().unwrap();
        let error = Gradients::zeros(&params())
            .unwrap()
            .add(grads, &other)
            .unwrap_err();
        assert!(
            error.to_string().contains("`a`") && error.to_string().contains("`c`"),
            "{error}"
        );
    }

    #[test]
    fn the_norm_does_not_depend_on_threads() {
        let tensor = Tensor::from_vec(normals("g", 200_000), 200_000, &Device::Cpu).unwrap();
        check_threads("global norm", || {
            let norm = Gradients {
                tensors: vec![("g".into(), tensor.clone())],
                blank: false,
            }
            .global_norm()
            .unwrap();
            vec![
                Tensor::new(
                    &[norm as f32, (norm - f64::from(norm as f32)) as f32],
                    &Device::Cpu,
                )
                .unwrap(),
            ]
        });
    }
}
