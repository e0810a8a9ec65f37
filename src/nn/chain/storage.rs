//! The result of an operator as storage, without a tensor around it.

use candle_core::{CpuStorage, CudaStorage, Result, Shape, Storage, bail};

/// The values of a result, on the device of its inputs.
pub(super) enum Made {
    Cpu(CpuStorage, Shape),
    Cuda(CudaStorage, Shape),
}

/// The values of an operator's result, from inputs that are on one device.
macro_rules! on_storage {
    ($op:expr, $first:expr $(, $more:expr)*) => {{
        let (first, layout) = $first.storage_and_layout();
        let made: Result<Made> = match &*first {
            Storage::Cpu(first) => $op
                .cpu_fwd(first, layout $(, cpu(&$more.storage_and_layout().0)?, $more.layout())*)
                .map(|(values, shape)| Made::Cpu(values, shape)),
            Storage::Cuda(first) => $op
                .cuda_fwd(first, layout $(, cuda(&$more.storage_and_layout().0)?, $more.layout())*)
                .map(|(values, shape)| Made::Cuda(values, shape)),
            Storage::Metal(_) => bail!("a chain is on a Metal device, expected CPU or CUDA"),
        };
        made
    }};
}
pub(super) use on_storage;

/// The storage of a tensor on the CPU. **Errors** if it is on another device.
pub(super) fn cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("a chain: expected all tensors on the CPU"),
    }
}

/// The storage of a tensor on a CUDA device. **Errors** if it is on another device.
pub(super) fn cuda(storage: &Storage) -> Result<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        _ => bail!("a chain: expected all tensors on one CUDA device"),
    }
}
