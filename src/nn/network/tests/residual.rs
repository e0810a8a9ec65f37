//! The residual encoder against nnU-Net's own, by `tests/reference/residual_unet.py`.

use super::*;
use crate::nn::testing::values;
use serde_json::Value;

const REFERENCE: &str = include_str!("../../../../tests/reference/residual_unet.json");

fn tensor(value: &Value) -> Tensor {
    let numbers = |key: &str| -> Vec<f64> {
        let list = value[key].as_array().unwrap();
        list.iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let shape: Vec<usize> = numbers("shape").into_iter().map(|v| v as usize).collect();
    let values: Vec<f32> = numbers("values").into_iter().map(|v| v as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

#[test]
fn the_forward_pass_equals_nnunets() {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    let spec = Unet3dSpec {
        width: 2,
        depth: 3,
        max_width: 4,
        encoder: EncoderKind::Residual,
        blocks: Some(vec![1, 2, 1]),
        ..Unet3dSpec::default()
    };
    let mut params = params();
    let network = NetworkSpec::Unet3d(spec).build(1, 2, &mut params).unwrap();
    let weights: Vec<(String, Tensor)> = (reference["weights"].as_object().unwrap().iter())
        .map(|(name, value)| (name.clone(), tensor(value)))
        .collect();
    params.set(&weights).unwrap();
    let output = network
        .forward(&[Some(tensor(&reference["image"]))])
        .unwrap();
    let (found, expected) = (
        values(output.logits[0].as_ref().unwrap()),
        values(&tensor(&reference["logits"])),
    );
    let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            (found - expected).abs() < 1e-5 * largest,
            "{found} {expected}"
        );
    }
}

#[test]
fn nnunets_widths_give_its_number_of_parameters() {
    let spec = Unet3dSpec {
        width: 32,
        depth: 6,
        max_width: 320,
        encoder: EncoderKind::Residual,
        deep_supervision: true,
        ..Unet3dSpec::default()
    };
    let mut params = params();
    NetworkSpec::Unet3d(spec).build(1, 3, &mut params).unwrap();
    assert_eq!(params.count(), 102_336_719);
}

#[test]
fn blocks_that_do_not_fit_are_refused() {
    let check = |encoder, blocks: &[usize]| {
        let spec = Unet3dSpec {
            encoder,
            blocks: Some(blocks.to_vec()),
            ..Unet3dSpec::default()
        };
        spec.check().unwrap_err()
    };
    assert!(check(EncoderKind::Plain, &[1; 4]).contains("belongs to `encoder: residual`"));
    assert!(check(EncoderKind::Residual, &[1; 3]).contains("has 3 numbers, expected 4"));
    assert!(check(EncoderKind::Residual, &[1, 0, 1, 1]).contains("expected 1 to 16"));
}
