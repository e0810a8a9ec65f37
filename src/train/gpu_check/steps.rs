//! What a step does with parameters: gradients summed and clipped, AdamW, the moving average.

use super::super::TrainError;
use super::finding::{Finding, largest_error, normals, values};
use crate::nn::adamw::{AdamW, AdamWConfig};
use crate::nn::ema;
use crate::nn::gradients::Gradients;
use crate::nn::params::{Init, Params};
use candle_core::{Device, Tensor};

/// Largest error: a few f32 operations a value, whose order is the same.
const TOLERANCE: f64 = 1e-5;

pub(super) fn compare(
    device: &Device,
    report: &mut dyn FnMut(Finding) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let (found, expected) = (run(device)?, run(&Device::Cpu)?);
    for ((part, found), (_, expected)) in found.iter().zip(&expected) {
        report(Finding {
            operator: "adamw, clipping, ema: 5 steps".to_owned(),
            values: "f32",
            part: (*part).to_owned(),
            error: largest_error(found, expected),
            tolerance: TOLERANCE,
        })?;
    }
    Ok(())
}

/// Five steps of `loss = sum(p t)` with a new `t` each, gradients of two passes summed and clipped.
fn run(device: &Device) -> Result<Vec<(&'static str, Vec<f32>)>, TrainError> {
    let build = || -> Result<Params, TrainError> {
        let mut params = Params::new(3, device);
        params.get("kernel", &[7, 3, 3, 3, 5], Init::HeNormal { fan_in: 135 })?;
        params.get("wide", &[300, 1000], Init::HeNormal { fan_in: 1000 })?;
        params.get("bias", &[13], Init::Const(0.5))?;
        Ok(params)
    };
    let (student, teacher) = (build()?, build()?);
    let mut optimizer = AdamW::new(&student, AdamWConfig::default());
    let mut gradients = Gradients::zeros(&student)?;
    let mut norms = Vec::new();
    for step in 0..5u64 {
        gradients.clear()?;
        for pass in 0..2 {
            let mut loss = Tensor::zeros((), candle_core::DType::F32, device)?;
            for (name, var) in student.named() {
                let values = normals(&format!("{name} {step} {pass}"), var.elem_count());
                let target = Tensor::from_vec(values, var.shape(), device)?;
                loss = (loss + (var.as_tensor() * target)?.sum_all()?)?;
            }
            gradients.add(loss.backward()?, &student)?;
        }
        gradients.scale(0.5)?;
        let norm = gradients.global_norm()?;
        gradients.clip(norm, 100.0)?;
        norms.push(norm as f32);
        optimizer.step(&gradients, 1e-2)?;
        ema::follow(&teacher, &student, step, 0.7)?;
    }
    let all = |params: &Params| -> candle_core::Result<Vec<f32>> {
        let each = params
            .named()
            .iter()
            .map(|(_, var)| values(var.as_tensor()));
        Ok(each.collect::<candle_core::Result<Vec<_>>>()?.concat())
    };
    let state = optimizer.state()?;
    let moments = state.iter().skip(1).map(|(_, tensor)| values(tensor));
    Ok(vec![
        ("gradient norms", norms),
        ("parameters", all(&student)?),
        ("moving average", all(&teacher)?),
        (
            "moments",
            moments.collect::<candle_core::Result<Vec<_>>>()?.concat(),
        ),
    ])
}
