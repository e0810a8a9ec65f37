//! The device that trains.

use super::TrainError;
use candle_core::Device;

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
    /// Opens the device.
    ///
    /// **Errors** when CUDA was asked for by name and is not there.
    pub fn open(self) -> Result<Device, TrainError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(Device::new_cuda(0).unwrap_or(Device::Cpu)),
            Self::Cuda if !candle_core::utils::cuda_is_available() => {
                let problem =
                    "built without CUDA; rebuild with `--features cuda`, or say `--device cpu`";
                Err(TrainError::Device(problem.to_owned()))
            }
            Self::Cuda => Device::new_cuda(0).map_err(|e| {
                TrainError::Device(format!("no CUDA device answers ({e}); say `--device cpu`"))
            }),
        }
    }
}
