//! One comparison: the values that go in, and how far those that come out are apart.

use crate::draw::DrawKey;
use candle_core::Tensor;

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
    /// Returns `true` if device and CPU agree.
    pub fn agrees(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Standard normal values that depend on `name` alone.
pub(super) fn normals(name: &str, count: usize) -> Vec<f32> {
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
pub(super) fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor
        .to_dtype(candle_core::DType::F32)?
        .flatten_all()?
        .to_vec1()
}

/// Largest difference, relative to the value plus the root mean square of all.
pub(super) fn largest_error(found: &[f32], expected: &[f32]) -> f64 {
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
}
