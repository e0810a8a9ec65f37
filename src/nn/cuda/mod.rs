//! The CUDA side of the operators: kernels of our own, cuDNN for convolutions, the device itself.
//!
//! The crate's door to raw device memory. An operator checks its shapes, then calls one function of
//! this folder; `absent.rs` has the same functions for a build without the feature `cuda`.
//!
//! Values are f32, or bf16 with sums in f32. Every reduction has an order that depends on the shape
//! alone: there are no atomics. The device works on one stream, so what is launched first is done
//! first, whichever thread launched it.

mod device;
mod dnn;
mod launch;
mod loss;
mod nccl;
mod norm;
mod profile;
mod step;
mod thin;
mod upload;
mod volume;

pub(crate) use device::{figures, open, synchronize};
pub(crate) use nccl::{Comm, CommId, bind};
pub(crate) use upload::upload;

pub(crate) use dnn::{Choice, Way, by_way, choice, has_thin};
pub(crate) use profile::{Share, profiled};

pub(super) use dnn::conv3d;
pub(super) use loss::{LossState, dice_ce, dice_ce_gradient};
pub(super) use nccl::all_reduce;
pub(super) use norm::{
    Table, add_bias, column_sums, norm_act, norm_act_again, norm_act_input, norm_act_sums,
};
pub(super) use step::{Moments, adamw, blend, scale, sum_of_squares};
pub(super) use volume::{
    join_blocks, max_pool3d, max_pool3d_gradient, part_blocks, permute_blocks,
};
