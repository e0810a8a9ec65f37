//! Which parameters the label-free terms train.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};

use super::super::cac::cac_all;
use super::super::csc::csc_all;
use super::super::pseudo_label::{Normalize, consistency, pseudo_target};
use super::super::supervised::supervised;
use super::super::{CacSpec, CscSpec, ObjectiveSpec, PseudoLabelSpec, Term, Terms};
use crate::nn::cmc::{CmcSpec, Sharing};
use crate::nn::dice_ce::DiceCe;
use crate::nn::network::{Network, NetworkSpec};
use crate::nn::params::Params;
use crate::nn::testing::{noise, values};
use crate::nn::unet3d::{EncoderKind, Unet3dSpec};

const CLASSES: usize = 3;

fn network(sharing: Sharing, seed: u64) -> (Box<dyn Network>, Params) {
    let mut params = Params::new(seed, &Device::Cpu);
    let spec = NetworkSpec::Cmc(CmcSpec {
        width: 2,
        depth: 2,
        encoders: sharing,
        decoders: sharing,
        ..CmcSpec::default()
    });
    let network = spec.build(2, CLASSES, &mut params).unwrap();
    (network, params)
}

fn images(seed: u64) -> [Option<Tensor>; 2] {
    [0, 1].map(|m| Some(noise(&[2, 8, 8, 8, 1], seed + m)))
}

/// Names of the parameters with a gradient that is not all zero.
fn trained(params: &Params, grads: &GradStore) -> Vec<String> {
    let mut names = Vec::new();
    for (name, var) in params.named() {
        if let Some(grad) = grads.get(var) {
            let grad = values(grad);
            assert!(grad.iter().all(|g| g.is_finite()), "{name}");
            if grad.iter().any(|&g| g != 0.0) {
                names.push(name.clone());
            }
        }
    }
    names
}

fn all(params: &Params) -> Vec<String> {
    params
        .named()
        .iter()
        .map(|(name, _)| name.clone())
        .collect()
}

#[test]
fn without_any_label_every_parameter_of_the_student_is_trained_and_none_of_the_teacher() {
    for sharing in [
        Sharing::Shared,
        Sharing::SharedWithModalityNorms,
        Sharing::Separate,
    ] {
        let (student, student_params) = network(sharing, 1);
        let (teacher, teacher_params) = network(sharing, 2);
        let weak = teacher.forward(&images(10)).unwrap();
        let labels: Vec<Option<Tensor>> = (weak.logits.iter())
            .map(|logits| {
                let target = pseudo_target(logits.as_ref().unwrap(), &[0.4; CLASSES]).unwrap();
                assert!(target.valid_fraction > 0.1 && target.valid_fraction < 1.0);
                Some(target.labels)
            })
            .collect();
        let strong = student.forward(&images(20)).unwrap();
        let spec = ObjectiveSpec {
            supervised: None,
            csc: Some(CscSpec::default()),
            cac: Some(CacSpec::default()),
            pseudo_label: Some(PseudoLabelSpec::default()),
            ..ObjectiveSpec::default()
        };
        let loss = spec.pseudo_label.as_ref().unwrap().loss();
        let pseudo = consistency(&strong.logits, &labels, &loss, Normalize::Kept).unwrap();
        let mut terms = Terms::default();
        terms[Term::Csc] = csc_all(&strong.features, 0.5).unwrap();
        terms[Term::Cac] = cac_all(&strong.logits).unwrap();
        terms[Term::PseudoLabel] = pseudo;
        let total = spec.total(&terms, 1.0).unwrap().unwrap();
        let grads = total.backward().unwrap();
        assert_eq!(trained(&student_params, &grads), all(&student_params));
        for (name, var) in teacher_params.named() {
            assert!(
                grads.get(var).is_none(),
                "{name} of the teacher has a gradient"
            );
        }
    }
}

#[test]
fn each_term_alone_trains_the_parts_it_should_of_both_modalities() {
    let (student, params) = network(Sharing::Separate, 1);
    let output = student.forward(&images(20)).unwrap();
    let grads = csc_all(&output.features, 0.5).unwrap().unwrap();
    let by_csc = trained(&params, &grads.backward().unwrap());
    let encoders: Vec<String> = (all(&params).into_iter())
        .filter(|name| name.starts_with("encoder."))
        .collect();
    assert_eq!(by_csc, encoders);
    let grads = cac_all(&output.logits).unwrap().unwrap();
    assert_eq!(trained(&params, &grads.backward().unwrap()), all(&params));
    // One head's pseudo-labels reach the other modality's encoder through the gate alone.
    let label = Tensor::ones((2, 8, 8, 8), candle_core::DType::U8, &Device::Cpu).unwrap();
    let loss = PseudoLabelSpec::default().loss();
    let pseudo = consistency(&output.logits, &[Some(label), None], &loss, Normalize::All).unwrap();
    let by_pseudo = trained(&params, &pseudo.unwrap().backward().unwrap());
    let expected: Vec<String> = (all(&params).into_iter())
        .filter(|name| !name.starts_with("decoder.1."))
        .collect();
    assert_eq!(by_pseudo, expected);
}

#[test]
fn labels_train_every_parameter_of_every_network() {
    let unet = Unet3dSpec {
        width: 2,
        depth: 3,
        ..Unet3dSpec::default()
    };
    let residual = NetworkSpec::Unet3d(Unet3dSpec {
        encoder: EncoderKind::Residual,
        ..unet.clone()
    });
    let unet = NetworkSpec::Unet3d(unet);
    let lean = NetworkSpec::Cmc(CmcSpec {
        width: 2,
        depth: 3,
        mia: false,
        fusion: false,
        ..CmcSpec::default()
    });
    for spec in [unet, residual, lean] {
        let mut params = Params::new(3, &Device::Cpu);
        let network = spec.build(2, CLASSES, &mut params).unwrap();
        let output = network.forward(&images(20)).unwrap();
        let label = (noise(&[2, 8, 8, 8], 5).abs().unwrap() * 2.999).unwrap();
        let label = label.to_dtype(candle_core::DType::U8).unwrap();
        let targets = vec![Some(label); output.logits.len()];
        let loss = supervised(&output.logits, &targets, &DiceCe::default());
        let grads = loss.unwrap().unwrap().backward().unwrap();
        assert_eq!(trained(&params, &grads), all(&params));
    }
}

#[test]
fn a_term_before_its_start_is_left_out() {
    let spec = ObjectiveSpec {
        csc: Some(CscSpec {
            start: 0.5,
            ..CscSpec::default()
        }),
        ..ObjectiveSpec::default()
    };
    let one = |value: f32| Some(Tensor::new(value, &Device::Cpu).unwrap());
    let mut terms = Terms::default();
    terms[Term::Supervised] = one(2.0);
    terms[Term::Csc] = one(f32::NAN);
    let total = |progress: f64| {
        let total = spec.total(&terms, progress).unwrap().unwrap();
        total.to_scalar::<f32>().unwrap()
    };
    assert_eq!(total(0.0), 2.0);
    assert_eq!(total(0.49), 2.0);
    assert!(total(0.5).is_nan());
    let nothing = Terms::default();
    assert!(spec.total(&nothing, 1.0).unwrap().is_none());
}
