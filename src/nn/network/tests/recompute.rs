//! Recomputed activations give the gradients of kept ones.

use super::*;
use crate::nn::gradients::Gradients;
use crate::nn::testing::values;

/// The loss and the gradient of every parameter.
fn gradients(spec: &NetworkSpec, mut params: Params) -> (f32, Vec<(String, Vec<f32>)>) {
    let network = spec.build(2, 3, &mut params).unwrap();
    let images = [Some(image(2, 1)), Some(image(2, 2))];
    let output = network.forward(&images).unwrap();
    let mut loss: Option<Tensor> = None;
    for logits in output.logits.iter().chain(output.deep.iter().flatten()) {
        let logits = logits.as_ref().unwrap();
        let goal = noise(logits.dims(), 9);
        let term = (logits - goal).unwrap().sqr().unwrap().mean_all().unwrap();
        loss = Some(match loss {
            Some(sum) => (sum + term).unwrap(),
            None => term,
        });
    }
    let loss = loss.unwrap();
    let mut gradients = Gradients::zeros(&params).unwrap();
    gradients.add(loss.backward().unwrap(), &params).unwrap();
    let named = gradients.named().iter();
    let named = named.map(|(name, g)| (name.clone(), values(g))).collect();
    (loss.to_scalar().unwrap(), named)
}

#[test]
fn every_parameter_has_the_gradient_it_has_with_kept_activations() {
    let deep = Unet3dSpec {
        width: 2,
        depth: 3,
        deep_supervision: true,
        ..Unet3dSpec::default()
    };
    let released = CmcSpec {
        variant: crate::nn::cmc::Variant::Released,
        encoders: Sharing::Shared,
        decoders: Sharing::Shared,
        ..small_cmc()
    };
    let more = [NetworkSpec::Unet3d(deep), NetworkSpec::Cmc(released)];
    for spec in small_specs().into_iter().chain(more) {
        let (loss, kept) = gradients(&spec, params());
        let (again, recomputed) = gradients(&spec, params().with_recomputation());
        assert_eq!(loss.to_bits(), again.to_bits());
        assert_eq!(kept.len(), recomputed.len());
        for ((name, a), (other, b)) in kept.iter().zip(&recomputed) {
            assert_eq!(name, other);
            let largest = a.iter().fold(1e-4f32, |m, v| m.max(v.abs()));
            assert!(a.iter().any(|v| *v != 0.0) || b.iter().all(|v| *v == 0.0));
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-5 * largest, "{spec:?} {name}: {a} {b}");
            }
        }
    }
}

#[test]
fn nothing_is_left_for_the_next_step() {
    let mut params = params().with_recomputation();
    let [spec, ..] = small_specs();
    let network = spec.build(1, 2, &mut params).unwrap();
    let once = |gradients: &mut Gradients| {
        let output = network.forward(&[Some(image(1, 3))]).unwrap();
        let loss = output.logits[0].as_ref().unwrap().sqr().unwrap().mean_all();
        gradients
            .add(loss.unwrap().backward().unwrap(), &params)
            .unwrap();
        gradients.global_norm().unwrap()
    };
    let mut gradients = Gradients::zeros(&params).unwrap();
    let first = once(&mut gradients);
    gradients.clear().unwrap();
    assert_eq!(first, once(&mut gradients));
    assert!(first > 0.0);
}
