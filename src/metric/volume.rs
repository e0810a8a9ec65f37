//! How far a predicted volume is from the true one.

/// Relative difference of volumes: 0.1 for a prediction a tenth too large, -1 for an empty one.
///
/// **Law** `(predicted - truth) / truth`; `None` where the truth is empty, of which nothing is a
/// share. Volumes themselves are in [`ClassScore`](super::ClassScore).
/// **Source** Heimann et al., IEEE Trans. Med. Imaging 28 (2009), there in per cent.
pub fn relative_difference(predicted_ml: f64, truth_ml: f64) -> Option<f64> {
    (truth_ml > 0.0).then(|| (predicted_ml - truth_ml) / truth_ml)
}

#[cfg(test)]
mod tests {
    use super::relative_difference;

    #[test]
    fn shares_are_of_the_truth() {
        assert_eq!(relative_difference(3.0, 2.0), Some(0.5));
        assert_eq!(relative_difference(0.0, 2.0), Some(-1.0));
        assert_eq!(relative_difference(1.0, 0.0), None);
    }
}
