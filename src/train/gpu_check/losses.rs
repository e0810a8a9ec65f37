//! Losses to compare, and label maps for them.

use crate::nn::dice_bce::DiceBce;
use crate::nn::dice_ce::{DiceCe, IGNORE};
use candle_core::{Device, Result, Tensor};

/// Losses of classes: name, number of classes, options.
pub(super) fn losses() -> Vec<(&'static str, usize, DiceCe)> {
    let weighted = |classes: usize| DiceCe {
        class_weights: Some((0..classes).map(|c| 0.5 + c as f32).collect()),
        squared: true,
        batch_dice: false,
        include_background: true,
        ..DiceCe::default()
    };
    vec![
        ("plain", 4, DiceCe::default()),
        ("weighted, squared, by sample", 3, weighted(3)),
        ("many classes", 20, weighted(20)),
        (
            "Dice alone",
            2,
            DiceCe {
                ce_weight: 0.0,
                ..DiceCe::default()
            },
        ),
    ]
}

/// Labels of every class, a ninth of them ignored.
pub(super) fn target(shape: &[usize], classes: usize, device: &Device) -> Result<Tensor> {
    let labels: Vec<u8> = (0..shape.iter().product::<usize>())
        .map(|i| match i % 9 {
            4 => IGNORE,
            _ => (i * 7 / 3 % classes) as u8,
        })
        .collect();
    Tensor::from_vec(labels, shape, device)
}

/// Losses of regions: name and options. On the device it is composed of tensor operators.
pub(super) fn region_losses() -> Vec<(&'static str, DiceBce)> {
    let nested = DiceBce {
        regions: vec![vec![1, 2, 3], vec![2, 3], vec![3]],
        classes: 4,
        squared: false,
        smooth: 1e-5,
        dice_weight: 1.0,
        bce_weight: 1.0,
    };
    let squared = DiceBce {
        regions: vec![vec![1, 2], vec![1]],
        classes: 3,
        squared: true,
        dice_weight: 0.5,
        ..nested.clone()
    };
    vec![("nested", nested), ("squared, weighted", squared)]
}
