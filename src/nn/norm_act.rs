//! Instance, group or batch norm and the activation after it, as one operator.
//!
//! Composed of candle's own operations this would be a dozen passes over the volume, each kept for
//! the backward pass. Fused it is two passes forward and two back, and only the input is kept.

mod passes;

#[cfg(test)]
mod tests;

use super::cuda;
use super::operator::{Input, Op, Operator};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Layout, Result, Shape, Storage, Tensor, bail};
pub(super) use passes::Problem;
use passes::Statistics;
use std::sync::{Arc, OnceLock};

/// Added to the variance before its root is taken.
pub const EPS: f64 = 1e-5;

/// Which values share mean and variance. Apart from [`Norm::Batch`] every sample has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Each channel by itself (Ulyanov et al. 2016).
    Instance,
    /// Consecutive channels in groups of equal size (Wu and He 2018).
    Group {
        /// Number of groups; must divide the channels.
        groups: usize,
    },
    /// Each channel over all samples of the batch (Ioffe and Szegedy 2015), with the batch's own
    /// statistics at test time too: there are no running averages, and a prediction depends on its
    /// batch partners.
    Batch,
}

/// What follows the norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(u, 0)`; the gradient at 0 is 0.
    Relu,
    /// `u` where positive, else `u` times this slope.
    LeakyRelu(f64),
}

impl Activation {
    /// The factor of values that are not positive.
    pub(super) fn slope(self) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => 0.0,
            Self::LeakyRelu(slope) => slope as f32,
        }
    }
}

/// Normalises each sample, scales and shifts each channel, and applies the activation.
///
/// **Shape** `x` `[n, ..., c]`, `scale` and `shift` `[c]`; the result is shaped as `x`.
///
/// **Law** `y = act(scale (x - mean) / sqrt(variance + EPS) + shift)` with the biased variance over
/// the voxels and channels, and with [`Norm::Batch`] the samples, that `norm` puts together. On CUDA
/// `x` may be bf16, `scale` and `shift` stay f32.
///
/// **Errors** where shapes do not fit, the groups do not divide the channels, or values are not f32.
pub fn norm_act(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    norm: Norm,
    act: Activation,
) -> Result<Tensor> {
    let op = Op(NormAct::new(norm, act));
    x.contiguous()?
        .apply_op3(&scale.contiguous()?, &shift.contiguous()?, op)
}

/// One use of the operator: its forward pass leaves here what its gradient needs.
pub(super) struct NormAct {
    norm: Norm,
    act: Activation,
    /// Made by the forward pass: two numbers a sample and channel.
    statistics: Arc<OnceLock<Statistics>>,
    /// The same on a GPU.
    table: OnceLock<cuda::Table>,
}

/// (dx, dscale, dshift) one after another, from (x, dy, scale and shift one after another).
struct Gradient {
    norm: Norm,
    act: Activation,
    statistics: Arc<OnceLock<Statistics>>,
}

fn problem(op: &str, x: &Layout, norm: Norm, act: Activation) -> Result<Problem> {
    let (&[n, .., c], elements) = (x.dims(), x.shape().elem_count()) else {
        bail!(
            "{op}: expected a batch of samples with channels last, found {:?}",
            x.dims()
        );
    };
    let groups = match norm {
        Norm::Instance | Norm::Batch => c,
        Norm::Group { groups } => groups,
    };
    // All samples of a batch are one, for this purpose.
    let samples = if norm == Norm::Batch { n.min(1) } else { n };
    if elements == 0 || groups == 0 || c % groups != 0 {
        bail!(
            "{op}: expected values, and groups that divide the channels; found {:?} and {groups} groups",
            x.dims()
        );
    }
    Ok(Problem {
        samples,
        channels: c,
        groups,
        voxels: elements / samples / c,
        slope: act.slope(),
    })
}

impl NormAct {
    pub(super) fn new(norm: Norm, act: Activation) -> Self {
        Self {
            norm,
            act,
            statistics: Arc::new(OnceLock::new()),
            table: OnceLock::new(),
        }
    }

    /// The result once more, from the same inputs and without another look at their moments.
    ///
    /// **Errors** where there was no forward pass before it, or the device refuses.
    pub(super) fn again(&self, x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
        x.apply_op3_no_bwd(scale, shift, &Op(Again(self)))
    }

    fn problem(&self, [x, scale, shift]: [&Layout; 3]) -> Result<Problem> {
        let op = self.name();
        let problem = problem(op, x, self.norm, self.act)?;
        for (what, layout) in [("scale", scale), ("shift", shift)] {
            if layout.dims() != [problem.channels] {
                bail!(
                    "{op}: expected {what} of shape [{}], found {:?}",
                    problem.channels,
                    layout.dims()
                );
            }
        }
        Ok(problem)
    }

    /// The gradients on a GPU, where dx may be bf16 and the other two are f32.
    fn gradient_on_device(&self, x: &Tensor, scale: &Tensor, dy: &Tensor) -> Result<[Tensor; 3]> {
        let op = "norm_act gradient";
        let [(xs, xl), (gs, gl), (ss, sl)] = [x, dy, scale].map(Tensor::storage_and_layout);
        let (Storage::Cuda(xs), Storage::Cuda(gs), Storage::Cuda(ss)) = (&*xs, &*gs, &*ss) else {
            bail!("{op}: expected all tensors on one CUDA device");
        };
        let Some(table) = self.table.get() else {
            bail!("{op}: expected a forward pass before it");
        };
        let (problem, c) = (problem(op, xl, self.norm, self.act)?, scale.elem_count());
        let all = [(xs, xl), (gs, gl), (ss, sl)];
        let (sums, terms) = cuda::norm_act_sums(op, &problem, table, all)?;
        let dx = cuda::norm_act_input(op, &problem, (table, &terms), [(xs, xl), (gs, gl)])?;
        let tensor = |storage, shape: Shape| {
            Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
        };
        let sums = tensor(sums, Shape::from(2 * c));
        Ok([
            tensor(dx, xl.shape().clone()),
            sums.narrow(0, 0, c)?,
            sums.narrow(0, c, c)?,
        ])
    }
}

impl Operator<3> for NormAct {
    fn name(&self) -> &'static str {
        "norm_act"
    }

    fn shape(&self, inputs: [&Layout; 3]) -> Result<Shape> {
        self.problem(inputs)?;
        Ok(inputs[0].shape().clone())
    }

    fn cpu(&self, [x, scale, shift]: [Input<'_>; 3]) -> Result<Vec<f32>> {
        let problem = self.problem([x.layout, scale.layout, shift.layout])?;
        let (x, scale, shift) = (x.f32s()?, scale.f32s()?, shift.f32s()?);
        let statistics = self
            .statistics
            .get_or_init(|| passes::statistics(&problem, x));
        Ok(passes::forward(&problem, x, scale, shift, statistics))
    }

    fn cuda(&self, [x, scale, shift]: [(&CudaStorage, &Layout); 3]) -> Result<CudaStorage> {
        let problem = self.problem([x.1, scale.1, shift.1])?;
        let (y, table) = cuda::norm_act(self.name(), &problem, x, scale, shift)?;
        self.table.get_or_init(|| table);
        Ok(y)
    }

    fn gradient(
        &self,
        [x, scale, shift]: [&Tensor; 3],
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        if x.device().is_cuda() {
            let found = self.gradient_on_device(x, scale, &dy.contiguous()?)?;
            return Ok(found.map(Some));
        }
        let gradient = Op(Gradient {
            norm: self.norm,
            act: self.act,
            statistics: Arc::clone(&self.statistics),
        });
        let affine = Tensor::cat(&[scale, shift], 0)?;
        let all = x.apply_op3_no_bwd(&dy.contiguous()?, &affine, &gradient)?;
        let (count, c) = (x.elem_count(), scale.elem_count());
        Ok([
            Some(all.narrow(0, 0, count)?.reshape(x.shape())?),
            Some(all.narrow(0, count, c)?),
            Some(all.narrow(0, count + c, c)?),
        ])
    }
}

/// The forward pass with the statistics of the one before.
struct Again<'a>(&'a NormAct);

impl Operator<3> for Again<'_> {
    fn name(&self) -> &'static str {
        "norm_act again"
    }

    fn shape(&self, inputs: [&Layout; 3]) -> Result<Shape> {
        self.0.shape(inputs)
    }

    fn cpu(&self, [x, scale, shift]: [Input<'_>; 3]) -> Result<Vec<f32>> {
        let problem = self.0.problem([x.layout, scale.layout, shift.layout])?;
        let Some(statistics) = self.0.statistics.get() else {
            bail!("{}: expected a forward pass before it", self.name());
        };
        let (x, scale, shift) = (x.f32s()?, scale.f32s()?, shift.f32s()?);
        Ok(passes::forward(&problem, x, scale, shift, statistics))
    }

    fn cuda(&self, [x, scale, shift]: [(&CudaStorage, &Layout); 3]) -> Result<CudaStorage> {
        let op = self.name();
        let problem = self.0.problem([x.1, scale.1, shift.1])?;
        let Some(table) = self.0.table.get() else {
            bail!("{op}: expected a forward pass before it");
        };
        cuda::norm_act_again(op, &problem, table, x)
    }
}

impl Operator<3> for Gradient {
    fn name(&self) -> &'static str {
        "norm_act gradient"
    }

    fn shape(&self, [x, _, affine]: [&Layout; 3]) -> Result<Shape> {
        // Of x, the scale and the shift, one after another.
        Ok(Shape::from(
            x.shape().elem_count() + affine.shape().elem_count(),
        ))
    }

    fn cpu(&self, [x, dy, affine]: [Input<'_>; 3]) -> Result<Vec<f32>> {
        let problem = problem(self.name(), x.layout, self.norm, self.act)?;
        let (x, dy) = (x.f32s()?, dy.f32s()?);
        let (scale, shift) = affine.f32s()?.split_at(problem.channels);
        let statistics = self
            .statistics
            .get_or_init(|| passes::statistics(&problem, x));
        Ok(passes::backward(&problem, x, dy, scale, shift, statistics))
    }
}
