//! Operators that write into an existing tensor: what an optimiser step is made of.

use super::cpu::f32s;
use super::cuda;
use candle_core::{CpuStorage, CudaStorage, InplaceOp1, InplaceOp2, Layout, Result, bail};
use rayon::prelude::*;

/// Values one task works on.
pub(super) const CHUNK: usize = 1 << 14;

/// The values of a contiguous f32 storage. **Errors** name the operator.
pub(super) fn f32s_mut<'a>(
    op: &str,
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("{op}: expected contiguous f32 values"),
    }
}

/// `dst = keep dst + factor src`.
pub(super) struct Blend {
    pub(super) keep: f32,
    pub(super) factor: f32,
}

impl Blend {
    /// `dst = dst + src`.
    pub(super) const SUM: Self = Self {
        keep: 1.0,
        factor: 1.0,
    };
}

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_l: &Layout,
        src: &CpuStorage,
        src_l: &Layout,
    ) -> Result<()> {
        let op = self.name();
        if dst_l.shape() != src_l.shape() {
            bail!(
                "{op}: expected equal shapes, found {:?} and {:?}",
                dst_l.dims(),
                src_l.dims()
            );
        }
        let (dst, src) = (f32s_mut(op, dst, dst_l)?, f32s(op, src, src_l)?);
        dst.par_chunks_mut(CHUNK)
            .zip(src.par_chunks(CHUNK))
            .for_each(|(dst, src)| {
                dst.iter_mut()
                    .zip(src)
                    .for_each(|(d, s)| *d = self.keep * *d + self.factor * s);
            });
        Ok(())
    }

    fn cuda_fwd(
        &self,
        dst: &mut CudaStorage,
        dst_l: &Layout,
        src: &CudaStorage,
        src_l: &Layout,
    ) -> Result<()> {
        let factors = (self.keep, self.factor);
        cuda::blend(self.name(), (dst, dst_l), (src, src_l), factors)
    }
}

/// `dst = factor dst`; a factor of 0 clears, whatever was there.
pub(super) struct Scale(pub(super) f32);

impl InplaceOp1 for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn cpu_fwd(&self, dst: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let dst = f32s_mut(self.name(), dst, layout)?;
        dst.par_chunks_mut(CHUNK).for_each(|dst| match self.0 {
            0.0 => dst.fill(0.0),
            factor => dst.iter_mut().for_each(|d| *d *= factor),
        });
        Ok(())
    }

    fn cuda_fwd(&self, dst: &mut CudaStorage, layout: &Layout) -> Result<()> {
        cuda::scale(self.name(), (dst, layout), self.0)
    }
}

/// `dst` becomes its mean over all devices that are linked.
pub(crate) struct AllReduce<'a>(pub(crate) &'a cuda::Comm);

impl InplaceOp1 for AllReduce<'_> {
    fn name(&self) -> &'static str {
        "all_reduce"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        bail!(
            "{}: NCCL links CUDA devices, found values on the CPU",
            self.name()
        )
    }

    fn cuda_fwd(&self, dst: &mut CudaStorage, layout: &Layout) -> Result<()> {
        cuda::all_reduce(self.name(), self.0, (dst, layout))
    }
}
