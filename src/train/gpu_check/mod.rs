//! Compares a CUDA device with the CPU: every operator, then training; and measures it.
//!
//! One run on a machine with a GPU answers whether this build computes there what it computes here.

mod convolutions;
mod finding;
mod links;
mod losses;
mod networks;
mod operators;
mod steps;
mod training;

use crate::nn::cuda;
use candle_core::Device;

pub use convolutions::{ConvolutionFinding, convolutions};
pub use finding::Finding;
pub use training::{DeviceShare, Throughput, throughput};

use super::TrainError;

/// What the device is.
#[derive(Debug, Clone)]
pub struct DeviceFigures {
    /// The card's name.
    pub name: String,
    /// CUDA version of the driver, as 1000 times the major plus 10 times the minor number.
    pub driver: i32,
    /// cuDNN's version, as it counts: 91900 is 9.19.0.
    pub cudnn: usize,
    /// Bytes of the card.
    pub total_bytes: usize,
    /// Most bytes that tensors held at once.
    pub peak_bytes: u64,
}

/// What `device` is.
///
/// **Errors** where it is no CUDA device or the driver refuses.
pub fn figures(device: &Device) -> Result<DeviceFigures, TrainError> {
    let found = cuda::figures(device)?;
    Ok(DeviceFigures {
        name: found.name,
        driver: found.driver,
        cudnn: found.cudnn,
        total_bytes: found.total,
        peak_bytes: found.peak,
    })
}

/// Compares every operator, an optimiser's step, links and networks at small shapes, and hands each
/// finding to `report` as it is made.
///
/// **Errors** where an operator fails on the device; its name is in the message.
pub fn compare(
    device: &Device,
    report: &mut dyn FnMut(Finding) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    operators::compare(device, report)?;
    steps::compare(device, report)?;
    links::compare(device, report)?;
    networks::compare(device, report)
}

/// Compares the first steps of a training with the CPU's, and whether the loss falls over `steps`.
///
/// **Errors** as training.
pub fn compare_training(
    device: &Device,
    steps: u64,
    report: &mut dyn FnMut(Finding) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    training::compare(device, steps, report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let mut count = 0;
        let mut report = |finding: Finding| {
            count += 1;
            assert!(finding.agrees(), "{finding:?}");
            assert!(finding.error == 0.0, "{finding:?}");
            Ok(())
        };
        compare(&Device::Cpu, &mut report).unwrap();
        compare_training(&Device::Cpu, 2, &mut report).unwrap();
        assert!(count > 60, "{count} comparisons");
    }
}
