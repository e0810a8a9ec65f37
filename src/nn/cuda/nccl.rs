//! Sums over several devices, by NCCL.

use super::launch::view_mut;
use candle_core::cuda_backend::WrapErr as _;
use candle_core::cuda_backend::cudarc::nccl::{Comm as Link, Id, ReduceOp};
use candle_core::{CudaStorage, Device, Error, Layout, Result};

/// What makes links find each other: made once, given to every device's thread.
#[derive(Clone, Copy)]
pub(crate) struct CommId(Id);

impl CommId {
    /// **Errors** where NCCL is missing.
    pub(crate) fn new() -> Result<Self> {
        Id::new()
            .map(Self)
            .map_err(|e| refused("making an id", e.0))
    }
}

/// One device's end of the links between all.
pub(crate) struct Comm(Link);

impl Comm {
    /// Joins `size` devices as number `rank`; waits until all have joined.
    ///
    /// **Errors** where the device is none of CUDA's, or NCCL refuses.
    pub(crate) fn new(device: &Device, rank: usize, size: usize, id: CommId) -> Result<Self> {
        let stream = device.as_cuda_device()?.cuda_stream();
        stream.context().bind_to_thread().w()?;
        Link::from_rank(stream, rank, size, id.0)
            .map(Self)
            .map_err(|e| refused("joining the devices", e.0))
    }
}

/// Makes the calling thread one that may work on the device.
pub(crate) fn bind(device: &Device) -> Result<()> {
    device
        .as_cuda_device()?
        .cuda_stream()
        .context()
        .bind_to_thread()
        .w()
}

/// Replaces the values by their mean over all devices; every device must call it in the same order.
pub(in crate::nn) fn all_reduce(
    op: &str,
    comm: &Comm,
    (dst, layout): (&mut CudaStorage, &Layout),
) -> Result<()> {
    let mut dst = view_mut(op, dst, layout)?;
    let made = comm.0.all_reduce_in_place(&mut dst, &ReduceOp::Avg);
    made.map(|_| ())
        .map_err(|e| refused("a sum over devices", e.0))
}

fn refused(what: &str, code: impl std::fmt::Debug) -> Error {
    Error::msg(format!(
        "NCCL: {what} failed ({code:?}); is libnccl.so.2 on this machine, and its folder in LD_LIBRARY_PATH?"
    ))
}
