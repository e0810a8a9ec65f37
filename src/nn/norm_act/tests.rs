use super::{Activation, EPS, Norm, norm_act};
use crate::nn::check::{check_op, check_threads, normals, values};
use candle_core::{DType, Device, Tensor, Var};

fn direct(v: &[Vec<f64>], n: usize, c: usize, groups: usize, slope: f64) -> Vec<f64> {
    let (x, scale, shift) = (&v[0], &v[1], &v[2]);
    let (per_sample, width) = (x.len() / n, c / groups);
    let mut y = vec![0.0; x.len()];
    for sample in 0..n {
        for group in 0..groups {
            let at: Vec<usize> = (sample * per_sample..(sample + 1) * per_sample)
                .filter(|i| i % c / width == group)
                .collect();
            let mean = at.iter().map(|&i| x[i]).sum::<f64>() / at.len() as f64;
            let variance = at.iter().map(|&i| (x[i] - mean).powi(2)).sum::<f64>() / at.len() as f64;
            for i in at {
                let u = scale[i % c] * (x[i] - mean) / (variance + EPS).sqrt() + shift[i % c];
                y[i] = if u > 0.0 { u } else { u * slope };
            }
        }
    }
    y
}

#[test]
fn agrees_with_the_definition_and_its_differences() {
    let cases: &[(&[usize], Norm, Activation)] = &[
        (&[1, 3, 4, 5, 4], Norm::Instance, Activation::None),
        (&[2, 3, 4, 5, 6], Norm::Instance, Activation::Relu),
        (
            &[2, 2, 3, 5, 8],
            Norm::Group { groups: 2 },
            Activation::LeakyRelu(0.01),
        ),
        (
            &[1, 2, 3, 5, 6],
            Norm::Group { groups: 1 },
            Activation::Relu,
        ),
        (&[3, 2, 3, 2, 4], Norm::Batch, Activation::Relu),
        (&[3, 7, 5], Norm::Instance, Activation::LeakyRelu(0.2)),
    ];
    for &(shape, norm, act) in cases {
        let (n, c) = (shape[0], shape[shape.len() - 1]);
        let groups = match norm {
            Norm::Instance | Norm::Batch => c,
            Norm::Group { groups } => groups,
        };
        let n = if norm == Norm::Batch { 1 } else { n };
        // A mean well away from zero.
        let x = normals("x", shape.iter().product())
            .iter()
            .map(|v| v * 2.0 + 3.0)
            .collect();
        let scale = normals("scale", c).iter().map(|v| 1.0 + 0.3 * v).collect();
        check_op(
            &format!("norm_act {shape:?} {norm:?} {act:?}"),
            &[(shape, x), (&[c], scale), (&[c], normals("shift", c))],
            2e-5,
            |t| norm_act(&t[0], &t[1], &t[2], norm, act),
            |v| direct(v, n, c, groups, f64::from(act.slope())),
        );
    }
}

#[test]
fn many_pieces_and_a_far_mean_keep_their_digits() {
    let shape = [1, 30, 40, 50, 4];
    let x: Vec<f32> = normals("x", shape.iter().product())
        .iter()
        .map(|v| v + 500.0)
        .collect();
    let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
    let (one, zero) = (
        Tensor::ones(4, DType::F32, &Device::Cpu).unwrap(),
        Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap(),
    );
    let y = norm_act(
        &Tensor::from_vec(x, &shape[..], &Device::Cpu).unwrap(),
        &one,
        &zero,
        Norm::Instance,
        Activation::None,
    );
    let expected = direct(&[wide, vec![1.0; 4], vec![0.0; 4]], 1, 4, 4, 1.0);
    let worst = values(&y.unwrap())
        .iter()
        .zip(&expected)
        .map(|(y, e)| (f64::from(*y) - e).abs())
        .fold(0.0, f64::max);
    println!("norm_act at mean 500: largest difference {worst:.1e}");
    // One unit in the last place of the input is 3e-5.
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn a_constant_sample_gives_shift_and_no_nan() {
    let x = Var::ones((1, 2, 2, 2, 3), DType::F32, &Device::Cpu).unwrap();
    let scale = Var::ones(3, DType::F32, &Device::Cpu).unwrap();
    let shift = Var::zeros(3, DType::F32, &Device::Cpu).unwrap();
    let y = norm_act(&x, &scale, &shift, Norm::Instance, Activation::Relu).unwrap();
    let grads = y.sum_all().unwrap().backward().unwrap();
    // At exactly 0 the gradient of relu is 0.
    for tensor in [
        &y,
        grads.get(&x).unwrap(),
        grads.get(&scale).unwrap(),
        grads.get(&shift).unwrap(),
    ] {
        assert!(values(tensor).iter().all(|&v| v == 0.0), "{tensor}");
    }
}

#[test]
fn does_not_depend_on_threads() {
    check_threads("norm_act", || {
        let x = Var::from_vec(
            normals("x", 2 * 20 * 21 * 22 * 8),
            (2, 20, 21, 22, 8),
            &Device::Cpu,
        )
        .unwrap();
        let (scale, shift) = (
            Var::from_vec(normals("a", 8), 8, &Device::Cpu).unwrap(),
            Var::from_vec(normals("b", 8), 8, &Device::Cpu).unwrap(),
        );
        let y = norm_act(
            &x,
            &scale,
            &shift,
            Norm::Group { groups: 4 },
            Activation::Relu,
        )
        .unwrap();
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let mut all = vec![y];
        all.extend([&x, &scale, &shift].map(|v| grads.get(v).unwrap().clone()));
        all
    });
}

#[test]
fn errors_name_what_does_not_fit() {
    let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let (x, c) = (tensor(&[1, 2, 2, 2, 6]), tensor(&[6]));
    let message = |r: candle_core::Result<Tensor>| r.unwrap_err().to_string();
    assert!(
        message(norm_act(
            &x,
            &c,
            &c,
            Norm::Group { groups: 4 },
            Activation::None
        ))
        .contains("4 groups")
    );
    assert!(
        message(norm_act(
            &x,
            &tensor(&[5]),
            &c,
            Norm::Instance,
            Activation::None
        ))
        .contains("scale of shape [6]")
    );
}
