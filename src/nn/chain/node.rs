//! The chain as one operator: its steps forward without a graph, and back by hand.

use super::super::add_bias::{AddBias, bias_gradient};
use super::super::beside::Beside;
use super::super::conv3d::{Pass, Sizes, one_pass};
use super::super::max_pool3d;
use super::super::norm_act::NormAct;
use super::super::operator::{Op, Operator as _};
use super::storage::{Made, cpu, cuda, on_storage};
use super::{Step, Unit, rise, second};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail,
};
use std::sync::{Mutex, PoisonError};

/// What one step keeps for the walk back.
enum Kept {
    Pool {
        x: Tensor,
        y: Tensor,
    },
    Unit {
        /// `None` where the step before makes it again.
        x: Option<Tensor>,
        convolved: Tensor,
        norm: Op<NormAct>,
    },
    Head {
        x: Option<Tensor>,
    },
}

struct Chain {
    steps: Vec<Step>,
    /// Without their graph.
    inputs: Vec<Tensor>,
    beside: Beside,
    kept: Mutex<Vec<Kept>>,
}

/// Runs the chain and makes it a node over its inputs and `anchor`, one of its weights.
pub(super) fn apply(
    beside: &Beside,
    inputs: &[&Tensor],
    anchor: &Tensor,
    steps: Vec<Step>,
) -> Result<Tensor> {
    let detached = inputs.iter().map(|x| x.detach().contiguous());
    let chain = Chain {
        steps,
        inputs: detached.collect::<Result<_>>()?,
        beside: beside.clone(),
        kept: Mutex::default(),
    };
    match inputs {
        [x] => x.apply_op2(anchor, chain),
        [x, y] => x.apply_op3(y, anchor, chain),
        _ => bail!("a chain was given {} inputs, expected 1 or 2", inputs.len()),
    }
}

/// The weight without its graph, in the type of the values it meets.
fn cast(weight: &Tensor, like: &Tensor) -> Result<Tensor> {
    weight.detach().to_dtype(like.dtype())?.contiguous()
}

fn sizes(x: &Tensor, weight: &Tensor) -> Result<Sizes> {
    let ((n, d, h, w, ci), (co, kd, kh, kw, expected)) = (x.dims5()?, weight.dims5()?);
    if ci != expected {
        bail!(
            "a chain: the input {:?} has {ci} channels, the kernel {:?} expects {expected}",
            x.dims(),
            weight.dims()
        );
    }
    Ok(Sizes {
        x: [n, d, h, w, ci],
        kernel: [kd, kh, kw],
        co,
        stride: 1,
    })
}

impl Unit {
    /// Scale and shift without their graph.
    fn affine(&self) -> [Tensor; 2] {
        [self.scale.detach(), self.shift.detach()]
    }
}

impl Chain {
    const NAME: &'static str = "chain";

    /// The values of the result; what the walk back needs is kept.
    fn forward(&self) -> Result<Made> {
        let mut kept = Vec::with_capacity(self.steps.len());
        let [first, ..] = &self.inputs[..] else {
            bail!("a chain was given no input");
        };
        let mut x = first.clone();
        let mut made = None;
        for (i, step) in self.steps.iter().enumerate() {
            let last = i + 1 == self.steps.len();
            // An activation inside the chain is one cheap pass away from what the step before keeps.
            let remade = i > 0 && matches!(self.steps[i - 1], Step::Unit(_) | Step::Rise { .. });
            let input = (!remade).then(|| x.clone());
            match step {
                Step::Pool if last => bail!("a chain ends with a pooling"),
                Step::Pool => {
                    let y = max_pool3d::forward(&x)?;
                    kept.push(Kept::Pool { x, y: y.clone() });
                    x = y;
                }
                Step::Unit(unit) | Step::Rise { unit, .. } => {
                    let weight = cast(&unit.weight, &x)?;
                    let convolved = match step {
                        Step::Rise { up, .. } => {
                            let skip = second(&self.inputs.iter().collect::<Vec<_>>())?;
                            rise::convolve(&x, &cast(up, &x)?, skip, &weight)?
                        }
                        _ => one_pass(Pass::Forward, sizes(&x, &weight)?, &x, &weight)?,
                    };
                    let norm = Op(NormAct::new(unit.norm, unit.activation));
                    let [scale, shift] = unit.affine();
                    if last {
                        made = Some(on_storage!(norm, convolved, scale, shift)?);
                    } else {
                        x = convolved.apply_op3_no_bwd(&scale, &shift, &norm)?;
                    }
                    kept.push(Kept::Unit {
                        x: input,
                        convolved,
                        norm,
                    });
                }
                Step::Head { weight, bias } => {
                    let weight = cast(weight, &x)?;
                    let y = one_pass(Pass::Forward, sizes(&x, &weight)?, &x, &weight)?;
                    let bias = bias.detach();
                    made = Some(on_storage!(Op(AddBias), y, bias)?);
                    kept.push(Kept::Head { x: input });
                    if !last {
                        bail!("a chain goes on behind its head");
                    }
                }
            }
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        match made {
            Some(made) => Ok(made),
            None => bail!("a chain has no steps"),
        }
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        match self.forward()? {
            Made::Cpu(values, shape) => Ok((values, shape)),
            Made::Cuda(..) => bail!("{}: expected all tensors on the CPU", Self::NAME),
        }
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        match self.forward()? {
            Made::Cuda(values, shape) => Ok((values, shape)),
            Made::Cpu(..) => bail!("{}: expected all tensors on one CUDA device", Self::NAME),
        }
    }

    /// The input of step `i`, kept or made again.
    fn input(&self, kept: &[Kept], i: usize, own: Option<&Tensor>) -> Result<Tensor> {
        if let Some(own) = own {
            return Ok(own.clone());
        }
        let before = i.checked_sub(1).map(|i| (&kept[i], &self.steps[i]));
        match before {
            Some((
                Kept::Unit {
                    convolved, norm, ..
                },
                Step::Unit(unit) | Step::Rise { unit, .. },
            )) => {
                let [scale, shift] = unit.affine();
                norm.0.again(convolved, &scale, &shift)
            }
            _ => bail!("a chain lost the input of step {i}"),
        }
    }

    /// Gradients of the inputs from that of the result; those of the weights go beside the graph.
    fn walk_back(&self, wanted: bool, dy: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dy = dy.detach().contiguous()?;
        let mut of_skip = None;
        for (i, (step, held)) in self.steps.iter().zip(kept.iter()).enumerate().rev() {
            let wanted = i > 0 || wanted;
            let of_x = match (step, held) {
                (Step::Pool, Kept::Pool { x, y }) => match wanted {
                    true => Some(max_pool3d::gradient(x, y, &dy)?),
                    false => None,
                },
                (Step::Unit(unit) | Step::Rise { unit, .. }, Kept::Unit { x, convolved, norm }) => {
                    dy = self.through_norm(unit, &norm.0, convolved, &dy)?;
                    let x = self.input(&kept, i, x.as_ref())?;
                    let weight = cast(&unit.weight, &x)?;
                    match step {
                        Step::Rise { up, .. } => {
                            let skip = second(&self.inputs.iter().collect::<Vec<_>>())?;
                            let weights = [&cast(up, &x)?, &weight];
                            let found = rise::gradients([&x, skip], weights, &dy, wanted)?;
                            self.beside.add(up.id(), &found.up)?;
                            self.beside.add(unit.weight.id(), &found.weight)?;
                            of_skip = Some(found.skip);
                            found.x
                        }
                        _ => self.through_convolution(&unit.weight, &weight, &x, &dy, wanted)?,
                    }
                }
                (Step::Head { weight, bias }, Kept::Head { x }) => {
                    self.beside.add(bias.id(), &bias_gradient(&dy)?)?;
                    let x = self.input(&kept, i, x.as_ref())?;
                    self.through_convolution(weight, &cast(weight, &x)?, &x, &dy, wanted)?
                }
                _ => bail!("a chain's steps and what they kept differ"),
            };
            match of_x {
                Some(of_x) => dy = of_x,
                None => return Ok([None, of_skip]),
            }
        }
        Ok([Some(dy), of_skip])
    }

    /// The gradient of a unit's convolution.
    fn through_norm(
        &self,
        unit: &Unit,
        norm: &NormAct,
        convolved: &Tensor,
        dy: &Tensor,
    ) -> Result<Tensor> {
        let [scale, shift] = unit.affine();
        let [Some(of_x), Some(of_scale), Some(of_shift)] =
            norm.gradient([convolved, &scale, &shift], convolved, dy)?
        else {
            bail!("a chain: the norm has no gradient");
        };
        // Parts of a larger buffer: copied, or they would keep all of it.
        self.beside
            .add(unit.scale.id(), &of_scale.force_contiguous()?)?;
        self.beside
            .add(unit.shift.id(), &of_shift.force_contiguous()?)?;
        Ok(of_x)
    }

    fn through_convolution(
        &self,
        own: &Tensor,
        weight: &Tensor,
        x: &Tensor,
        dy: &Tensor,
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        let sizes = sizes(x, weight)?;
        self.beside
            .add(own.id(), &one_pass(Pass::Filter, sizes, x, dy)?)?;
        match wanted {
            true => Ok(Some(one_pass(Pass::Data, sizes, dy, weight)?)),
            false => Ok(None),
        }
    }
}

impl CustomOp2 for Chain {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        _s1: &CpuStorage,
        _l1: &Layout,
        _s2: &CpuStorage,
        _l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _s1: &CudaStorage,
        _l1: &Layout,
        _s2: &CudaStorage,
        _l2: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, _] = self.walk_back(x.track_op(), dy)?;
        Ok((dx, None))
    }
}

impl CustomOp3 for Chain {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        _s1: &CpuStorage,
        _l1: &Layout,
        _s2: &CpuStorage,
        _l2: &Layout,
        _s3: &CpuStorage,
        _l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _s1: &CudaStorage,
        _l1: &Layout,
        _s2: &CudaStorage,
        _l2: &Layout,
        _s3: &CudaStorage,
        _l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(
        &self,
        x: &Tensor,
        skip: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, of_skip] = self.walk_back(x.track_op(), dy)?;
        Ok((dx, of_skip.filter(|_| skip.track_op()), None))
    }
}
