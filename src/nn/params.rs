//! The trainable tensors of a network: named, ordered, reproducible.
//!
//! An initial value depends on (seed, name, shape) alone, so adding a layer changes no other, and
//! the order is that of registration, never that of a hash map.

use super::beside::Beside;
use super::recompute::Recompute;
use super::tensor_file::{TensorFileError, read_tensors, write_tensors};
use crate::draw::DrawKey;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use std::collections::HashMap;
use std::path::Path;

/// How a parameter begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and variance `2 / fan_in` (He et al. 2015).
    HeNormal {
        /// Values that enter one output.
        fan_in: usize,
    },
    /// This value everywhere.
    Const(f64),
}

/// Ordered list of named variables, all f32.
pub struct Params {
    seed: u64,
    device: Device,
    frozen: bool,
    vars: Vec<(String, Var)>,
    index: HashMap<String, usize>,
    beside: Option<Beside>,
    recomputes: bool,
}

impl Params {
    /// An empty list; `seed` keys all initial values.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            seed,
            device: device.clone(),
            frozen: false,
            vars: vec![],
            index: HashMap::new(),
            beside: None,
            recomputes: false,
        }
    }

    /// As [`Params::new`], but networks built on it keep no graph: for teachers and inference.
    ///
    /// The tensors that [`Params::get`] hands out follow later changes all the same.
    pub fn frozen(seed: u64, device: &Device) -> Self {
        Self {
            frozen: true,
            ..Self::new(seed, device)
        }
    }

    /// Networks built on the list make each level's activations again in the backward pass instead
    /// of keeping them: memory of one level instead of all, for one more forward pass.
    #[must_use]
    pub fn with_recomputation(self) -> Self {
        Self {
            recomputes: true,
            ..self.with_levels_as_nodes()
        }
    }

    /// Networks built on the list make each of their levels one node of the graph, whose weights'
    /// gradients gather beside it: fewer passes, and only
    /// [`Gradients`](super::gradients::Gradients) finds those gradients.
    #[must_use]
    pub fn with_levels_as_nodes(self) -> Self {
        Self {
            beside: Some(Beside::default()),
            ..self
        }
    }

    /// Where gradients gather that do not go through the graph; `None` where all do.
    pub(crate) fn beside(&self) -> Option<&Beside> {
        self.beside.as_ref()
    }

    /// How activations are made again in the backward pass; `None` where they are kept.
    pub(crate) fn recompute(&self) -> Option<Recompute> {
        let beside = self.beside.as_ref().filter(|_| self.recomputes)?;
        Some(Recompute(beside.clone()))
    }

    /// The same parameters for a second network that keeps no graph: weights are shared, not copied.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            seed: self.seed,
            device: self.device.clone(),
            frozen: true,
            vars: self.vars.clone(),
            index: self.index.clone(),
            beside: None,
            recomputes: false,
        }
    }

    /// Registers a parameter, or finds the one registered under this name, and returns its tensor.
    ///
    /// `name` is a dotted path such as `encoder.0.conv.weight`.
    ///
    /// **Errors** where the name is known with another shape, or the device refuses.
    pub fn get(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let at = match self.index.get(name) {
            Some(&at) => at,
            None => {
                let var = Var::from_vec(self.initial(name, shape, init), shape, &self.device)?;
                self.index.insert(name.to_owned(), self.vars.len());
                self.vars.push((name.to_owned(), var));
                self.vars.len() - 1
            }
        };
        let var = &self.vars[at].1;
        if var.dims() != shape {
            bail!(
                "parameter `{name}` is registered with shape {:?} and asked for with {shape:?}",
                var.dims()
            );
        }
        Ok(if self.frozen {
            var.as_detached_tensor()
        } else {
            var.as_tensor().clone()
        })
    }

    fn initial(&self, name: &str, shape: &[usize], init: Init) -> Vec<f32> {
        let count = shape.iter().product();
        match init {
            Init::Const(value) => vec![value as f32; count],
            Init::HeNormal { fan_in } => {
                let mut rng = DrawKey {
                    seed: self.seed,
                    epoch: 0,
                    subject: name,
                    sample: 0,
                }
                .rng("nn.params.init");
                let std = (2.0 / fan_in.max(1) as f64).sqrt();
                (0..count).map(|_| (std * rng.normal()) as f32).collect()
            }
        }
    }

    /// Names and variables in the order of registration.
    pub fn named(&self) -> &[(String, Var)] {
        &self.vars
    }

    /// Number of trainable values.
    pub fn count(&self) -> usize {
        self.vars.iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// Where the parameters live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Copies of all parameters as they are now.
    ///
    /// **Errors** where the device refuses.
    pub fn snapshot(&self) -> Result<Vec<(String, Tensor)>> {
        self.vars
            .iter()
            .map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?)))
            .collect()
    }

    /// Replaces all parameters; names may come in any order.
    ///
    /// **Errors** name every missing, unexpected and mis-shaped tensor, and nothing is changed then.
    pub fn set(&self, tensors: &[(String, Tensor)]) -> std::result::Result<(), TensorFileError> {
        let (sources, mut problems) = self.places(tensors.iter());
        let missing = self.vars.iter().zip(&sources);
        let missing = missing.filter(|(_, source)| source.is_none());
        problems.extend(missing.map(|((name, _), _)| format!("`{name}` is missing")));
        self.copy(&sources, problems)
    }

    /// Replaces those parameters that `tensors` has, but for those that `skip` names: a whole name,
    /// or any of its parts between dots. Returns how many were replaced.
    ///
    /// **Errors** name every unexpected and mis-shaped tensor that is not skipped, and every entry of
    /// `skip` that no tensor has; nothing is changed then.
    pub fn set_some(
        &self,
        tensors: &[(String, Tensor)],
        skip: &[String],
    ) -> std::result::Result<usize, TensorFileError> {
        let named = |name: &str, part: &String| name == part || name.split('.').any(|p| p == part);
        let wanted = tensors
            .iter()
            .filter(|(name, _)| !skip.iter().any(|part| named(name, part)));
        let (sources, mut problems) = self.places(wanted);
        let idle = skip
            .iter()
            .filter(|part| !tensors.iter().any(|(name, _)| named(name, part)));
        problems
            .extend(idle.map(|part| format!("`{part}` is to be skipped, but no tensor has it")));
        self.copy(&sources, problems)?;
        Ok(sources.iter().flatten().count())
    }

    /// The tensor of each parameter, where there is one, and what does not fit.
    fn places<'t>(
        &self,
        tensors: impl Iterator<Item = &'t (String, Tensor)>,
    ) -> (Vec<Option<&'t Tensor>>, Vec<String>) {
        let mut problems = vec![];
        let mut sources: Vec<Option<&Tensor>> = vec![None; self.vars.len()];
        for (name, tensor) in tensors {
            let Some(&at) = self.index.get(name) else {
                problems.push(format!("`{name}` is unexpected"));
                continue;
            };
            let var = &self.vars[at].1;
            if var.dims() != tensor.dims() || tensor.dtype() != DType::F32 {
                problems.push(format!(
                    "`{name}` is {:?} {:?}, expected {:?} {:?}",
                    tensor.dtype(),
                    tensor.dims(),
                    DType::F32,
                    var.dims()
                ));
            }
            sources[at] = Some(tensor);
        }
        (sources, problems)
    }

    /// Copies what there is, unless there are problems.
    fn copy(
        &self,
        sources: &[Option<&Tensor>],
        problems: Vec<String>,
    ) -> std::result::Result<(), TensorFileError> {
        if !problems.is_empty() {
            return Err(TensorFileError::Mismatch { problems });
        }
        for ((name, var), tensor) in self.vars.iter().zip(sources) {
            let Some(tensor) = tensor else { continue };
            let failed = |source| TensorFileError::Tensor {
                name: name.clone(),
                source,
            };
            var.set(&tensor.to_device(&self.device).map_err(failed)?)
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Writes all parameters to a safetensors file, whole or not at all.
    ///
    /// **Errors** name the file.
    pub fn save(
        &self,
        path: &Path,
        metadata: &HashMap<String, String>,
    ) -> std::result::Result<(), TensorFileError> {
        let tensors: Vec<(String, Tensor)> = self
            .vars
            .iter()
            .map(|(name, var)| (name.clone(), var.as_detached_tensor()))
            .collect();
        write_tensors(path, &tensors, metadata)
    }

    /// Reads all parameters from a file that [`Params::save`] wrote, and returns its metadata.
    ///
    /// **Errors** name the file, and every missing, unexpected and mis-shaped tensor; nothing is
    /// changed then.
    pub fn load(
        &self,
        path: &Path,
    ) -> std::result::Result<HashMap<String, String>, TensorFileError> {
        let (tensors, metadata) = read_tensors(path, &self.device)?;
        self.set(&tensors)?;
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests;
