use super::*;

#[test]
fn the_test_is_that_of_wilcoxon() {
    // The negative differences have ranks 2 and 4.
    let (smaller, p) = signed_ranks(&[1.0, 2.0, -3.0, 4.0, 5.0, 6.0, 7.0, -1.5]).unwrap();
    assert_eq!(smaller, 2.0 + 4.0);
    let by_hand = enumerated(&[1.0, 2.0, -3.0, 4.0, 5.0, 6.0, 7.0, -1.5]);
    assert!((p - by_hand).abs() < 1e-15, "{p} {by_hand}");
    // All of 10 on one side: 2 of 1024.
    let all: Vec<f64> = (1..=10).map(f64::from).collect();
    assert_eq!(signed_ranks(&all), Some((0.0, 2.0 / 1024.0)));
}

#[test]
fn ties_and_zeros_are_those_of_all_signs() {
    let differences = [0.5, 0.5, -0.5, 0.0, 1.0, 1.0, 2.0, -0.25, 0.0];
    let (smaller, p) = signed_ranks(&differences).unwrap();
    assert_eq!(smaller, 1.0 + 3.0);
    assert!((p - enumerated(&differences)).abs() < 1e-15);
    assert_eq!(signed_ranks(&[0.0, 0.0]), None);
}

/// The p value by writing down every pair of signs.
fn enumerated(differences: &[f64]) -> f64 {
    let magnitudes: Vec<f64> = differences
        .iter()
        .map(|d| d.abs())
        .filter(|d| *d > 0.0)
        .collect();
    let rank = |d: f64| {
        let below = magnitudes.iter().filter(|m| **m < d).count() as f64;
        let same = magnitudes.iter().filter(|m| **m == d).count() as f64;
        below + (same + 1.0) / 2.0
    };
    let ranks: Vec<f64> = magnitudes.iter().map(|d| rank(*d)).collect();
    let total: f64 = ranks.iter().sum();
    let own: f64 = differences
        .iter()
        .filter(|d| **d > 0.0)
        .map(|d| rank(d.abs()))
        .sum();
    let own = own.min(total - own);
    let signs = 0..1usize << ranks.len();
    let extreme = signs.clone().filter(|signs| {
        let sum: f64 = (ranks.iter().enumerate())
            .filter(|(i, _)| signs >> i & 1 == 1)
            .map(|(_, r)| r)
            .sum();
        sum <= own
    });
    (2.0 * extreme.count() as f64 / signs.len() as f64).min(1.0)
}

#[test]
fn many_pairs_follow_the_normal_distribution() {
    // Exact and approximate tails of the same ranks are within six per cent of each other.
    let ranks: Vec<usize> = (1..=50).map(|r| 2 * r).collect();
    let total = ranks.iter().sum();
    for smaller in [300usize, 400, 500, 600] {
        let exact = exact(&ranks, 2 * smaller, total);
        let normal = normal(50.0, 0.0, smaller as f64);
        assert!(
            (exact - normal).abs() < 0.06 * exact.max(0.02),
            "{smaller}: {exact} {normal}"
        );
    }
}

#[test]
fn the_error_function_is_that_of_the_tables() {
    // Abramowitz and Stegun, table 7.1, and Wolfram's value for 3.
    for (x, expected) in [
        (0.0, 1.0),
        (0.5, 0.479_500_122_186_953_5),
        (1.0, 0.157_299_207_050_285_13),
        (2.0, 0.004_677_734_981_047_266),
        (3.0, 2.209_049_699_858_544e-5),
    ] {
        let found = complementary_error(x);
        assert!(
            (found - expected).abs() < 1e-12 * expected.max(1e-3),
            "{x}: {found}"
        );
    }
}

#[test]
fn the_interval_holds_the_mean_and_stays() {
    let differences: Vec<f64> = (0..40)
        .map(|i| 0.02 + 0.01 * f64::from(i % 7 - 3))
        .collect();
    let first = paired(&differences).unwrap();
    let [low, high] = first.interval.unwrap();
    assert!(low < first.mean && first.mean < high);
    // Standard error 0.02 / sqrt(40), 1.96 of them to each side.
    let sd = 0.02f64;
    let expected = 2.0 * 1.96 * sd / 40f64.sqrt();
    assert!(
        (high - low - expected).abs() < 0.1 * expected,
        "{low} {high}"
    );
    assert_eq!(paired(&differences), Some(first));
    assert_eq!(paired(&[]), None);
    assert_eq!(paired(&[0.1]).unwrap().interval, None);
}
