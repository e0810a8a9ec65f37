//! NT-Xent over channels against PyTorch: `tests/reference/nn.py` says how the numbers were made.

use crate::nn::check::{largest_error, rms, values};
use crate::train::objective::csc::csc;
use candle_core::{Device, Tensor, Var};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

fn tensor(value: &Value) -> Tensor {
    let shape: Vec<usize> = numbers(&value["shape"])
        .iter()
        .map(|&v| v as usize)
        .collect();
    let values: Vec<f32> = numbers(&value["values"])
        .iter()
        .map(|&v| v as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

#[test]
fn nt_xent_over_channels_equals_pytorchs() {
    let text = include_str!("../../../../tests/reference/nn.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let cases = reference["cases"].as_array().unwrap();
    let case = cases.iter().find(|c| c["op"] == "nt_xent").unwrap();
    let inputs = case["inputs"].as_array().unwrap();
    let vars: Vec<Var> = inputs
        .iter()
        .map(|t| Var::from_tensor(&tensor(t)).unwrap())
        .collect();
    let temperature = case["options"]["temperature"].as_f64().unwrap();
    let loss = csc(vars[0].as_tensor(), vars[1].as_tensor(), temperature).unwrap();
    let error = |found: &Tensor, expected: &Value| {
        let expected = numbers(&expected["values"]);
        let found: Vec<f64> = values(found).into_iter().map(f64::from).collect();
        largest_error(&found, &expected, rms(&expected))
    };
    let mut errors = vec![error(&loss, &case["output"])];
    let weighted = (&loss * tensor(&case["weights"])).unwrap();
    let grads = weighted.backward().unwrap();
    for (var, expected) in vars.iter().zip(case["gradients"].as_array().unwrap()) {
        errors.push(error(grads.get(var).unwrap(), expected));
    }
    println!("nt_xent: largest relative errors {errors:?}");
    assert!(errors.iter().all(|e| *e < 2e-5), "{errors:?}");
}
