//! Modality-independent attention across the channels of one modality's bottleneck.

use candle_core::{D, DType, Result, Tensor};

/// Channel attention, `[n, d, h, w, c]` to the same shape.
///
/// **Law** with `F` the `c x N` matrix of a volume: `E = F Fᵀ`, `A = softmax(rowmax(E) - E)` by rows,
/// result `gamma · A F + F`. `gamma` is one number, `[1]`; at 0 the result equals the input.
///
/// **Source** the method's released model; there is no projection and no scaling of `E`, as there.
pub fn mia(features: &Tensor, gamma: &Tensor) -> Result<Tensor> {
    let (n, d, h, w, c) = features.dims5()?;
    // Sums over all voxels, and exponents of them, need f32 whatever the activations are.
    let rows = features.to_dtype(DType::F32)?.contiguous()?;
    let rows = rows.reshape((n, d * h * w, c))?;
    let energy = rows.t()?.matmul(&rows)?;
    // softmax(max - E) = softmax(-E): shifting by the row's minimum keeps every exponent <= 0,
    // and as the softmax ignores a shift, the shift needs no gradient.
    let least = energy.detach().min_keepdim(D::Minus1)?;
    let weight = least.broadcast_sub(&energy)?.exp()?;
    let attention = weight.broadcast_div(&weight.sum_keepdim(D::Minus1)?)?;
    let mixed = rows.matmul(&attention.t()?)?;
    let mixed = mixed.reshape((n, d, h, w, c))?;
    mixed.broadcast_mul(gamma)?.to_dtype(features.dtype())? + features
}
