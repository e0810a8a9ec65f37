//! 3-D network operators on candle: channels last, forward and backward.
//!
//! Candle brings tensors, the autograd graph and matrix products, but no operation on volumes:
//! neither convolution nor pooling nor normalisation in three dimensions that could be trained at a
//! useful speed. Everything in the hot path of a 3-D network is therefore an operator of our own,
//! one a file, each with its forward pass, its analytic gradient and its test against finite
//! differences.
//!
//! **Shape** Activations are `[n, d, h, w, c]` with the channels last, so that a convolution is a
//! matrix product over strided views, and norm, bias and softmax work on the last axis. Kernels are
//! `[co, kd, kh, kw, ci]`.
//!
//! **Types** On the CPU every operator takes f32 and refuses other types by name: matrix products
//! here are made in f32, so that bf16 would be widened and narrowed again at every operator, slower
//! and less exact, for memory that a patch on a CPU does not lack. On CUDA activations may be bf16,
//! with sums in f32.
//!
//! Results do not depend on the number of threads: work is cut by shape alone, and every sum over
//! pieces is made in the order of the pieces.
//!
//! This floor knows tensors, and the description of a network that is built of them. It must not know
//! Arrow, the other sections of a pipeline or where voxels come from.

pub mod adamw;
pub mod add_act;
mod add_bias;
mod beside;
mod blocks;
mod chain;
pub mod channel_dropout;
pub mod cmc;
pub mod conv3d;
pub mod conv_transpose3d;
pub mod convert;
mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "cuda/absent.rs"]
pub(crate) mod cuda;
pub mod dice_bce;
pub mod dice_ce;
pub mod ema;
pub mod gradients;
pub(crate) mod inplace;
pub mod max_pool3d;
pub mod mean_pool3d;
pub mod network;
pub mod norm_act;
mod operator;
pub mod optimizer;
mod overlap;
pub mod params;
mod recompute;
pub mod sgd;
pub mod tensor_file;
pub mod unet3d;
pub mod upsample3d;

#[cfg(test)]
pub(crate) mod check;
#[cfg(test)]
mod operator_errors;
#[cfg(test)]
pub(crate) mod testing;
