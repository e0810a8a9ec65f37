//! A bias for every channel.

use super::cuda;
use candle_core::op::BackpropOp;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail,
};

/// `x` with `bias` added to every voxel.
///
/// **Shape** `x` `[..., c]`, `bias` `[c]` in f32; the result is shaped as `x`.
///
/// On CUDA one kernel, and a sum in two stages for the gradient: candle's reduction would use one block
/// for every channel.
///
/// **Errors** where the bias has another number of channels, or values are not f32 (on CUDA bf16).
pub(crate) fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    match x.device().is_cuda() {
        true => x.contiguous()?.apply_op2(&bias.contiguous()?, AddBias),
        false => x.broadcast_add(bias),
    }
}

/// The gradient of the bias, in f32, from that of the result `[..., c]`.
///
/// **Errors** where the device refuses.
pub(crate) fn bias_gradient(dy: &Tensor) -> Result<Tensor> {
    let channels = dy.dims().last().copied().unwrap_or(1);
    let dy = dy.contiguous()?;
    let (storage, layout) = dy.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return dy.reshape(((), channels))?.sum(0);
    };
    let sums = cuda::column_sums("bias gradient", (storage, layout), channels)?;
    Ok(Tensor::from_storage(
        Storage::Cuda(sums),
        channels,
        BackpropOp::none(),
        false,
    ))
}

/// On CUDA; elsewhere candle's addition does it.
pub(super) struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add_bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_l: &Layout,
        bias: &CpuStorage,
        bias_l: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (x, bias) = (
            super::cpu::f32s(op, x, x_l)?,
            super::cpu::f32s(op, bias, bias_l)?,
        );
        check(op, x_l, bias_l)?;
        let rows = x.chunks_exact(bias.len());
        let y = rows.flat_map(|row| row.iter().zip(bias).map(|(x, b)| x + b));
        Ok((CpuStorage::F32(y.collect()), x_l.shape().clone()))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_l: &Layout,
        bias: &CudaStorage,
        bias_l: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        check(self.name(), x_l, bias_l)?;
        let y = cuda::add_bias(self.name(), (x, x_l), (bias, bias_l))?;
        Ok((y, x_l.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(dy.clone()), Some(bias_gradient(dy)?)))
    }
}

fn check(op: &str, x: &Layout, bias: &Layout) -> Result<()> {
    if x.dims().last() != Some(&bias.shape().elem_count()) || bias.dims().len() != 1 {
        bail!(
            "{op}: expected one number for each of the channels of {:?}, found {:?}",
            x.dims(),
            bias.dims()
        );
    }
    Ok(())
}
