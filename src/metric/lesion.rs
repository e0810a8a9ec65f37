//! Whether the lesions of a class were found, each counting the same whatever its size.

use super::crop::Masks;
use crate::kernel::components::{Components, Connectivity, components};

/// How many lesions there are, and how many were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lesions {
    /// Lesions of the truth.
    pub truth: u64,
    /// Lesions of the truth that the prediction touches.
    pub found: u64,
    /// Lesions of the prediction.
    pub predicted: u64,
    /// Lesions of the prediction that touch none of the truth.
    pub invented: u64,
}

/// Counts lesions.
///
/// **Law** a lesion is a connected component (26 neighbours). One of the truth is found when at
/// least one of its voxels is in the prediction; one of the prediction is invented when none of
/// its voxels is in the truth. One prediction may find several lesions.
/// **Source** Hernandez Petzsche et al., Scientific Data 9 (2022): lesion-wise F1 of ISLES 2022.
pub fn lesions(masks: &Masks) -> Lesions {
    let of = |mask: &[u8]| components(mask, masks.shape_xyz, Connectivity::Corners, |v| v > 0);
    let (truth, predicted) = (of(&masks.truth), of(&masks.prediction));
    let touched = |own: &Components<u8>, other: &[u8]| {
        let mut touched = vec![false; own.list.len()];
        for run in &own.runs {
            let voxels = &other[run.start..run.start + run.length as usize];
            touched[run.component as usize] |= voxels.iter().any(|v| *v > 0);
        }
        touched.into_iter().filter(|t| *t).count() as u64
    };
    let found = touched(&truth, &masks.prediction);
    let right = touched(&predicted, &masks.truth);
    Lesions {
        truth: truth.list.len() as u64,
        found,
        predicted: predicted.list.len() as u64,
        invented: predicted.list.len() as u64 - right,
    }
}

impl Lesions {
    /// Lesion-wise F1; `None` where there is no lesion in either.
    ///
    /// **Law** `found / (found + (missed + invented) / 2)`, `missed = truth - found`.
    pub fn f1(&self) -> Option<f64> {
        let wrong = (self.truth - self.found + self.invented) as f64;
        let all = self.found as f64 + wrong / 2.0;
        (all > 0.0).then(|| self.found as f64 / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_counted_lesions() {
        let truth = [1u8, 1, 0, 1, 0, 0, 1, 0, 0, 0];
        let prediction = [0u8, 1, 1, 1, 0, 0, 0, 0, 1, 0];
        let masks = Masks {
            truth: truth.to_vec(),
            prediction: prediction.to_vec(),
            shape_xyz: [10, 1, 1],
            spacing_mm: [1.0; 3],
        };
        let found = lesions(&masks);
        let expected = Lesions {
            truth: 3,
            found: 2,
            predicted: 2,
            invented: 1,
        };
        assert_eq!(found, expected);
        assert!((found.f1().unwrap() - 2.0 / 3.0).abs() < 1e-15);
        let none = Masks {
            truth: vec![0; 10],
            prediction: vec![0; 10],
            ..masks.clone()
        };
        assert_eq!(lesions(&none).f1(), None);
        let missed = Masks {
            prediction: vec![0; 10],
            ..masks
        };
        assert_eq!(lesions(&missed).f1(), Some(0.0));
    }
}
