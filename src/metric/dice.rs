//! Dice per class from one pass over two label maps.
//!
//! **Law** Dice = 2|P∩T| / (|P| + |T|) over all voxels of the volume. Absent from both: undefined
//! (`None`), so that a mean over subjects is not raised by classes that are not there. Absent from
//! one of them: 0.
//! **Source** Dice, Ecology 26 (1945); convention of the Medical Segmentation Decathlon for
//! classes absent from the truth.

use super::{MetricError, same_length};

/// How often each pair of true and predicted class occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Row: true class; column: predicted class.
    counts: Vec<u64>,
}

/// Agreement on one class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScore {
    /// Class number, or the position of a region from 0.
    pub class_id: usize,
    /// Dice coefficient; `None` where the class is in neither label map.
    pub dice: Option<f64>,
    /// Voxels in the truth.
    pub truth_voxels: u64,
    /// Voxels in the prediction.
    pub predicted_voxels: u64,
    /// Volume in the truth, ml.
    pub truth_ml: f64,
    /// Volume in the prediction, ml.
    pub predicted_ml: f64,
}

/// Counts pairs of classes in one pass; class 0 is the background.
///
/// **Shape** both `[z, y, x]` on one grid.
/// **Errors** when the lengths differ or a class number is not below `classes`.
pub fn confusion<P, T>(
    prediction: &[P],
    truth: &[T],
    classes: usize,
) -> Result<Confusion, MetricError>
where
    P: Copy + Into<usize>,
    T: Copy + Into<usize>,
{
    same_length(prediction.len(), truth.len())?;
    let mut counts = vec![0u64; classes * classes];
    // Label maps are long runs of one pair: counting the run in a register avoids a chain of
    // loads that wait for the store before them.
    let mut run = (0, 0, 0u64);
    for (voxel, (&p, &t)) in prediction.iter().zip(truth).enumerate() {
        let (p, t): (usize, usize) = (p.into(), t.into());
        if (p, t) == (run.0, run.1) {
            run.2 += 1;
            continue;
        }
        for (class, of) in [(p, "prediction"), (t, "truth")] {
            if class >= classes {
                return Err(MetricError::Class {
                    class,
                    of,
                    voxel,
                    classes,
                });
            }
        }
        counts[run.1 * classes + run.0] += run.2;
        run = (p, t, 1);
    }
    if let Some(count) = counts.get_mut(run.1 * classes + run.0) {
        *count += run.2;
    }
    Ok(Confusion { classes, counts })
}

impl Confusion {
    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Voxels of one pair of true and predicted class.
    pub fn count(&self, truth: usize, prediction: usize) -> u64 {
        self.counts[truth * self.classes + prediction]
    }

    /// Voxels of a class in the truth.
    pub fn truth_voxels(&self, class: usize) -> u64 {
        (0..self.classes).map(|p| self.count(class, p)).sum()
    }

    /// Voxels of a class in the prediction.
    pub fn predicted_voxels(&self, class: usize) -> u64 {
        (0..self.classes).map(|t| self.count(t, class)).sum()
    }

    /// Dice of a class; `None` where it is in neither label map.
    pub fn dice(&self, class: usize) -> Option<f64> {
        let both = self.truth_voxels(class) + self.predicted_voxels(class);
        (both > 0).then(|| 2.0 * self.count(class, class) as f64 / both as f64)
    }

    /// Scores of all classes, background included; `voxel_volume_mm3` is the grid's.
    pub fn scores(&self, voxel_volume_mm3: f64) -> Vec<ClassScore> {
        (0..self.classes)
            .map(|class| self.union(class, &[class], voxel_volume_mm3))
            .collect()
    }

    /// Scores of a union of different classes, under the number `class_id`.
    ///
    /// **Panics** if a class is not below [`classes`](Self::classes).
    pub fn union(&self, class_id: usize, classes: &[usize], voxel_volume_mm3: f64) -> ClassScore {
        let ml = |voxels: u64| voxels as f64 * voxel_volume_mm3 / 1000.0;
        let sum =
            |of: &dyn Fn(usize) -> u64| -> u64 { classes.iter().map(|class| of(*class)).sum() };
        let truth_voxels: u64 = sum(&|class| self.truth_voxels(class));
        let predicted_voxels: u64 = sum(&|class| self.predicted_voxels(class));
        let both: u64 = sum(&|truth| sum(&|predicted| self.count(truth, predicted)));
        let all = truth_voxels + predicted_voxels;
        ClassScore {
            class_id,
            dice: (all > 0).then(|| 2.0 * both as f64 / all as f64),
            truth_voxels,
            predicted_voxels,
            truth_ml: ml(truth_voxels),
            predicted_ml: ml(predicted_voxels),
        }
    }
}

/// Mean of the values there are; `None` where there is none.
pub fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values
        .into_iter()
        .flatten()
        .fold((0.0, 0u32), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hand_counted_example() {
        let truth = [0u8, 0, 1, 1, 1, 2, 2, 0];
        let prediction = [0u16, 1, 1, 1, 0, 2, 0, 4];
        let c = confusion(&prediction, &truth, 5).unwrap();
        assert_eq!((c.count(0, 0), c.count(0, 1), c.count(1, 1)), (1, 1, 2));
        assert_eq!((c.count(1, 0), c.count(2, 0), c.count(0, 4)), (1, 1, 1));
        assert_eq!(c.dice(0), Some(2.0 / 6.0));
        assert_eq!(c.dice(1), Some(4.0 / 6.0));
        assert_eq!(c.dice(2), Some(2.0 / 3.0));
        assert_eq!(c.dice(3), None);
        assert_eq!(c.dice(4), Some(0.0));
        let scores = c.scores(1.5 * 2.0 * 4.0);
        assert_eq!((scores[1].truth_voxels, scores[1].predicted_voxels), (3, 3));
        assert!((scores[2].truth_ml - 0.024).abs() < 1e-15);
        assert!((scores[2].predicted_ml - 0.012).abs() < 1e-15);
        let foreground = mean(scores[1..].iter().map(|s| s.dice)).unwrap();
        assert!((foreground - (4.0 / 6.0 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
        assert_eq!(mean([None, None]), None);
    }

    #[test]
    fn absent_from_the_prediction_is_zero() {
        let c = confusion(&[0u8, 0], &[0u8, 1], 2).unwrap();
        assert_eq!(c.dice(1), Some(0.0));
    }

    #[test]
    fn strangers_are_named() {
        let error = confusion(&[0u8, 3], &[0u8, 1], 3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "class 3 in the prediction at voxel 1, expected 0 to 2; map the labels or declare more classes"
        );
        let error = confusion(&[0u8; 2], &[0u8; 3], 3).unwrap_err();
        assert!(matches!(error, MetricError::Length { .. }));
        assert_eq!(confusion::<u8, u8>(&[], &[], 2).unwrap().dice(0), None);
    }

    proptest! {
        #[test]
        fn one_pass_equals_counting_apart(pairs in prop::collection::vec((0u8..4, 0u8..4), 0..300)) {
            let (p, t): (Vec<u8>, Vec<u8>) = pairs.iter().copied().unzip();
            let c = confusion(&p, &t, 4).unwrap();
            for truth in 0..4u8 {
                for prediction in 0..4u8 {
                    let count = pairs.iter().filter(|&&x| x == (prediction, truth)).count() as u64;
                    prop_assert_eq!(c.count(truth.into(), prediction.into()), count);
                }
            }
            // A union scores as one class that its classes were merged into.
            let merged = |labels: &[u8]| labels.iter().map(|v| u8::from(*v > 1)).collect::<Vec<_>>();
            let one = confusion(&merged(&p), &merged(&t), 2).unwrap().scores(2.0)[1];
            prop_assert_eq!(c.union(1, &[2, 3], 2.0), one);
        }
    }
}
