use super::{DiceBce, IGNORE};
use crate::nn::check::{check_op, check_threads, normals, rng, values};
use candle_core::{DType, Device, Tensor, Var};

fn nested() -> DiceBce {
    DiceBce {
        regions: vec![vec![1, 2, 3], vec![2, 3], vec![3]],
        classes: 4,
        squared: false,
        smooth: 1e-5,
        dice_weight: 1.0,
        bce_weight: 1.0,
    }
}

/// Random labels, some of them ignored.
fn labels(count: usize, occurring: usize) -> Vec<u8> {
    let mut rng = rng("labels");
    let mut label = || match rng.chance(0.2) {
        true => IGNORE,
        false => rng.below(occurring) as u8,
    };
    (0..count).map(|_| label()).collect()
}

/// The definition, in f64.
fn direct(config: &DiceBce, z: &[f64], target: &[u8]) -> f64 {
    let regions = config.regions.len();
    let valid = || (0..target.len()).filter(|v| target[*v] != IGNORE);
    let (mut dice, mut scored, mut bce) = (0.0, 0, 0.0);
    for (r, classes) in config.regions.iter().enumerate() {
        let (mut both, mut predicted, mut truth) = (0.0, 0.0, 0.0);
        for voxel in valid() {
            let p = 1.0 / (1.0 + (-z[voxel * regions + r]).exp());
            let t = f64::from(u8::from(classes.contains(&target[voxel])));
            bce -= t * p.ln() + (1.0 - t) * (1.0 - p).ln();
            both += p * t;
            predicted += if config.squared { p * p } else { p };
            truth += t;
        }
        if truth > 0.0 {
            dice += 1.0 - (2.0 * both + config.smooth) / (predicted + truth + config.smooth);
            scored += 1;
        }
    }
    let bce = bce / (valid().count() * regions) as f64;
    config.dice_weight * dice / f64::from(scored.max(1)) + config.bce_weight * bce
}

/// Options, and how many of the classes occur.
fn cases() -> Vec<(DiceBce, usize)> {
    let apart = DiceBce {
        regions: vec![vec![1, 4], vec![2]],
        classes: 5,
        squared: true,
        smooth: 1.0,
        ..nested()
    };
    vec![
        (nested(), 4),
        // The innermost region has no voxel.
        (nested(), 3),
        (apart, 5),
        (
            DiceBce {
                dice_weight: 0.3,
                bce_weight: 0.0,
                smooth: 0.0,
                ..nested()
            },
            4,
        ),
        (
            DiceBce {
                dice_weight: 0.0,
                bce_weight: 2.0,
                regions: vec![vec![1, 2]],
                classes: 3,
                ..nested()
            },
            3,
        ),
        // Background only: no region is left in the Dice term.
        (nested(), 1),
    ]
}

#[test]
fn agrees_with_the_definition_and_its_differences() {
    for (config, occurring) in cases() {
        let dims = [2, 3, 4, 5, config.regions.len()];
        let target = labels(120, occurring);
        let tensor = Tensor::from_slice(&target, &dims[..4], &Device::Cpu).unwrap();
        let logits = normals("logits", dims.iter().product());
        let logits: Vec<f32> = logits.iter().map(|v| 2.0 * v).collect();
        type Form = fn(&DiceBce, &Tensor, &Tensor) -> candle_core::Result<Tensor>;
        let forms: [(&str, Form); 2] = [
            ("operator", DiceBce::loss),
            // What other devices do.
            ("composed", DiceBce::composed),
        ];
        for (name, form) in forms {
            check_op(
                &format!("dice_bce {name} {config:?}"),
                &[(&dims, logits.clone())],
                1e-5,
                |t| form(&config, &t[0], &tensor),
                |v| vec![direct(&config, &v[0], &target)],
            );
        }
    }
}

/// Loss and gradient of logits, by the operator and composed.
fn both_ways(config: &DiceBce, logits: &Var, target: &Tensor) -> [(f32, Vec<f32>); 2] {
    let forms = [
        config.loss(logits, target).unwrap(),
        config.composed(logits, target).unwrap(),
    ];
    forms.map(|loss| {
        let grads = loss.backward().unwrap();
        let gradient = values(grads.get(logits).unwrap());
        (loss.to_scalar::<f32>().unwrap(), gradient)
    })
}

#[test]
fn without_valid_voxels_loss_and_gradient_are_zero() {
    let logits = Var::from_vec(normals("z", 2 * 8 * 3), (2, 2, 2, 2, 3), &Device::Cpu).unwrap();
    let target = Tensor::full(IGNORE, (2, 2, 2, 2), &Device::Cpu).unwrap();
    let config = DiceBce {
        smooth: 0.0,
        ..nested()
    };
    for (loss, gradient) in both_ways(&config, &logits, &target) {
        assert_eq!(loss, 0.0);
        assert!(gradient.iter().all(|g| *g == 0.0));
    }
}

#[test]
fn ignored_voxels_count_nowhere() {
    let target = labels(120, 4);
    let tensor = Tensor::from_slice(&target, (2, 3, 4, 5), &Device::Cpu).unwrap();
    let plain = normals("z", 120 * 3);
    let changed = plain.iter().enumerate().map(|(i, z)| match target[i / 3] {
        IGNORE => -50.0 * z,
        _ => *z,
    });
    let changed: Vec<f32> = changed.collect();
    let of = |z: Vec<f32>| {
        let logits = Var::from_vec(z, (2, 3, 4, 5, 3), &Device::Cpu).unwrap();
        both_ways(&nested(), &logits, &tensor)
    };
    let (plain, changed) = (of(plain), of(changed));
    assert_eq!(plain, changed);
    for (_, gradient) in plain {
        let ignored = (0..360).filter(|i| target[i / 3] == IGNORE);
        assert!(ignored.map(|i| gradient[i]).all(|g| g == 0.0));
    }
}

#[test]
fn extreme_logits_stay_finite() {
    let z = vec![1e4f32, -1e4, 0.0, -1e4, 1e4, 0.0];
    let logits = Var::from_vec(z, (1, 1, 1, 2, 3), &Device::Cpu).unwrap();
    let target = Tensor::from_vec(vec![3u8, 0], (1, 1, 1, 2), &Device::Cpu).unwrap();
    for (loss, gradient) in both_ways(&nested(), &logits, &target) {
        // Two of six outputs are wrong by 1e4, two are undecided; Dice: found, missed, half.
        let bce = (2e4 + 2.0 * std::f32::consts::LN_2) / 6.0;
        let dice = (0.0 + 1.0 + 0.5) / 3.0;
        assert!((loss - bce - dice).abs() < 1e-2, "{loss}");
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        // At a logit of 0 the gradient of the entropy is p - t.
        assert!(gradient[2] < 0.0 && gradient[5] > 0.0, "{gradient:?}");
    }
}

#[test]
fn does_not_depend_on_threads() {
    let shape = (2, 30, 31, 32);
    let target = Tensor::from_vec(labels(2 * 30 * 31 * 32, 4), shape, &Device::Cpu).unwrap();
    check_threads("dice_bce", || {
        let z = normals("z", 2 * 30 * 31 * 32 * 3);
        let logits = Var::from_vec(z, (2, 30, 31, 32, 3), &Device::Cpu).unwrap();
        let loss = nested().loss(&logits, &target).unwrap();
        let grads = loss.backward().unwrap();
        vec![loss, grads.get(&logits).unwrap().clone()]
    });
}

#[test]
fn errors_name_label_and_outputs() {
    let logits = Tensor::zeros((1, 1, 1, 2, 3), DType::F32, &Device::Cpu).unwrap();
    let stray = Tensor::from_vec(vec![0u8, 4], (1, 1, 1, 2), &Device::Cpu).unwrap();
    let message =
        |config: DiceBce, target: &Tensor| config.loss(&logits, target).unwrap_err().to_string();
    assert!(message(nested(), &stray).contains("label 4 in the target, expected 0 to 3"));
    let words = stray.to_dtype(DType::U32).unwrap();
    assert!(message(nested(), &words).contains("u8 labels"));
    let other = DiceBce {
        regions: vec![vec![1]],
        ..nested()
    };
    assert!(message(other, &stray).contains("logits [n, d, h, w, 1], one output a region"));
    // Where a label cannot be looked for, it ends the training all the same.
    let loss = nested().composed(&logits, &stray).unwrap();
    assert!(loss.to_scalar::<f32>().unwrap().is_nan());
}
