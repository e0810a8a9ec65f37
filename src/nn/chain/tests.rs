//! A chain computes what its operators compute as nodes of the graph, on the CPU.

use super::*;
use crate::nn::check::{normals, values};
use candle_core::{Device, Var};

fn var(name: &str, shape: &[usize]) -> Var {
    let count = shape.iter().product();
    Var::from_vec(normals(name, count), shape, &Device::Cpu).unwrap()
}

/// A unit over `ci` channels, and its variables.
fn unit(name: &str, ci: usize, co: usize, norm: Norm) -> (Unit, Vec<Var>) {
    let vars = vec![
        var(&format!("{name} weight"), &[co, 3, 3, 3, ci]),
        var(&format!("{name} scale"), &[co]),
        var(&format!("{name} shift"), &[co]),
    ];
    let unit = Unit {
        weight: vars[0].as_tensor().clone(),
        scale: vars[1].as_tensor().clone(),
        shift: vars[2].as_tensor().clone(),
        norm,
        activation: Activation::LeakyRelu(0.01),
    };
    (unit, vars)
}

/// Result, gradients of the inputs, gradients of the weights.
fn run(inputs: &[Var], weights: &[Var], steps: &[Step], beside: Option<&Beside>) -> Vec<Vec<f32>> {
    let of: Vec<&Tensor> = inputs.iter().map(|x| x.as_tensor()).collect();
    let y = chain(beside, &of, steps.to_vec()).unwrap();
    let g = Tensor::from_vec(normals("g", y.elem_count()), y.shape(), &Device::Cpu).unwrap();
    let loss = (&y * g).unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    let found = beside.map(Beside::take).unwrap_or_default();
    let mut all = vec![values(&y)];
    for x in inputs {
        all.push(values(grads.get(x).unwrap()));
    }
    for w in weights {
        let gradient = found.get(&w.as_tensor().id()).or_else(|| grads.get(w));
        all.push(values(gradient.unwrap()));
    }
    all
}

fn agree(inputs: &[Var], weights: &[Var], steps: &[Step]) {
    let kept = run(inputs, weights, steps, None);
    let beside = Beside::default();
    let chained = run(inputs, weights, steps, Some(&beside));
    assert_eq!(kept.len(), chained.len());
    for (part, (a, b)) in kept.iter().zip(&chained).enumerate() {
        let largest = a.iter().fold(1e-6f32, |most, v| most.max(v.abs()));
        assert!(a.iter().any(|v| *v != 0.0), "part {part} is all zeros");
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-6 * largest, "part {part}: {a} and {b}");
        }
    }
    assert!(beside.take().is_empty(), "a second look finds nothing");
}

#[test]
fn pooling_and_two_units() {
    for norm in [Norm::Instance, Norm::Group { groups: 2 }, Norm::Batch] {
        let (first, mut weights) = unit("first", 3, 4, norm);
        let (second, more) = unit("second", 4, 6, norm);
        weights.extend(more);
        let steps = [Step::Pool, Step::Unit(first), Step::Unit(second)];
        agree(&[var("x", &[2, 4, 6, 4, 3])], &weights, &steps);
    }
}

#[test]
fn the_way_up_to_the_logits() {
    let up = var("up", &[5, 2, 2, 2, 4]);
    let (first, mut weights) = unit("first", 5 + 3, 4, Norm::Instance);
    let (second, more) = unit("second", 4, 4, Norm::Instance);
    let (head, bias) = (var("head", &[3, 1, 1, 1, 4]), var("bias", &[3]));
    let steps = [
        Step::Rise {
            up: up.as_tensor().clone(),
            unit: first,
        },
        Step::Unit(second),
        Step::Head {
            weight: head.as_tensor().clone(),
            bias: bias.as_tensor().clone(),
        },
    ];
    weights.extend(more);
    weights.extend([up, head, bias]);
    let inputs = [var("x", &[2, 2, 3, 2, 4]), var("skip", &[2, 4, 6, 4, 3])];
    agree(&inputs, &weights, &steps);
}

#[test]
fn a_weight_used_twice_gathers_both_gradients() {
    let (shared, weights) = unit("shared", 3, 3, Norm::Instance);
    let steps = [Step::Unit(shared.clone()), Step::Unit(shared)];
    agree(&[var("x", &[1, 4, 4, 4, 3])], &weights, &steps);
}

#[test]
fn misfits_are_named() {
    let (unit, _) = unit("unit", 3, 3, Norm::Instance);
    let beside = Beside::default();
    let x = var("x", &[1, 2, 2, 2, 5]);
    let refused = |inputs: &[&Tensor], steps: Vec<Step>| {
        chain(Some(&beside), inputs, steps).unwrap_err().to_string()
    };
    let error = refused(&[x.as_tensor()], vec![Step::Unit(unit.clone())]);
    assert!(error.contains("5 channels"), "{error}");
    let up = var("up", &[2, 2, 2, 2, 5]).into_inner();
    let error = refused(&[x.as_tensor()], vec![Step::Rise { up, unit }]);
    assert!(error.contains("1 inputs"), "{error}");
}
