//! The device that trains, and in what arithmetic.

use super::TrainError;
use crate::nn::cuda;
use candle_core::DType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use candle_core::Device;

/// What the user asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best there is: CUDA where this build and this machine have it, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; an error where there is none.
    Cuda,
}

impl DeviceChoice {
    /// Opens the device; [`DeviceChoice::Auto`] says so where it makes do with the CPU.
    ///
    /// **Errors** when CUDA was asked for by name and is not there, with what is missing.
    pub fn open(self) -> Result<Device, TrainError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(cuda::open(0).unwrap_or_else(|reason| {
                // A build without CUDA has nothing to miss.
                if candle_core::utils::cuda_is_available() {
                    tracing::info!(%reason, "no CUDA device; the CPU does it");
                }
                Device::Cpu
            })),
            Self::Cuda => Self::open_cuda(0),
        }
    }

    /// Opens the CUDA device of this number, counted from 0.
    ///
    /// **Errors** when it is not there, with what is missing.
    pub fn open_cuda(ordinal: usize) -> Result<Device, TrainError> {
        cuda::open(ordinal).map_err(TrainError::Device)
    }
}

/// What a device is called in what a run notes of itself: `cpu`, or its number and name, such as
/// `cuda:0 NVIDIA H200`.
pub fn name(device: &Device) -> String {
    let candle_core::DeviceLocation::Cuda { gpu_id } = device.location() else {
        return "cpu".to_owned();
    };
    match cuda::figures(device) {
        Ok(figures) => format!("cuda:{gpu_id} {}", figures.name),
        Err(_) => format!("cuda:{gpu_id}"),
    }
}

/// Arithmetic of the network's activations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits throughout.
    #[default]
    F32,
    /// bfloat16 for activations and their gradients: half the memory, and tensor cores. Weights, sums,
    /// norms' statistics, losses and the optimiser stay f32. CUDA only.
    Bf16,
}

impl Precision {
    /// The type of activations.
    ///
    /// **Errors** for bf16 on a device that is not CUDA.
    pub(super) fn dtype(self, device: &Device) -> Result<DType, TrainError> {
        match self {
            Self::F32 => Ok(DType::F32),
            Self::Bf16 if device.is_cuda() => Ok(DType::BF16),
            Self::Bf16 => Err(TrainError::Device(
                "`train.precision` is bf16, which the CPU does not do; write `f32`, or run with `--device cuda`"
                    .to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_refused_on_the_cpu() {
        assert_eq!(Precision::F32.dtype(&Device::Cpu).unwrap(), DType::F32);
        let error = Precision::Bf16.dtype(&Device::Cpu).unwrap_err().to_string();
        assert!(
            error.contains("train.precision") && error.contains("f32"),
            "{error}"
        );
    }

    #[test]
    fn auto_falls_back_and_cuda_says_what_is_missing() {
        if cuda::open(0).is_ok() {
            return;
        }
        assert!(DeviceChoice::Auto.open().unwrap().is_cpu());
        let error = DeviceChoice::Cuda.open().unwrap_err().to_string();
        assert!(error.contains("CUDA"), "{error}");
    }
}
