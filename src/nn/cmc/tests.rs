use candle_core::{Device, Tensor, Var};

use super::fusion::Fusion;
use super::mia::mia;
use crate::nn::blocks::{Builder, Layers, Scope};
use crate::nn::norm_act::Activation;
use crate::nn::params::Params;
use crate::nn::testing::{bits, largest_difference, noise, values};

fn gamma(value: f32) -> Tensor {
    Tensor::new(&[value], &Device::Cpu).unwrap()
}

/// A gate over three modalities of four channels.
fn gate(params: &mut Params) -> Fusion {
    let (builder, scope) = (&mut Builder::new(params), Scope::new("fusion"));
    let layers = Layers::instance(Activation::Relu);
    Fusion::new(builder, &scope, (3, 4), layers, Activation::None).unwrap()
}

/// The attention as it is written on paper, in f64 loops.
fn slow_mia(features: &Tensor, gamma: f64) -> Vec<f64> {
    let (n, d, h, w, c) = features.dims5().unwrap();
    let voxels = d * h * w;
    let x: Vec<f64> = values(features).into_iter().map(f64::from).collect();
    let mut out = x.clone();
    for b in 0..n {
        let at = |v: usize, i: usize| (b * voxels + v) * c + i;
        for i in 0..c {
            let energy: Vec<f64> = (0..c)
                .map(|j| (0..voxels).map(|v| x[at(v, i)] * x[at(v, j)]).sum())
                .collect();
            let most = energy.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = energy.iter().map(|e| (most - e).exp()).collect();
            let total: f64 = weights.iter().sum();
            for v in 0..voxels {
                let mixed: f64 = (0..c).map(|j| weights[j] / total * x[at(v, j)]).sum();
                out[at(v, i)] += gamma * mixed;
            }
        }
    }
    out
}

#[test]
fn attention_with_gamma_zero_is_the_identity_bit_for_bit() {
    let x = noise(&[2, 3, 4, 5, 8], 3);
    assert_eq!(bits(&mia(&x, &gamma(0.0)).unwrap()), bits(&x));
}

#[test]
fn attention_matches_the_written_formula() {
    let x = noise(&[2, 2, 3, 2, 5], 4);
    let fast = mia(&x, &gamma(0.7)).unwrap();
    let slow = slow_mia(&x, 0.7);
    let pairs = values(&fast).into_iter().zip(slow);
    let error = pairs
        .map(|(a, b)| (f64::from(a) - b).abs())
        .fold(0.0, f64::max);
    println!("largest difference from the formula: {error:e}");
    assert!(error < 1e-5, "{error}");
    assert!(largest_difference(&fast, &x) > 1e-2);
}

#[test]
fn attention_survives_energies_beyond_the_exponential() {
    let x = Var::from_tensor(&(noise(&[1, 4, 4, 4, 6], 5) * 100.0).unwrap()).unwrap();
    let g = Var::from_tensor(&gamma(0.5)).unwrap();
    let loss = mia(&x, &g).unwrap().sqr().unwrap().mean_all().unwrap();
    let grads = loss.backward().unwrap();
    for var in [&x, &g] {
        let grad = values(grads.get(var).unwrap());
        assert!(grad.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn the_gate_takes_any_subset_and_uses_its_whole_range() {
    let mut params = Params::new(1, &Device::Cpu);
    let fusion = gate(&mut params);
    let full: Vec<Tensor> = (0..3).map(|m| noise(&[1, 4, 4, 4, 4], m)).collect();
    for subset in 1..8u32 {
        let given: Vec<Option<Tensor>> = (0..3)
            .map(|m| (subset >> m & 1 == 1).then(|| full[m].clone()))
            .collect();
        let output = fusion.forward(&given).unwrap();
        assert_eq!(output.dims(), [1, 4, 4, 4, 4]);
        let gate = values(&output);
        assert!(gate.iter().all(|&z| z > 0.0 && z < 1.0));
        // With a ReLU before the sigmoid nothing would lie below one half.
        let low = gate.iter().filter(|&&z| z < 0.4).count();
        let high = gate.iter().filter(|&&z| z > 0.6).count();
        assert!(low > 20 && high > 20, "{low} low, {high} high");
        // Zeros in the place of the missing ones, and nothing else.
        let zeroed: Vec<Option<Tensor>> = (given.iter().zip(&full))
            .map(|(x, full)| Some(x.clone().unwrap_or(full.zeros_like().unwrap())))
            .collect();
        assert_eq!(bits(&fusion.forward(&zeroed).unwrap()), bits(&output));
    }
}

#[test]
fn the_gate_refuses_features_of_two_grids() {
    let mut params = Params::new(1, &Device::Cpu);
    let fusion = gate(&mut params);
    let fine = Some(noise(&[1, 4, 4, 4, 4], 0));
    let coarse = Some(noise(&[1, 4, 2, 4, 4], 1));
    let message = fusion
        .forward(&[None, fine, coarse])
        .unwrap_err()
        .to_string();
    assert!(message.contains("features of modality 2"), "{message}");
    assert!(message.contains("[1, 4, 2, 4, 4]"), "{message}");
    let message = fusion.forward(&[None, None, None]).unwrap_err().to_string();
    assert!(message.contains("every modality is missing"), "{message}");
}
