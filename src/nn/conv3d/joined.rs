//! Convolution over the channels of two volumes, which are never joined in memory.

use super::super::cpu::{CHUNK, add, dims5};
use super::super::operator::{Input, Op, Operator};
use super::{Data, Filter, conv3d, forward, sizes};
use candle_core::{Layout, Result, Shape, Tensor, bail};
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
        .apply_op3(&b.contiguous()?, &w.contiguous()?, Op(Joined))
}

struct Joined;

/// The kernel's values for input channels `first..first + count`.
fn channels(w: &[f32], all: usize, first: usize, count: usize) -> Vec<f32> {
    w.chunks_exact(all)
        .flat_map(|position| position[first..first + count].iter().copied())
        .collect()
}

impl Operator<3> for Joined {
    fn name(&self) -> &'static str {
        "conv3d_joined"
    }

    fn shape(&self, [a, b, w]: [&Layout; 3]) -> Result<Shape> {
        let op = self.name();
        let ([n, d, h, wide, of_a], [.., of_b]) = (dims5(op, a)?, dims5(op, b)?);
        let [co, _, _, _, ci] = dims5(op, w)?;
        if of_a + of_b != ci {
            bail!(
                "{op}: the inputs have {of_a} and {of_b} channels, the kernel {:?} expects {ci} together",
                w.dims()
            );
        }
        Ok(Shape::from(vec![n, d, h, wide, co]))
    }

    fn cpu(&self, [a, b, w]: [Input<'_>; 3]) -> Result<Vec<f32>> {
        let op = self.name();
        let [co, kd, kh, kw, ci] = dims5(op, w.layout)?;
        let weights = w.f32s()?;
        let part = |x: Input<'_>, first: usize| -> Result<Vec<f32>> {
            let dims = dims5(op, x.layout)?;
            let problem = sizes(op, dims, [kd, kh, kw], co, 1)?.problem();
            let packed = forward::pack(&problem, &channels(weights, ci, first, dims[4]));
            Ok(forward::correlate(&problem, x.f32s()?, &packed))
        };
        let (mut y, rest) = (part(a, 0)?, part(b, a.layout.dims()[4])?);
        y.par_chunks_mut(CHUNK)
            .zip(rest.par_chunks(CHUNK))
            .for_each(|(y, rest)| add(y, rest));
        Ok(y)
    }

    fn gradient(
        &self,
        [a, b, w]: [&Tensor; 3],
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let wanted = [a, b, w].map(Tensor::track_op);
        gradients([a, b], w, &dy.contiguous()?, wanted)
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
        Ok(Some(dy.apply_op2_no_bwd(&w, &Op(data))?))
    };
    let kernel = [kd, kh, kw];
    let filter = |x: &Tensor| x.apply_op2_no_bwd(dy, &Op(Filter { kernel, stride: 1 }));
    let dw = match of_w {
        true => Some(Tensor::cat(&[filter(a)?, filter(b)?], 4)?),
        false => None,
    };
    Ok([data(a, 0, of_a)?, data(b, a.dims()[4], of_b)?, dw])
}
