//! Compares a CUDA device with the CPU: every operator, then training; and measures it.
//!
//! One run on a machine with a GPU answers whether this build computes there what it computes here.

mod convolutions;
mod links;
mod networks;
mod operators;
mod steps;
mod training;

use crate::draw::DrawKey;
use crate::nn::cuda;
use candle_core::{Device, Tensor};

pub use convolutions::{ConvolutionFinding, convolutions};
pub use training::{DeviceShare, Throughput, throughput};

use super::TrainError;

/// One comparison.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Operator and shapes.
    pub operator: String,
    /// Type of the values on the device: `f32` or `bf16`.
    pub values: &'static str,
    /// What was compared: `forward`, `gradient 0` for that of the first input, ….
    pub part: String,
    /// Largest difference, relative to the value plus the root mean square of all; infinite where
    /// either is not a number.
    pub error: f64,
    /// Largest error that is still agreement.
    pub tolerance: f64,
}

impl Finding {
    /// Whether device and CPU agree.
    pub fn agrees(&self) -> bool {
        self.error <= self.tolerance
    }
}

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

/// Standard normal values that depend on `name` alone.
fn normals(name: &str, count: usize) -> Vec<f32> {
    let key = DrawKey {
        seed: 1,
        epoch: 0,
        subject: name,
        sample: 0,
    };
    let mut rng = key.rng("train.gpu_check");
    (0..count).map(|_| rng.normal() as f32).collect()
}

/// All values of a tensor, wherever it is.
fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor
        .to_dtype(candle_core::DType::F32)?
        .flatten_all()?
        .to_vec1()
}

/// Largest difference, relative to the value plus the root mean square of all.
fn largest_error(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let squares: f64 = expected.iter().map(|v| f64::from(*v).powi(2)).sum();
    let rms = (squares / expected.len().max(1) as f64).sqrt();
    found.iter().zip(expected).fold(0.0, |worst, (f, e)| {
        let (f, e) = (f64::from(*f), f64::from(*e));
        let error = (f - e).abs() / (e.abs() + rms + 1e-12);
        if error.is_nan() {
            f64::INFINITY
        } else {
            f64::max(worst, error)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_relative_and_nan_is_none() {
        assert_eq!(largest_error(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert!((largest_error(&[1.1], &[1.0]) - 0.05).abs() < 1e-6);
        assert_eq!(largest_error(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(largest_error(&[1.0], &[1.0, 1.0]), f64::INFINITY);
    }

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
