use super::{DiceCe, IGNORE};
use crate::nn::check::{check_op, check_threads, normals, rng, values};
use candle_core::{DType, Device, Tensor, Var};

/// The definition, in f64.
fn direct(config: &DiceCe, z: &[f64], target: &[u8], n: usize, k: usize) -> f64 {
    let softmax = |z: &[f64]| {
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        z.iter().map(|z| z.exp() / total).collect::<Vec<_>>()
    };
    let voxels: Vec<(usize, usize, Vec<f64>)> = target
        .iter()
        .enumerate()
        .filter(|(_, t)| **t != IGNORE)
        .map(|(i, &t)| {
            (
                i * n / target.len(),
                usize::from(t),
                softmax(&z[i * k..][..k]),
            )
        })
        .collect();
    let weight = |t: usize| {
        config
            .class_weights
            .as_ref()
            .map_or(1.0, |w| f64::from(w[t]))
    };
    let total: f64 = voxels.iter().map(|v| weight(v.1)).sum();
    let ce = voxels
        .iter()
        .map(|(_, t, p)| -weight(*t) * p[*t].ln())
        .sum::<f64>()
        / total;
    let mut scores = vec![];
    for sample in 0..if config.batch_dice { 1 } else { n } {
        for c in usize::from(!config.include_background)..k {
            let of: Vec<_> = voxels
                .iter()
                .filter(|v| config.batch_dice || v.0 == sample)
                .collect();
            let truth = of.iter().filter(|v| v.1 == c).count() as f64;
            let both: f64 = of.iter().filter(|v| v.1 == c).map(|v| v.2[c]).sum();
            let predicted: f64 = of
                .iter()
                .map(|v| {
                    if config.squared {
                        v.2[c].powi(2)
                    } else {
                        v.2[c]
                    }
                })
                .sum();
            if truth > 0.0 {
                scores.push((2.0 * both + config.smooth) / (predicted + truth + config.smooth));
            }
        }
    }
    let dice = if scores.is_empty() {
        0.0
    } else {
        1.0 - scores.iter().sum::<f64>() / scores.len() as f64
    };
    config.dice_weight * dice + config.ce_weight * ce
}

fn target(n: usize, shape: [usize; 3], classes: usize) -> Vec<u8> {
    let mut rng = rng("target");
    (0..n * shape.iter().product::<usize>())
        .map(|_| {
            if rng.chance(0.2) {
                IGNORE
            } else {
                rng.below(classes) as u8
            }
        })
        .collect()
}

#[test]
fn agrees_with_the_definition_and_its_differences() {
    let plain = DiceCe::default();
    let cases = [
        (plain.clone(), 3, 3),
        // Class 3 never occurs.
        (
            DiceCe {
                include_background: true,
                squared: true,
                ..plain.clone()
            },
            4,
            3,
        ),
        (
            DiceCe {
                batch_dice: false,
                smooth: 1.0,
                ..plain.clone()
            },
            3,
            3,
        ),
        (
            DiceCe {
                class_weights: Some(vec![0.5, 2.0, 0.0]),
                dice_weight: 0.3,
                ..plain.clone()
            },
            3,
            3,
        ),
        (
            DiceCe {
                dice_weight: 0.0,
                ce_weight: 2.0,
                ..plain.clone()
            },
            5,
            4,
        ),
        (
            DiceCe {
                ce_weight: 0.0,
                smooth: 0.0,
                ..plain.clone()
            },
            2,
            2,
        ),
        // Background only: no class is left in the Dice term.
        (plain, 2, 1),
    ];
    for (config, k, occurring) in cases {
        let (n, shape) = (2, [3, 4, 5]);
        let labels = target(n, shape, occurring);
        let dims = [n, shape[0], shape[1], shape[2], k];
        let tensor = Tensor::from_slice(&labels, &dims[..4], &Device::Cpu).unwrap();
        check_op(
            &format!("dice_ce {config:?}"),
            &[(
                &dims,
                normals("logits", dims.iter().product())
                    .iter()
                    .map(|v| 2.0 * v)
                    .collect(),
            )],
            1e-5,
            |t| config.loss(&t[0], &tensor),
            |v| vec![direct(&config, &v[0], &labels, n, k)],
        );
    }
}

#[test]
fn without_valid_voxels_loss_and_gradient_are_zero() {
    let logits = Var::from_vec(normals("z", 2 * 8 * 3), (2, 2, 2, 2, 3), &Device::Cpu).unwrap();
    let target = Tensor::full(IGNORE, (2, 2, 2, 2), &Device::Cpu).unwrap();
    for batch_dice in [true, false] {
        let loss = DiceCe {
            batch_dice,
            smooth: 0.0,
            ..DiceCe::default()
        }
        .loss(&logits, &target)
        .unwrap();
        let grads = loss.backward().unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
        assert!(
            values(grads.get(&logits).unwrap())
                .iter()
                .all(|&g| g == 0.0)
        );
    }
}

#[test]
fn extreme_logits_stay_finite() {
    let logits =
        Var::from_vec(vec![1e4f32, -1e4, -1e4, 1e4], (1, 1, 1, 2, 2), &Device::Cpu).unwrap();
    let target = Tensor::from_vec(vec![1u8, 1], (1, 1, 1, 2), &Device::Cpu).unwrap();
    let loss = DiceCe::default().loss(&logits, &target).unwrap();
    let grads = loss.backward().unwrap();
    // Half of the foreground found: Dice 2/3; one voxel wrong by 2e4.
    assert!((loss.to_scalar::<f32>().unwrap() - (1e4 + 1.0 / 3.0)).abs() < 1e-2);
    assert!(
        values(grads.get(&logits).unwrap())
            .iter()
            .all(|g| g.is_finite())
    );
}

#[test]
fn does_not_depend_on_threads() {
    let labels =
        Tensor::from_vec(target(2, [30, 31, 32], 3), (2, 30, 31, 32), &Device::Cpu).unwrap();
    check_threads("dice_ce", || {
        let logits = Var::from_vec(
            normals("z", 2 * 30 * 31 * 32 * 3),
            (2, 30, 31, 32, 3),
            &Device::Cpu,
        )
        .unwrap();
        let loss = DiceCe::default().loss(&logits, &labels).unwrap();
        let grads = loss.backward().unwrap();
        vec![loss, grads.get(&logits).unwrap().clone()]
    });
}

#[test]
fn errors_name_label_and_classes() {
    let logits = Tensor::zeros((1, 1, 1, 2, 3), DType::F32, &Device::Cpu).unwrap();
    let labels = Tensor::from_vec(vec![0u8, 3], (1, 1, 1, 2), &Device::Cpu).unwrap();
    let message =
        |config: DiceCe, target: &Tensor| config.loss(&logits, target).unwrap_err().to_string();
    assert!(
        message(DiceCe::default(), &labels)
            .contains("label 3 in the target, but the logits have 3 classes")
    );
    assert!(
        message(DiceCe::default(), &labels.to_dtype(DType::U32).unwrap()).contains("u8 labels")
    );
    let short = DiceCe {
        class_weights: Some(vec![1.0]),
        ..DiceCe::default()
    };
    assert!(message(short, &labels).contains("each of 3 classes"));
}
