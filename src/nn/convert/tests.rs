//! Against PyTorch: `tests/reference/cmc.py` says how the numbers were made.

use super::{Fate, convert, fate, read_pth};
use crate::nn::check::values;
use crate::nn::network::NetworkSpec;
use crate::nn::params::Params;
use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use std::path::PathBuf;

fn reference() -> Value {
    serde_json::from_str(include_str!("../../../tests/reference/cmc.json")).unwrap()
}

fn list<T>(value: &Value, of: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    let list = value.as_array().unwrap();
    list.iter().map(|v| of(v).unwrap()).collect()
}

/// `fill` of `tests/reference/cmc.py`.
fn fill(name: &str, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let bytes = name.bytes().enumerate();
    let key: i64 = bytes.map(|(i, b)| (i as i64 + 1) * i64::from(b)).sum();
    let scale = if shape.len() > 1 {
        let fan_in = count / shape[0];
        f64::from(1u32 << (6 + fan_in.ilog2() / 2))
    } else {
        512.0
    };
    let one = if shape.len() == 1 && name.ends_with("weight") {
        1.0
    } else {
        0.0
    };
    let values: Vec<f32> = (0..count as i64)
        .map(|at| (at * 7919 + at / 11 * 104_729 + key * 31).rem_euclid(257) - 128)
        .map(|v| (v as f64 / scale + one) as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn state() -> Vec<(String, Tensor)> {
    list(&reference()["names"], |entry| {
        let shape = list(&entry[1], |v| v.as_u64().map(|v| v as usize));
        let name = entry[0].as_str()?;
        Some((name.to_owned(), fill(name, &shape)))
    })
}

#[test]
fn the_forward_pass_equals_pytorchs() {
    let reference = reference();
    let converted = convert(&state()).unwrap();
    assert!(converted.missing.is_empty() && converted.ignored.is_empty());
    assert_eq!(converted.classes, Some(3));
    let mut params = Params::new(0, &Device::Cpu);
    let network = NetworkSpec::Cmc(converted.network)
        .build(2, 3, &mut params)
        .unwrap();
    params.set(&converted.tensors).unwrap();
    let image = |m: usize| {
        let image = fill(&format!("image{m}"), &[2, 1, 16, 16, 16]);
        Some(image.reshape((2, 16, 16, 16, 1)).unwrap())
    };
    let output = network.forward(&[image(0), image(1)]).unwrap();
    let index = list(&reference["index"], |v| v.as_u64().map(|v| v as usize));
    for (m, logits) in output.logits.iter().enumerate() {
        let found = values(logits.as_ref().unwrap());
        let expected = list(&reference["logits"][m], Value::as_f64);
        let rms = reference["rms"][m].as_f64().unwrap();
        let worst = index
            .iter()
            .zip(&expected)
            .map(|(&i, e)| (f64::from(found[i]) - e).abs() / rms)
            .fold(0.0, f64::max);
        println!("modality {m}: largest difference {worst:.1e} of the root mean square");
        assert!(worst < 1e-4, "{worst}");
    }
}

#[test]
fn nested_weights_of_a_unet_become_encoder_and_decoder() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference/clip.pth");
    let read = read_pth(&path, None).unwrap();
    let converted = convert(&read).unwrap();
    let names: Vec<&str> = converted.tensors.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(
        names,
        [
            "encoder.shared.level0.conv1.weight",
            "encoder.shared.level0.norm1.weight",
            "encoder.shared.level0.norm1.bias",
            "encoder.shared.level0.conv2.weight",
            "encoder.shared.level0.norm2.weight",
            "encoder.shared.level0.norm2.bias",
            "decoder.shared.level0.up.weight",
        ]
    );
    assert_eq!(converted.ignored, ["module.organ_embedding"]);
    assert!(
        converted
            .missing
            .contains(&"fusion.conv1.weight".to_owned())
    );
    // Stored as f16, inputs second; a transposed convolution has its inputs first.
    let source = |name: &str| {
        let list = state();
        list.into_iter().find(|(n, _)| n == name).unwrap().1
    };
    let kernel = source("image_encoder.down_tr64.ops.1.conv1.weight");
    let kernel = kernel
        .to_dtype(DType::F16)
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap();
    let expected = kernel.permute((0, 2, 3, 4, 1)).unwrap();
    assert_eq!(values(&converted.tensors[3].1), values(&expected));
    let up = source("decoder.up_tr64.up_conv.weight");
    assert_eq!(
        values(&converted.tensors[6].1),
        values(&up.permute((1, 2, 3, 4, 0)).unwrap())
    );
}

#[test]
fn what_does_not_fit_is_named() {
    let mut broken = state();
    broken.retain(|(name, _)| name != "fusion_layer.layer2.bn1.weight");
    broken[0].1 = Tensor::zeros((1, 1, 5, 5, 5), DType::F32, &Device::Cpu).unwrap();
    let message = convert(&broken).unwrap_err().to_string();
    assert!(
        message.contains("`fusion.norm2.weight` is missing"),
        "{message}"
    );
    assert!(
        message.contains("level0.conv1.weight` is [1, 5, 5, 5, 1]"),
        "{message}"
    );
    let other = vec![("fc.weight".to_owned(), fill("w", &[2, 2]))];
    let message = convert(&other).unwrap_err().to_string();
    assert!(message.contains("`fc.weight`"), "{message}");
    let nowhere = read_pth(std::path::Path::new("no.pth"), None).unwrap_err();
    assert!(nowhere.to_string().contains("no.pth"), "{nowhere}");
    assert_eq!(
        fate("image_encoder.down_tr96.ops.0.conv1.weight"),
        Fate::Ignored
    );
    assert_eq!(fate("decoder.up_tr64.ops.1.conv1.bias"), Fate::Dropped);
}
