//! The link between GPUs, at world size 1: all that one device can show.

use super::super::TrainError;
use super::finding::{Finding, largest_error, normals, values};
use crate::nn::cuda::{Comm, CommId};
use crate::nn::inplace::AllReduce;
use candle_core::{Device, Tensor};

pub(super) fn compare(
    device: &Device,
    report: &mut dyn FnMut(Finding) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    if !device.is_cuda() {
        return Ok(());
    }
    let id = match CommId::new() {
        Ok(id) => id,
        Err(reason) => {
            // One GPU trains without it.
            tracing::warn!(%reason, "no link between GPUs; `run --devices 0,1` needs one");
            return Ok(());
        }
    };
    let link = Comm::new(device, 0, 1, id)?;
    let expected = normals("all_reduce", 1000);
    let tensor = Tensor::from_slice(&expected, (10, 100), device)?;
    tensor.inplace_op1(&AllReduce(&link))?;
    report(Finding {
        operator: "all_reduce over 1 device (NCCL)".to_owned(),
        values: "f32",
        part: "mean".to_owned(),
        error: largest_error(&values(&tensor)?, &expected),
        tolerance: 0.0,
    })
}
