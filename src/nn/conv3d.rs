//! Convolution in three dimensions: stride 1 or 2, odd kernel, «same» zero padding.
//!
//! On the CPU the convolution is a sum of matrix products over tiles of image lines. The operand is
//! read in place where a line is long enough (a row of three neighbours in x is a strided view of a
//! padded line), and gathered tile by tile where lines are short or channels few; the whole column
//! matrix never exists.

mod filter;
mod forward;
mod joined;
mod stride2;
mod tile;

#[cfg(test)]
mod tests;

use super::cpu::{dims5, f32s};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
pub use joined::conv3d_joined;
pub use stride2::conv3d_stride2;
use tile::Problem;

/// Convolution of a volume with a kernel, without bias.
///
/// **Shape** `x` `[n, d, h, w, ci]`, `w` `[co, kd, kh, kw, ci]` with odd `kd`, `kh`, `kw`; the result
/// is `[n, d, h, w, co]`.
///
/// **Law** `y[z, o] = sum over k, i of w[o, k, i] x[z + k - (K - 1) / 2, i]`, zero outside. No
/// gradient is computed for an `x` that does not depend on a variable (the image).
///
/// **Errors** where shapes do not fit, the kernel is even or values are not f32.
pub fn conv3d(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&w.contiguous()?, Conv3d)
}

struct Conv3d;

/// dx from (dy, w).
struct Conv3dData;

/// dw from (x, dy), for a kernel of these sizes.
struct Conv3dFilter([usize; 3]);

fn problem(op: &str, x: [usize; 5], kernel: [usize; 3], co: usize) -> Result<Problem> {
    check(op, x, kernel, co)?;
    Ok(Problem::new(x, kernel, co))
}

fn check(op: &str, x: [usize; 5], kernel: [usize; 3], co: usize) -> Result<()> {
    if kernel.iter().any(|k| k % 2 == 0) {
        bail!(
            "{op}: expected odd kernel sizes for the same padding on both sides, found {kernel:?}"
        );
    }
    if x.iter().chain([&co]).any(|&size| size == 0) {
        bail!(
            "{op}: expected at least one value on every axis, found input {x:?} and {co} outputs"
        );
    }
    Ok(())
}

impl CustomOp2 for Conv3d {
    fn name(&self) -> &'static str {
        "conv3d"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (xd, [co, kd, kh, kw, ci]) = (dims5(op, l1)?, dims5(op, l2)?);
        if xd[4] != ci {
            bail!(
                "{op}: the input {xd:?} has {} channels, the kernel {:?} expects {ci}",
                xd[4],
                l2.dims()
            );
        }
        let problem = problem(op, xd, [kd, kh, kw], co)?;
        let (x, w) = (f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        let y = forward::correlate(&problem, x, &forward::pack(&problem, w));
        Ok((
            CpuStorage::F32(y),
            Shape::from(vec![xd[0], xd[1], xd[2], xd[3], co]),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dx = match x.track_op() {
            true => Some(dy.apply_op2_no_bwd(&w.contiguous()?, &Conv3dData)?),
            false => None,
        };
        let dw = match (w.track_op(), w.dims()) {
            (true, &[_, kd, kh, kw, _]) => {
                Some(x.apply_op2_no_bwd(&dy, &Conv3dFilter([kd, kh, kw]))?)
            }
            _ => None,
        };
        Ok((dx, dw))
    }
}

impl CustomOp2 for Conv3dData {
    fn name(&self) -> &'static str {
        "conv3d data gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let ([n, d, h, w, co], [_, kd, kh, kw, ci]) = (dims5(op, l1)?, dims5(op, l2)?);
        // The gradient is a convolution too, with the kernel mirrored and its channels exchanged.
        let problem = problem(op, [n, d, h, w, co], [kd, kh, kw], ci)?;
        let (dy, weights) = (f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        let dx = forward::correlate(&problem, dy, &forward::pack_mirrored(&problem, weights));
        Ok((CpuStorage::F32(dx), Shape::from(vec![n, d, h, w, ci])))
    }
}

impl CustomOp2 for Conv3dFilter {
    fn name(&self) -> &'static str {
        "conv3d filter gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (xd, yd) = (dims5(op, l1)?, dims5(op, l2)?);
        let problem = problem(op, xd, self.0, yd[4])?;
        let dw = filter::gradient(&problem, f32s(op, s1, l1)?, f32s(op, s2, l2)?);
        let [kd, kh, kw] = self.0;
        Ok((
            CpuStorage::F32(dw),
            Shape::from(vec![yd[4], kd, kh, kw, xd[4]]),
        ))
    }
}
