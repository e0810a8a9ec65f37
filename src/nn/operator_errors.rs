//! Every operator against PyTorch: values and gradients made by `tests/reference/nn.py`.
//!
//! `cargo test --lib operator_errors -- --nocapture` prints the largest relative error of each.

use super::adamw::{AdamW, AdamWConfig};
use super::channel_dropout::channel_dropout;
use super::check::{largest_error, rms, values};
use super::cmc::mia::mia;
use super::conv_transpose3d::conv_transpose3d;
use super::conv3d::{conv3d, conv3d_joined, conv3d_stride2};
use super::dice_ce::DiceCe;
use super::ema;
use super::gradients::Gradients;
use super::max_pool3d::max_pool3d;
use super::norm_act::{Activation, Norm, norm_act};
use super::params::{Init, Params};
use super::sgd::{Sgd, SgdConfig};
use super::upsample3d::upsample3d;
use candle_core::{Device, Result, Tensor, Var};
use serde_json::Value;

const REFERENCE: &str = include_str!("../../tests/reference/nn.json");

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

/// Largest error of a tensor, relative to the value and the root mean square of all.
fn error(found: &Tensor, expected: &Value) -> f64 {
    let expected = numbers(&expected["values"]);
    let found: Vec<f64> = values(found).into_iter().map(f64::from).collect();
    assert_eq!(found.len(), expected.len());
    largest_error(&found, &expected, rms(&expected))
}

/// One variable that holds `start`.
fn parameter(start: &Tensor) -> Params {
    let mut params = Params::new(0, &Device::Cpu);
    params.get("p", start.dims(), Init::Const(0.0)).unwrap();
    params.set(&[("p".to_owned(), start.clone())]).unwrap();
    params
}

/// `gradient` as one that a backward pass found.
fn gradients(params: &Params, gradient: &Tensor) -> Gradients {
    let mut gradients = Gradients::zeros(params).unwrap();
    let loss = (params.named()[0].1.as_tensor() * gradient).unwrap();
    let store = loss.sum_all().unwrap().backward().unwrap();
    gradients.add(store, params).unwrap();
    gradients
}

fn clip(gradients: &mut Gradients) {
    let norm = gradients.global_norm().unwrap();
    gradients.clip(norm, 1.5).unwrap();
}

/// What changes parameters: no gradients of its own.
fn optimised(op: &str, options: &Value, inputs: &[Tensor]) -> Option<Tensor> {
    let params = parameter(&inputs[0]);
    match op {
        "adamw" => {
            let config = AdamWConfig {
                weight_decay: 0.1,
                ..AdamWConfig::default()
            };
            let mut adamw = AdamW::new(&params, config);
            for gradient in &inputs[1..] {
                let mut gradients = gradients(&params, gradient);
                clip(&mut gradients);
                adamw.step(&gradients, 0.05).unwrap();
            }
        }
        "sgd" => {
            let config = SgdConfig {
                momentum: 0.9,
                weight_decay: 0.1,
            };
            let mut sgd = Sgd::new(&params, config).unwrap();
            for gradient in &inputs[1..] {
                let mut gradients = gradients(&params, gradient);
                clip(&mut gradients);
                sgd.step(&gradients, 0.05).unwrap();
            }
        }
        "ema" => {
            let step = options["step"].as_u64().unwrap();
            ema::follow(&params, &parameter(&inputs[1]), step, 0.99).unwrap();
        }
        _ => return None,
    }
    Some(params.named()[0].1.as_tensor().clone())
}

fn forward(op: &str, options: &Value, t: &[Tensor]) -> Option<Result<Tensor>> {
    let number = |name: &str| options[name].as_f64().unwrap();
    let flag = |name: &str| options[name].as_bool().unwrap();
    Some(match op {
        "conv3d" if number("stride") == 2.0 => conv3d_stride2(&t[0], &t[1]),
        "conv3d" => conv3d(&t[0], &t[1]),
        "conv3d_joined" => conv3d_joined(&t[0], &t[1], &t[2]),
        "conv_transpose3d" => conv_transpose3d(&t[0], &t[1]),
        "max_pool3d" => max_pool3d(&t[0]),
        "upsample3d" => upsample3d(&t[0]),
        "norm_act" => {
            let norm = match options["norm"].as_str().unwrap() {
                "group" => Norm::Group {
                    groups: number("groups") as usize,
                },
                "batch" => Norm::Batch,
                _ => Norm::Instance,
            };
            norm_act(
                &t[0],
                &t[1],
                &t[2],
                norm,
                Activation::LeakyRelu(number("slope")),
            )
        }
        "mia" => mia(&t[0], &t[1]),
        "channel_dropout" => {
            let mask: Vec<f32> = numbers(&options["mask"])
                .iter()
                .map(|&v| v as f32)
                .collect();
            channel_dropout(
                &t[0],
                &Tensor::from_vec(mask, (2, 4), &Device::Cpu).unwrap(),
            )
        }
        "dice_ce" => {
            let target: Vec<u8> = numbers(&options["target"])
                .iter()
                .map(|&v| v as u8)
                .collect();
            let target = Tensor::from_vec(target, &t[0].dims()[..4], &Device::Cpu).unwrap();
            let weights = options["class_weights"].as_array();
            let config = DiceCe {
                squared: flag("squared"),
                include_background: flag("background"),
                class_weights: weights
                    .map(|w| w.iter().map(|v| v.as_f64().unwrap() as f32).collect()),
                ..DiceCe::default()
            };
            config.loss(&t[0], &target)
        }
        // The floor above checks this one: its loss is composed there.
        "nt_xent" => return None,
        _ => panic!("the reference has an operator `{op}` that no test knows"),
    })
}

#[test]
fn operator_errors() {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    let cases = reference["cases"].as_array().unwrap();
    println!(
        "largest relative error against PyTorch {}",
        reference["torch"]
    );
    println!("{:34} {:>9}  gradients", "operator", "forward");
    let (mut checked, mut worst) = (0, 0f64);
    for case in cases {
        let (op, options) = (case["op"].as_str().unwrap(), &case["options"]);
        let inputs: Vec<Tensor> = case["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(tensor)
            .collect();
        let (output, found) = if case["weights"].is_null() {
            (optimised(op, options, &inputs).unwrap(), vec![])
        } else {
            let vars: Vec<Var> = inputs
                .iter()
                .map(|t| Var::from_tensor(t).unwrap())
                .collect();
            let inputs: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
            let Some(output) = forward(op, options, &inputs) else {
                continue;
            };
            let output = output.unwrap();
            let loss = (&output * tensor(&case["weights"]))
                .unwrap()
                .sum_all()
                .unwrap();
            let grads = loss.backward().unwrap();
            let found = inputs
                .iter()
                .map(|x| grads.get(x).unwrap().clone())
                .collect();
            (output, found)
        };
        let forward = error(&output, &case["output"]);
        let expected = case["gradients"].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{op}");
        let errors: Vec<f64> = found
            .iter()
            .zip(expected)
            .map(|(f, e)| error(f, e))
            .collect();
        let label = match options {
            Value::Object(o) if o.contains_key("norm") => format!("{op} {}", o["norm"]),
            Value::Object(o) if o.contains_key("stride") => {
                format!("{op} {} stride {}", case["inputs"][1]["shape"], o["stride"])
            }
            _ => op.to_owned(),
        };
        let listed: Vec<String> = errors.iter().map(|e| format!("{e:.1e}")).collect();
        println!("{label:34} {forward:9.1e}  {}", listed.join(" "));
        worst = errors.into_iter().fold(worst.max(forward), f64::max);
        checked += 1;
    }
    assert!(checked >= 18, "{checked} operators were checked");
    assert!(worst < 2e-5, "an operator is off by {worst:e}");
}
