use candle_core::{Device, Tensor};

use super::*;
use crate::nn::cmc::{CmcSpec, Sharing};
use crate::nn::params::Params;
use crate::nn::testing::{bits, largest_difference, noise};
use crate::nn::unet3d::{EncoderKind, Unet3dSpec};

fn params() -> Params {
    Params::new(7, &Device::Cpu)
}

fn small_cmc() -> CmcSpec {
    CmcSpec {
        width: 2,
        depth: 2,
        ..CmcSpec::default()
    }
}

fn small_specs() -> [NetworkSpec; 3] {
    let unet = Unet3dSpec {
        width: 2,
        depth: 3,
        ..Unet3dSpec::default()
    };
    let residual = Unet3dSpec {
        encoder: EncoderKind::Residual,
        blocks: Some(vec![1, 2, 1]),
        ..unet.clone()
    };
    [
        NetworkSpec::Unet3d(unet),
        NetworkSpec::Unet3d(residual),
        NetworkSpec::Cmc(small_cmc()),
    ]
}

mod recompute;
mod residual;

fn image(n: usize, seed: u64) -> Tensor {
    noise(&[n, 8, 8, 4, 1], seed)
}

#[test]
fn any_non_empty_subset_of_three_modalities_is_accepted() {
    for spec in small_specs() {
        let network = spec.build(3, 4, &mut params()).unwrap();
        for subset in 1..8u32 {
            let images: Vec<Option<Tensor>> = (0..3)
                .map(|m| (subset >> m & 1 == 1).then(|| image(1, m)))
                .collect();
            let output = network.forward(&images).unwrap();
            match network.heads() {
                Heads::Joint => {
                    assert_eq!((output.logits.len(), output.features.len()), (1, 1));
                    let logits = output.logits[0].as_ref().unwrap();
                    assert_eq!(logits.dims(), [1, 8, 8, 4, 4]);
                }
                Heads::PerModality => {
                    for (m, image) in images.iter().enumerate() {
                        assert_eq!(output.logits[m].is_some(), image.is_some());
                        assert_eq!(output.features[m].is_some(), image.is_some());
                        if let Some(features) = &output.features[m] {
                            assert_eq!(features.dims(), [1, 4, 4, 2, 8]);
                        }
                    }
                }
            }
            let finite = |x: &Tensor| crate::nn::testing::values(x).iter().all(|v| v.is_finite());
            assert!(output.logits.iter().flatten().all(finite));
        }
    }
}

#[test]
fn a_missing_channel_of_the_unet_is_zeros() {
    let [spec, ..] = small_specs();
    let network = spec.build(2, 3, &mut params()).unwrap();
    let first = image(1, 1);
    let zeros = first.zeros_like().unwrap();
    let missing = network.forward(&[Some(first.clone()), None]).unwrap();
    let zeroed = network.forward(&[Some(first), Some(zeros)]).unwrap();
    let logits = |o: &Output| bits(o.logits[0].as_ref().unwrap());
    assert_eq!(logits(&missing), logits(&zeroed));
}

#[test]
fn a_missing_modality_changes_the_other_through_the_gate_alone() {
    for (fusion, same) in [(true, false), (false, true)] {
        let spec = CmcSpec {
            fusion,
            ..small_cmc()
        };
        let network = NetworkSpec::Cmc(spec).build(2, 3, &mut params()).unwrap();
        let both = network
            .forward(&[Some(image(1, 1)), Some(image(1, 2))])
            .unwrap();
        let alone = network.forward(&[Some(image(1, 1)), None]).unwrap();
        let [a, b] = [&both, &alone].map(|o| o.logits[0].clone().unwrap());
        assert_eq!(largest_difference(&a, &b) == 0.0, same, "fusion {fusion}");
        let [a, b] = [&both, &alone].map(|o| o.features[0].clone().unwrap());
        assert_eq!(bits(&a), bits(&b));
    }
}

#[test]
fn a_prediction_does_not_depend_on_its_batch_partner() {
    for spec in small_specs() {
        let network = spec.build(2, 3, &mut params()).unwrap();
        let case = [image(1, 1), image(1, 2)];
        let beside = |seed: u64, gain: f64| -> Vec<Tensor> {
            let images: Vec<Option<Tensor>> = (0..2)
                .map(|m| {
                    let partner = (image(1, seed + m as u64) * gain).unwrap();
                    Some(Tensor::cat(&[&case[m], &partner], 0).unwrap())
                })
                .collect();
            let output = network.forward(&images).unwrap();
            let own = |x: &Tensor| x.narrow(0, 0, 1).unwrap();
            output.logits.iter().flatten().map(own).collect()
        };
        let (first, second) = (beside(10, 1.0), beside(20, 50.0));
        let alone = network.forward(&case.clone().map(Some)).unwrap();
        for (m, alone) in alone.logits.iter().flatten().enumerate() {
            assert_eq!(bits(&first[m]), bits(&second[m]));
            let difference = largest_difference(&first[m], alone);
            assert!(difference < 1e-5, "{difference}");
        }
    }
}

#[test]
fn images_that_do_not_fit_are_named() {
    let network = NetworkSpec::Cmc(small_cmc())
        .build(2, 3, &mut params())
        .unwrap();
    let refusal = |images: &[Option<Tensor>]| network.forward(images).unwrap_err().to_string();
    let missing = refusal(&[None, None]);
    assert!(missing.contains("every modality is missing"), "{missing}");
    let number = refusal(&[Some(image(1, 1))]);
    assert!(number.contains("found 1 images, expected 2"), "{number}");
    let odd = refusal(&[Some(noise(&[1, 8, 7, 8, 1], 1)), None]);
    assert!(
        odd.contains("[8, 7, 8]") && odd.contains("stride 2"),
        "{odd}"
    );
    // One bottleneck voxel: an instance norm would erase the image.
    let tiny = refusal(&[Some(noise(&[1, 2, 2, 2, 1], 1)), None]);
    assert!(tiny.contains("at least one of 4 or more"), "{tiny}");
    let other = refusal(&[Some(image(1, 1)), Some(noise(&[1, 8, 8, 8, 1], 1))]);
    assert!(
        other.contains("modality 1") && other.contains("[1, 8, 8, 8, 1]"),
        "{other}"
    );
    let channels = refusal(&[Some(noise(&[1, 8, 8, 8, 2], 1)), None]);
    assert!(channels.contains("expected [n, d, h, w, 1]"), "{channels}");
}

#[test]
fn sharing_decides_which_parameters_exist() {
    let names = |sharing: Sharing| -> Vec<String> {
        let mut params = params();
        let spec = CmcSpec {
            encoders: sharing,
            decoders: sharing,
            ..small_cmc()
        };
        NetworkSpec::Cmc(spec).build(2, 3, &mut params).unwrap();
        params
            .named()
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    };
    // 2 encoder levels and 1 decoder level of two convolutions; gamma, fusion, convert, up, head.
    let convs = |copies: usize| copies * (4 + 2);
    let norms = |copies: usize| copies * 2 * (4 + 2);
    let rest = |kernels: usize, norms: usize| norms + 6 + norms * 2 + kernels * 2 + kernels * 3;
    let shared = names(Sharing::Shared);
    assert_eq!(shared.len(), convs(1) + norms(1) + rest(1, 1), "{shared:?}");
    let mixed = names(Sharing::SharedWithModalityNorms);
    assert_eq!(mixed.len(), convs(1) + norms(2) + rest(1, 2), "{mixed:?}");
    let separate = names(Sharing::Separate);
    assert_eq!(
        separate.len(),
        convs(2) + norms(2) + rest(2, 2),
        "{separate:?}"
    );
    for name in [
        "encoder.shared.level0.conv1.weight",
        "encoder.1.level1.norm2.bias",
        "mia.0.gamma",
        "fusion.conv2.weight",
        "decoder.shared.convert.conv.bias",
        "decoder.0.convert.norm.weight",
        "decoder.shared.level0.up.weight",
        "decoder.shared.head.weight",
    ] {
        assert!(mixed.iter().any(|n| n == name), "{name} not in {mixed:?}");
    }
    assert_eq!(mixed, names(Sharing::SharedWithModalityNorms));
}

#[test]
fn the_reference_size_has_the_reference_parameter_count() {
    let count = |sharing: Sharing| -> usize {
        let mut params = params();
        let spec = CmcSpec {
            width: 32,
            encoders: sharing,
            decoders: sharing,
            ..CmcSpec::default()
        };
        NetworkSpec::Cmc(spec).build(2, 14, &mut params).unwrap();
        let sizes = params.named().iter().map(|(_, var)| var.elem_count());
        sizes.sum()
    };
    let shared = count(Sharing::Shared);
    let mixed = count(Sharing::SharedWithModalityNorms);
    println!("cmc, width 32, depth 4: {shared} shared, {mixed} with modality norms");
    // The released model: 40.84 M, of which 6 k are biases in front of a norm.
    assert!((40_825_000..40_845_000).contains(&shared), "{shared}");
    assert!(mixed > shared && mixed < shared + 20_000, "{mixed}");
}

#[test]
fn a_description_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<NetworkSpec>(text);
    let spec = read(r#"{"cmc": {"encoders": "separate", "mia": false}}"#).unwrap();
    let expected = CmcSpec {
        encoders: Sharing::Separate,
        mia: false,
        ..CmcSpec::default()
    };
    assert_eq!(spec, NetworkSpec::Cmc(expected));
    assert_eq!(read(r#"{"unet3d": {}}"#).unwrap(), NetworkSpec::default());
    assert!(read(r#"{"cmc": {"widht": 3}}"#).is_err());
    let odd = read(r#"{"cmc": {"width": 3, "depth": 2}}"#).unwrap();
    let reason = odd.check().unwrap_err();
    assert!(
        reason.contains("`fusion_groups` is 16, expected a divisor of 24"),
        "{reason}"
    );
    let nothing = NetworkSpec::default().build(1, 0, &mut params());
    let reason = nothing.err().unwrap().to_string();
    assert!(reason.contains("found 0 outputs a head"), "{reason}");
}

#[test]
fn gates_and_heads_at_every_level_are_trained_and_take_any_subset() {
    use crate::nn::cmc::{FusionAt, Variant};
    for variant in [Variant::Repaired, Variant::Released] {
        let spec = CmcSpec {
            depth: 3,
            fusion_at: FusionAt::EveryLevel,
            fusion_groups: 4,
            deep_supervision: true,
            variant,
            ..small_cmc()
        };
        let mut params = params();
        let network = NetworkSpec::Cmc(spec).build(2, 3, &mut params).unwrap();
        let alone = network.forward(&[None, Some(image(1, 1))]).unwrap();
        assert!(alone.logits[0].is_none() && alone.deep[0][0].is_none());
        let coarser = alone.deep[0][1].as_ref().unwrap();
        assert_eq!(
            (alone.deep.len(), coarser.dims()),
            (1, &[1, 4, 4, 2, 3][..])
        );
        let both = network
            .forward(&[Some(image(1, 1)), Some(image(1, 2))])
            .unwrap();
        let heads = both
            .logits
            .iter()
            .chain(both.deep.iter().flatten())
            .flatten();
        let terms: Vec<Tensor> = heads
            .map(|x| x.sqr().unwrap().mean_all().unwrap())
            .collect();
        assert_eq!(terms.len(), 4);
        let loss = Tensor::stack(&terms, 0).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        for (name, var) in params.named() {
            assert!(
                grads.get(var.as_tensor()).is_some(),
                "{name} is not reached"
            );
        }
    }
    let unet = Unet3dSpec {
        width: 2,
        depth: 3,
        deep_supervision: true,
        ..Unet3dSpec::default()
    };
    let network = NetworkSpec::Unet3d(unet)
        .build(1, 3, &mut params())
        .unwrap();
    let output = network.forward(&[Some(image(1, 1))]).unwrap();
    let coarser = output.deep[0][0].as_ref().unwrap();
    assert_eq!(
        (output.deep.len(), coarser.dims()),
        (1, &[1, 4, 4, 2, 3][..])
    );
}

#[test]
fn gates_at_every_level_need_groups_that_divide_the_finest() {
    let spec = CmcSpec {
        fusion_at: crate::nn::cmc::FusionAt::EveryLevel,
        ..small_cmc()
    };
    let problem = spec.check().unwrap_err();
    assert!(problem.contains("divisor of 8"), "{problem}");
}
