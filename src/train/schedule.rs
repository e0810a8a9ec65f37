//! The learning rate over a run.

/// Linear warm-up, then a cosine to zero.
///
/// **Law** with warm-up steps w of n: `lr (s + 1) / w` while `s < w`, so that the first step already
/// trains; then `lr (1 + cos(pi (s - w) / (n - w))) / 2` (Loshchilov and Hutter 2017, eq. 5).
pub fn learning_rate(step: u64, steps: u64, lr: f64, warmup: f64) -> f64 {
    let warm = (warmup.clamp(0.0, 1.0) * steps as f64).round();
    let step = step as f64;
    if step < warm {
        return lr * (step + 1.0) / warm;
    }
    let rest = (steps as f64 - warm).max(1.0);
    lr * 0.5 * (1.0 + (std::f64::consts::PI * (step - warm) / rest).cos())
}

#[cfg(test)]
mod tests {
    use super::learning_rate;

    #[test]
    fn it_rises_then_falls_to_zero() {
        let rate = |s| learning_rate(s, 100, 1.0, 0.1);
        assert_eq!(rate(0), 0.1);
        assert_eq!(rate(9), 1.0);
        assert_eq!(rate(10), 1.0);
        assert!((rate(55) - 0.5).abs() < 1e-12);
        assert!(rate(99) < 0.001 && rate(99) > 0.0);
        assert_eq!(learning_rate(0, 10, 1.0, 0.0), 1.0);
    }
}
