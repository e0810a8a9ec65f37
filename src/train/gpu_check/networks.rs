//! Whole networks: logits, and the gradient of every parameter.

use super::super::TrainError;
use super::super::objective::supervised::supervised;
use super::finding::{Finding, largest_error, normals, values};
use crate::nn::cmc::CmcSpec;
use crate::nn::dice_ce::DiceCe;
use crate::nn::network::{Heads, NetworkSpec};
use crate::nn::params::Params;
use crate::nn::unet3d::{EncoderKind, Unet3dSpec};
use candle_core::{Device, Tensor};

/// Largest error after many layers, whose norms divide by small numbers.
const TOLERANCE: f64 = 2e-3;

pub(super) fn compare(
    device: &Device,
    report: &mut dyn FnMut(Finding) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let unet = Unet3dSpec {
        width: 8,
        depth: 3,
        ..Unet3dSpec::default()
    };
    let residual = NetworkSpec::Unet3d(Unet3dSpec {
        encoder: EncoderKind::Residual,
        ..unet.clone()
    });
    let unet = NetworkSpec::Unet3d(unet);
    let cmc = NetworkSpec::Cmc(CmcSpec {
        width: 4,
        depth: 3,
        fusion_groups: 4,
        ..CmcSpec::default()
    });
    let networks = [
        ("unet3d", unet),
        ("unet3d residual", residual),
        ("cmc", cmc),
    ];
    for (name, spec) in networks {
        let (found, expected) = (run(&spec, device)?, run(&spec, &Device::Cpu)?);
        for (part, (found, expected)) in ["logits", "gradients"]
            .into_iter()
            .zip(found.iter().zip(&expected))
        {
            // A parameter at a time: small gradients must not hide behind large ones.
            let errors = found.iter().zip(expected);
            report(Finding {
                operator: format!("network {name}"),
                values: "f32",
                part: part.to_owned(),
                error: errors.map(|(f, e)| largest_error(f, e)).fold(0.0, f64::max),
                tolerance: TOLERANCE,
            })?;
        }
    }
    Ok(())
}

fn run(spec: &NetworkSpec, device: &Device) -> Result<[Vec<Vec<f32>>; 2], TrainError> {
    let (shape, classes) = ([2, 16, 16, 16], 3);
    let mut params = Params::new(7, device);
    let network = spec.build(2, classes, &mut params)?;
    let voxels: usize = shape.iter().product();
    let images = ["first", "second"].map(|name| {
        let [n, d, h, w] = shape;
        Tensor::from_vec(normals(name, voxels), (n, d, h, w, 1), device).map(Some)
    });
    let images = images
        .into_iter()
        .collect::<candle_core::Result<Vec<_>>>()?;
    let output = network.forward(&images)?;
    let labels: Vec<u8> = (0..voxels).map(|i| (i / 5 % classes) as u8).collect();
    let labels = Tensor::from_vec(labels, &shape, device)?;
    let heads = match network.heads() {
        Heads::Joint => 1,
        Heads::PerModality => 2,
    };
    let loss = supervised(
        &output.logits,
        &vec![Some(labels); heads],
        &DiceCe::default(),
    )?;
    let loss = loss.ok_or_else(|| candle_core::Error::msg("the network gave no logits"))?;
    let grads = loss.backward()?;
    let logits = output.logits.iter().flatten().map(values);
    let gradients = params
        .named()
        .iter()
        .filter_map(|(_, var)| grads.get(var.as_tensor()))
        .map(values);
    Ok([
        logits.collect::<candle_core::Result<_>>()?,
        gradients.collect::<candle_core::Result<_>>()?,
    ])
}
