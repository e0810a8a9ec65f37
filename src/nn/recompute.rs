//! Activations that are made again in the backward pass instead of being kept for it.
//!
//! A recomputed part of a network is one node of candle's graph. Its forward pass keeps its inputs
//! and its result alone; its backward pass runs the part once more, with a graph, and walks back
//! through that. The gradients of the weights inside the part gather [`Beside`] the graph.
//!
//! **Source** Chen et al. 2016, «Training deep nets with sublinear memory cost».

use super::beside::Beside;
use candle_core::backend::BackendStorage as _;
use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, Var,
    bail,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Asks for recomputation, and takes the gradients of the weights inside.
#[derive(Clone)]
pub(crate) struct Recompute(pub(crate) Beside);

impl Recompute {
    fn add(&self, gradients: &GradStore) -> Result<()> {
        for id in gradients.get_ids() {
            if let Some(gradient) = gradients.get_id(*id) {
                self.0.add(*id, gradient)?;
            }
        }
        Ok(())
    }
}

/// What is run twice, as a function of its inputs; its weights are inside.
type Part = dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync;

/// Runs `part`, in a way that keeps no activation where `recompute` is given.
///
/// `anchor` is one of the weights inside the part: candle walks back only to nodes with a variable
/// under them, and the first part's input, the image, is none.
///
/// **Errors** as the part; there may be one or two inputs.
pub(crate) fn run<const N: usize>(
    recompute: Option<&Recompute>,
    inputs: [&Tensor; N],
    anchor: &Tensor,
    part: impl Fn([&Tensor; N]) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let Some(recompute) = recompute.filter(|_| anchor.track_op()) else {
        return part(inputs);
    };
    let inner: Arc<Part> =
        Arc::new(
            move |inputs: &[Tensor]| match <&[Tensor; N]>::try_from(inputs) {
                Ok(inputs) => part(inputs.each_ref()),
                Err(_) => bail!(
                    "a recomputed part was given {} inputs, expected {N}",
                    inputs.len()
                ),
            },
        );
    let detached: Vec<Tensor> = inputs.iter().map(|x| x.detach()).collect();
    let result = inner(&detached)?.contiguous()?;
    let op = Recomputed {
        part: inner,
        shape: result.shape().clone(),
        // The graph of this run ends here, and with it the activations.
        result: Mutex::new(Some(storage(&result)?)),
        recompute: recompute.clone(),
    };
    match &inputs[..] {
        [x] => x.apply_op2(anchor, op),
        [x, y] => x.apply_op3(y, anchor, op),
        _ => bail!("a recomputed part has {N} inputs, expected 1 or 2"),
    }
}

/// A copy of a contiguous tensor's values.
fn storage(x: &Tensor) -> Result<Storage> {
    let (storage, layout) = x.storage_and_layout();
    Ok(match &*storage {
        Storage::Cpu(values) => Storage::Cpu(values.try_clone(layout)?),
        Storage::Cuda(values) => Storage::Cuda(values.try_clone(layout)?),
        Storage::Metal(_) => {
            bail!("a recomputed part lies on a Metal device, expected CPU or CUDA")
        }
    })
}

struct Recomputed {
    part: Arc<Part>,
    shape: Shape,
    /// Until the node is made.
    result: Mutex<Option<Storage>>,
    recompute: Recompute,
}

impl Recomputed {
    const NAME: &'static str = "recomputed part";

    fn taken(&self) -> Option<Storage> {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        result.take()
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        match self.taken() {
            Some(Storage::Cpu(values)) => Ok((values, self.shape.clone())),
            _ => bail!(
                "{}: its result does not lie on the CPU, as its inputs do",
                Self::NAME
            ),
        }
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        match self.taken() {
            Some(Storage::Cuda(values)) => Ok((values, self.shape.clone())),
            _ => bail!(
                "{}: its result does not lie on the GPU, as its inputs do",
                Self::NAME
            ),
        }
    }

    /// Runs the part with a graph and walks back; the gradients of the inputs that have one.
    fn walk_back<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        let mut leaves = Vec::with_capacity(N);
        for input in inputs {
            leaves.push(match input.track_op() {
                true => Var::from_tensor(&input.detach())?.into_inner(),
                false => input.detach(),
            });
        }
        let result = (self.part)(&leaves)?;
        // The gradient of this sum by the result is dy itself.
        let sum = (result * dy.detach())?.sum_all()?;
        let mut gradients = sum.backward()?;
        // Without their graph, as what the weights' gradients are without.
        let found = |x: &Tensor| gradients.remove(x).map(|gradient| gradient.detach());
        let of_inputs: Vec<Option<Tensor>> = leaves.iter().map(found).collect();
        self.recompute.add(&gradients)?;
        let mut of_inputs = of_inputs.into_iter();
        Ok([(); N].map(|()| of_inputs.next().flatten()))
    }
}

impl CustomOp2 for Recomputed {
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
        let [dx] = self.walk_back([x], dy)?;
        Ok((dx, None))
    }
}

impl CustomOp3 for Recomputed {
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
        let [dx, dskip] = self.walk_back([x, skip], dy)?;
        Ok((dx, dskip, None))
    }
}
