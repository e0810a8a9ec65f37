//! A bias for every channel.

use super::cuda;
use super::operator::{Input, Op, Operator};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Layout, Result, Shape, Storage, Tensor, bail};

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
        true => x.contiguous()?.apply_op2(&bias.contiguous()?, Op(AddBias)),
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

impl Operator<2> for AddBias {
    fn name(&self) -> &'static str {
        "add_bias"
    }

    fn shape(&self, [x, bias]: [&Layout; 2]) -> Result<Shape> {
        if x.dims().last() != Some(&bias.shape().elem_count()) || bias.dims().len() != 1 {
            bail!(
                "{}: expected one number for each of the channels of {:?}, found {:?}",
                self.name(),
                x.dims(),
                bias.dims()
            );
        }
        Ok(x.shape().clone())
    }

    fn cpu(&self, [x, bias]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let (x, bias) = (x.f32s()?, bias.f32s()?);
        let rows = x.chunks_exact(bias.len());
        Ok(rows
            .flat_map(|row| row.iter().zip(bias).map(|(x, b)| x + b))
            .collect())
    }

    fn cuda(&self, [x, bias]: [(&CudaStorage, &Layout); 2]) -> Result<CudaStorage> {
        cuda::add_bias(self.name(), x, bias)
    }

    fn gradient(&self, _: [&Tensor; 2], _y: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; 2]> {
        Ok([Some(dy.clone()), Some(bias_gradient(dy)?)])
    }
}
