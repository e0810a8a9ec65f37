//! Convolution over the channels of two volumes, which are never joined in memory.

use super::super::cpu::{add, dims5, f32s};
use super::{Data, Filter, conv3d, forward, sizes};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// `conv3d(cat(a, b), w)` without the joined volume: a U-Net's skip connection.
///
/// **Shape** `a` `[n, d, h, w, ca]`, `b` `[n, d, h, w, cb]`, `w` `[co, kd, kh, kw, ca + cb]`; the
/// result is `[n, d, h, w, co]`. Law and errors as [`conv3d`].
pub fn conv3d_joined(a: &Tensor, b: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (ad, bd) = (a.dims(), b.dims());
    if ad.len() != 5 || bd.len() != 5 || ad[..4] != bd[..4] {
        bail!(
            "conv3d_joined: expected two volumes [n, d, h, w, c] that differ in channels alone, found {ad:?} and {bd:?}"
        );
    }
    if !a.device().is_cpu() {
        return conv3d(&Tensor::cat(&[a, b], 4)?, w);
    }
    a.contiguous()?
        .apply_op3(&b.contiguous()?, &w.contiguous()?, Joined)
}

struct Joined;

/// The kernel's values for input channels `first..first + count`.
fn channels(w: &[f32], all: usize, first: usize, count: usize) -> Vec<f32> {
    w.chunks_exact(all)
        .flat_map(|position| position[first..first + count].iter().copied())
        .collect()
}

impl CustomOp3 for Joined {
    fn name(&self) -> &'static str {
        "conv3d_joined"
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
        let op = self.name();
        let (ad, bd) = (dims5(op, l1)?, dims5(op, l2)?);
        let [co, kd, kh, kw, ci] = dims5(op, l3)?;
        if ad[4] + bd[4] != ci {
            bail!(
                "{op}: the inputs have {} and {} channels, the kernel {:?} expects {ci} together",
                ad[4],
                bd[4],
                l3.dims()
            );
        }
        let w = f32s(op, s3, l3)?;
        let part = |x: &[f32], dims: [usize; 5], first: usize| -> Result<Vec<f32>> {
            let problem = sizes(op, dims, [kd, kh, kw], co, 1)?.problem();
            let packed = forward::pack(&problem, &channels(w, ci, first, dims[4]));
            Ok(forward::correlate(&problem, x, &packed))
        };
        let mut y = part(f32s(op, s1, l1)?, ad, 0)?;
        let rest = part(f32s(op, s2, l2)?, bd, ad[4])?;
        y.par_chunks_mut(super::super::cpu::CHUNK)
            .zip(rest.par_chunks(super::super::cpu::CHUNK))
            .for_each(|(y, rest)| add(y, rest));
        Ok((
            CpuStorage::F32(y),
            Shape::from(vec![ad[0], ad[1], ad[2], ad[3], co]),
        ))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let wanted = [a, b, w].map(Tensor::track_op);
        let [da, db, dw] = gradients([a, b], w, &dy.contiguous()?, wanted)?;
        Ok((da, db, dw))
    }
}

/// Gradients of both volumes and of the kernel, those of them that are wanted.
pub(in crate::nn) fn gradients(
    [a, b]: [&Tensor; 2],
    w: &Tensor,
    dy: &Tensor,
    [of_a, of_b, of_w]: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let (_, kd, kh, kw, _) = w.dims5()?;
    let data = |x: &Tensor, first: usize, wanted: bool| -> Result<Option<Tensor>> {
        if !wanted {
            return Ok(None);
        }
        let (n, d, h, wide, ci) = x.dims5()?;
        let w = w.narrow(4, first, ci)?.contiguous()?;
        let data = Data {
            x: [n, d, h, wide, ci],
            stride: 1,
        };
        Ok(Some(dy.apply_op2_no_bwd(&w, &data)?))
    };
    let kernel = [kd, kh, kw];
    let filter = |x: &Tensor| x.apply_op2_no_bwd(dy, &Filter { kernel, stride: 1 });
    let dw = match of_w {
        true => Some(Tensor::cat(&[filter(a)?, filter(b)?], 4)?),
        false => None,
    };
    Ok([data(a, 0, of_a)?, data(b, a.dims()[4], of_b)?, dw])
}
