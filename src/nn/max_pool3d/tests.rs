use super::*;
use crate::nn::check::{check_op, check_threads, normals, values};
use candle_core::{DType, Device, Var};

fn direct(x: &[f64], size: [usize; 5]) -> Vec<f64> {
    let [n, d, h, w, c] = size;
    let step = |s: usize| if s == 1 { 1 } else { 2 };
    let (kd, kh, kw) = (step(d), step(h), step(w));
    let mut y = vec![f64::NEG_INFINITY; n * (d / kd) * (h / kh) * (w / kw) * c];
    for (at, &value) in x.iter().enumerate() {
        let (j, px, py, pz, b) = (
            at % c,
            at / c % w,
            at / c / w % h,
            at / c / w / h % d,
            at / c / w / h / d,
        );
        let target = (((b * (d / kd) + pz / kd) * (h / kh) + py / kh) * (w / kw) + px / kw) * c + j;
        y[target] = y[target].max(value);
    }
    y
}

#[test]
fn agrees_with_the_definition_and_its_differences() {
    for size in [
        [1, 4, 6, 8, 3],
        [2, 2, 2, 2, 5],
        [2, 1, 4, 6, 2],
        [1, 4, 1, 1, 7],
    ] {
        check_op(
            &format!("max_pool3d {size:?}"),
            &[(&size, normals("x", size.iter().product()))],
            1e-5,
            |t| max_pool3d(&t[0]),
            |v| direct(&v[0], size),
        );
    }
}

#[test]
fn the_first_of_equal_maxima_takes_the_gradient() {
    let x = Var::zeros((1, 2, 2, 2, 1), DType::F32, &Device::Cpu).unwrap();
    let grads = max_pool3d(&x)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    assert_eq!(
        values(grads.get(&x).unwrap()),
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    );
}

#[test]
fn does_not_depend_on_threads() {
    check_threads("max_pool3d", || {
        let x = Var::from_vec(
            normals("x", 2 * 12 * 14 * 16 * 5),
            (2, 12, 14, 16, 5),
            &Device::Cpu,
        )
        .unwrap();
        let y = max_pool3d(&x).unwrap();
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        vec![y, grads.get(&x).unwrap().clone()]
    });
}

#[test]
fn odd_sizes_are_named() {
    let x = Tensor::zeros((1, 4, 5, 6, 2), DType::F32, &Device::Cpu).unwrap();
    assert!(
        max_pool3d(&x)
            .unwrap_err()
            .to_string()
            .contains("[1, 4, 5, 6, 2]")
    );
}
