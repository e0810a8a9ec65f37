//! Checks of an operator against a plain f64 reference and that reference's finite differences.

use crate::draw::{DrawKey, SampleRng};
use candle_core::{Device, Result, Tensor, Var};

/// A generator for test values.
pub(crate) fn rng(name: &str) -> SampleRng {
    DrawKey {
        seed: 1,
        epoch: 0,
        subject: name,
        sample: 0,
    }
    .rng("nn.check")
}

/// Standard normal values.
pub(crate) fn normals(name: &str, count: usize) -> Vec<f32> {
    let mut rng = rng(name);
    (0..count).map(|_| rng.normal() as f32).collect()
}

/// A tensor's values.
pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the value and to the root mean square of all.
pub(crate) fn largest_error(found: &[f64], expected: &[f64], rms: f64) -> f64 {
    found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f - e).abs() / (e.abs() + rms + 1e-12))
        .fold(0.0, |worst, error| {
            if error.is_nan() {
                f64::INFINITY
            } else {
                f64::max(worst, error)
            }
        })
}

/// Root of the mean square.
pub(crate) fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}

/// Compares an operator's result with `reference`, and up to 60 gradient entries of every input
/// with central differences of the reference, weighted by random numbers. Prints the largest errors.
pub(crate) fn check_op(
    name: &str,
    inputs: &[(&[usize], Vec<f32>)],
    tolerance: f64,
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
    reference: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|(shape, values)| Var::from_slice(values, *shape, &Device::Cpu).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let wide: Vec<Vec<f64>> = inputs
        .iter()
        .map(|(_, values)| values.iter().map(|&v| f64::from(v)).collect())
        .collect();

    let y = op(&tensors).unwrap();
    let expected = reference(&wide);
    let found: Vec<f64> = values(&y).into_iter().map(f64::from).collect();
    assert_eq!(found.len(), expected.len(), "{name}: number of values");
    let forward = largest_error(&found, &expected, rms(&expected));

    let weights = normals(&format!("{name} weights"), expected.len());
    let loss = (&y * Tensor::from_slice(&weights, y.shape(), &Device::Cpu).unwrap())
        .unwrap()
        .sum_all()
        .unwrap();
    let grads = loss.backward().unwrap();
    let value = |at: &[Vec<f64>]| -> f64 {
        reference(at)
            .iter()
            .zip(&weights)
            .map(|(y, &w)| y * f64::from(w))
            .sum()
    };
    let mut picks = rng(&format!("{name} picks"));
    let mut worst = vec![];
    for (input, tensor) in tensors.iter().enumerate() {
        let gradient: Vec<f64> = values(grads.get(tensor).unwrap())
            .into_iter()
            .map(f64::from)
            .collect();
        let (mut found, mut expected) = (vec![], vec![]);
        for entry in picks.permutation(gradient.len()).into_iter().take(60) {
            let mut at = wide.clone();
            let step = 1e-5;
            at[input][entry] += step;
            let above = value(&at);
            at[input][entry] -= 2.0 * step;
            expected.push((above - value(&at)) / (2.0 * step));
            found.push(gradient[entry]);
        }
        worst.push(largest_error(&found, &expected, rms(&gradient)));
    }
    println!(
        "{name}: largest relative error forward {forward:.1e}, gradients {}",
        worst
            .iter()
            .map(|e| format!("{e:.1e}"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    assert!(forward < tolerance, "{name}: forward is off by {forward:e}");
    assert!(
        worst.iter().all(|&e| e < tolerance),
        "{name}: gradients are off by {worst:?}"
    );
}

/// Asserts that `compute` produces the same bytes with 1, 2 and 7 threads.
pub(crate) fn check_threads(name: &str, compute: impl Fn() -> Vec<Tensor> + Sync) {
    let run = |threads: usize| -> Vec<Vec<u32>> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(&compute)
            .iter()
            .map(|t| values(t).into_iter().map(f32::to_bits).collect())
            .collect()
    };
    let one = run(1);
    for threads in [2, 7] {
        assert!(
            one == run(threads),
            "{name}: values differ between 1 and {threads} threads"
        );
    }
}
