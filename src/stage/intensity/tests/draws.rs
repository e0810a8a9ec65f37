//! What steps draw over ten thousand rows, against what their parameters declare: rates and means
//! within three standard errors, extremes within the declared ends.

use super::super::brightness::Brightness;
use super::super::contrast::Contrast;
use super::super::gamma::Gamma;
use super::super::gaussian_blur::GaussianBlur;
use super::super::low_resolution::LowResolution;
use super::*;
use crate::draw::Range;

const DRAWS: u32 = 10_000;

/// Draws of modality `ct` in [`DRAWS`] rows of three modalities; `None` where it takes no part.
fn drawn<A: Augment<Draw = PerModality<T>>, T: Copy>(stage: &A) -> Vec<Option<T>> {
    let row = three();
    (0..DRAWS)
        .map(|sample| {
            let key = DrawKey {
                seed: 20,
                epoch: 1,
                subject: "one",
                sample,
            };
            let draw = stage.draw(&mut key.rng(A::NAME), &row, 0)?;
            draw.get("ct").copied()
        })
        .collect()
}

fn expect_rate(what: &str, hits: usize, of: usize, p: f64) {
    let (found, error) = (hits as f64 / of as f64, (p * (1.0 - p) / of as f64).sqrt());
    assert!((found - p).abs() < 3.0 * error, "{what}: {found}, not {p}");
}

/// Uniform over `[low, high)`: ends, mean and spread.
fn expect_uniform(what: &str, values: &[f64], [low, high]: [f64; 2]) {
    let n = values.len() as f64;
    let inside = |v: &f64| *v >= low - 1e-7 && *v <= high + 1e-7;
    assert!(n > 500.0 && values.iter().all(inside), "{what}");
    let (mean, width) = (values.iter().sum::<f64>() / n, high - low);
    let error = width / 12f64.sqrt() / n.sqrt();
    assert!(
        (mean - 0.5 * (low + high)).abs() < 3.0 * error,
        "{what}: mean {mean}"
    );
    let square = values.iter().map(|v| (v - 0.5 * (low + high)).powi(2));
    // The squared distance has mean w^2 / 12 and variance w^4 / 180.
    let (variance, error) = (
        square.sum::<f64>() / n,
        width * width / 180f64.sqrt() / n.sqrt(),
    );
    assert!(
        (variance - width * width / 12.0).abs() < 3.0 * error,
        "{what}: variance {variance}"
    );
}

/// Half uniform below 1, half above.
fn expect_around_one(what: &str, values: &[f64], [low, high]: [f64; 2]) {
    let (below, above): (Vec<f64>, Vec<f64>) = values.iter().partition(|v| **v < 1.0);
    expect_rate(what, below.len(), values.len(), 0.5);
    expect_uniform(what, &below, [low, 1.0]);
    expect_uniform(what, &above, [1.0, high]);
}

fn around(low: f64, high: f64) -> Range {
    Range::AroundOne {
        around_one: [low, high],
    }
}

fn taken<T: Copy>(draws: &[Option<T>], number: impl Fn(T) -> f32) -> Vec<f64> {
    let numbers = draws.iter().flatten().map(|d| f64::from(number(*d)));
    numbers.collect()
}

#[test]
fn brightness_draws_what_it_declares() {
    let draws = drawn(&Brightness::default());
    let factors = taken(&draws, |f| f);
    expect_rate("brightness", factors.len(), draws.len(), 0.15);
    expect_around_one("brightness", &factors, [0.75, 1.25]);
}

#[test]
fn contrast_draws_what_it_declares() {
    let draws = drawn(&Contrast::default());
    let factors = taken(&draws, |f| f);
    expect_rate("contrast", factors.len(), draws.len(), 0.15);
    expect_uniform("contrast", &factors, [0.75, 1.25]);
    let stage = Contrast {
        factor: around(0.75, 1.25),
        p: 1.0,
        ..Contrast::default()
    };
    expect_around_one("contrast", &taken(&drawn(&stage), |f| f), [0.75, 1.25]);
}

#[test]
fn gamma_draws_what_it_declares() {
    let draws = drawn(&Gamma::default());
    let curves: Vec<_> = draws.iter().flatten().collect();
    expect_rate("gamma", curves.len(), draws.len(), 0.3);
    let inverted = curves.iter().filter(|c| c.invert).count();
    expect_rate("inverted", inverted, curves.len(), 0.25);
    expect_uniform("gamma", &taken(&draws, |c| c.gamma), [0.7, 1.5]);
    let stage = Gamma {
        gamma: around(0.7, 1.5),
        p: 1.0,
        ..Gamma::default()
    };
    expect_around_one("gamma", &taken(&drawn(&stage), |c| c.gamma), [0.7, 1.5]);
}

#[test]
fn gaussian_blur_draws_what_it_declares() {
    let mut stage = GaussianBlur {
        p_modality: 0.5,
        ..GaussianBlur::default()
    };
    let draws = drawn(&stage);
    let rate = draws.iter().flatten().count();
    expect_rate("gaussian_blur", rate, draws.len(), 0.2 * 0.5);
    for axis in 0..3 {
        expect_uniform("sigma", &taken(&draws, |s| s[axis]), [0.5, 1.0]);
    }
    assert!(draws.iter().flatten().all(|s| s[0] != s[1]));
    stage.same_axes = true;
    assert!(drawn(&stage).iter().flatten().all(|s| *s == [s[0]; 3]));
}

#[test]
fn low_resolution_draws_what_it_declares() {
    let stage = LowResolution {
        p_modality: 0.5,
        ..LowResolution::default()
    };
    let draws = drawn(&stage);
    let factors = taken(&draws, |f| f);
    expect_rate("low_resolution", factors.len(), draws.len(), 0.25 * 0.5);
    expect_uniform("low_resolution", &factors, [0.5, 1.0]);
}

#[test]
fn modalities_take_part_on_their_own() {
    let stage = LowResolution {
        p: 1.0,
        p_modality: 0.5,
        ..LowResolution::default()
    };
    let row = three();
    let mut counts = [0usize; 4];
    for sample in 0..DRAWS {
        let key = DrawKey {
            seed: 3,
            epoch: 0,
            subject: "one",
            sample,
        };
        let draw = stage.draw(&mut key.rng("low_resolution"), &row, 0);
        counts[draw.map_or(0, |d| d.len())] += 1;
    }
    // Three independent halves: 1, 3, 3 and 1 eighth.
    for (count, p) in counts.into_iter().zip([0.125, 0.375, 0.375, 0.125]) {
        expect_rate("modalities", count, DRAWS as usize, p);
    }
}
