//! One way to write an operator: its shape, a kernel for each device, its gradient.
//!
//! A new operator is a struct with its parameters, an [`Operator`] of so many inputs, and a function
//! that applies [`Op`] of it. Everything that candle asks of an operator beside that is here.

use super::cpu::f32s;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail,
};

/// An operator of `N` tensors with one result.
pub(super) trait Operator<const N: usize> {
    /// Its name in errors.
    fn name(&self) -> &'static str;

    /// Shape of the result.
    ///
    /// **Errors** if the inputs do not fit each other or the operator.
    fn shape(&self, inputs: [&Layout; N]) -> Result<Shape>;

    /// Values of the result on the CPU.
    ///
    /// **Errors** if an input is not stored as the operator reads it.
    fn cpu(&self, inputs: [Input<'_>; N]) -> Result<Vec<f32>>;

    /// The result on a CUDA device.
    ///
    /// **Errors** if there is no kernel, or the device refuses.
    fn cuda(&self, _inputs: [(&CudaStorage, &Layout); N]) -> Result<CudaStorage> {
        bail!("{}: there is no kernel for CUDA devices", self.name())
    }

    /// Gradients of the inputs from that of the result; `None` for an input that has none.
    ///
    /// **Errors** if the operator is used without a gradient, or the device refuses.
    fn gradient(
        &self,
        _inputs: [&Tensor; N],
        _y: &Tensor,
        _dy: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        bail!("{}: has no gradient", self.name())
    }
}

/// An input on the CPU.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    op: &'static str,
    pub(super) storage: &'a CpuStorage,
    pub(super) layout: &'a Layout,
}

impl<'a> Input<'a> {
    /// Its values. **Errors** if it is not contiguous, or not f32.
    pub(super) fn f32s(self) -> Result<&'a [f32]> {
        f32s(self.op, self.storage, self.layout)
    }

    /// Its labels. **Errors** if it is not contiguous, or not u8.
    pub(super) fn u8s(self) -> Result<&'a [u8]> {
        match (self.storage, self.layout.contiguous_offsets()) {
            (CpuStorage::U8(labels), Some((start, end))) => Ok(&labels[start..end]),
            _ => bail!("{}: expected contiguous u8 labels", self.op),
        }
    }
}

/// An operator as candle applies it.
pub(super) struct Op<O>(pub(super) O);

fn on_cpu<const N: usize>(
    op: &impl Operator<N>,
    storages: [&CpuStorage; N],
    layouts: [&Layout; N],
) -> Result<(CpuStorage, Shape)> {
    let shape = op.shape(layouts)?;
    let inputs = std::array::from_fn(|i| Input {
        op: op.name(),
        storage: storages[i],
        layout: layouts[i],
    });
    Ok((CpuStorage::F32(op.cpu(inputs)?), shape))
}

fn on_cuda<const N: usize>(
    op: &impl Operator<N>,
    storages: [&CudaStorage; N],
    layouts: [&Layout; N],
) -> Result<(CudaStorage, Shape)> {
    let shape = op.shape(layouts)?;
    let inputs = std::array::from_fn(|i| (storages[i], layouts[i]));
    Ok((op.cuda(inputs)?, shape))
}

impl<O: Operator<1>> CustomOp1 for Op<O> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        on_cpu(&self.0, [s], [l])
    }

    fn cuda_fwd(&self, s: &CudaStorage, l: &Layout) -> Result<(CudaStorage, Shape)> {
        on_cuda(&self.0, [s], [l])
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let [dx] = self.0.gradient([x], y, dy)?;
        Ok(dx)
    }
}

impl<O: Operator<2>> CustomOp2 for Op<O> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        on_cpu(&self.0, [s1, s2], [l1, l2])
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        on_cuda(&self.0, [s1, s2], [l1, l2])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.0.gradient([a, b], y, dy).map(Into::into)
    }
}

impl<O: Operator<3>> CustomOp3 for Op<O> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        on_cpu(&self.0, [s1, s2, s3], [l1, l2, l3])
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        on_cuda(&self.0, [s1, s2, s3], [l1, l2, l3])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        self.0.gradient([a, b, c], y, dy).map(Into::into)
    }
}
