use super::*;
use crate::nn::check::{check_op, check_threads, normals};
use candle_core::{DType, Device, Var};

fn direct(
    x: &[f64],
    [n, d, h, w, ci]: [usize; 5],
    k: &[f64],
    [kd, kh, kw]: [usize; 3],
    co: usize,
) -> Vec<f64> {
    let mut y = vec![0.0; n * d * kd * h * kh * w * kw * co];
    for (at, out) in y.iter_mut().enumerate() {
        let (o, px, py, pz) = (
            at % co,
            at / co % (w * kw),
            at / co / (w * kw) % (h * kh),
            at / co / (w * kw) / (h * kh),
        );
        // Batch and depth together: the kernel divides the depth.
        let source = ((pz / kd * h + py / kh) * w + px / kw) * ci;
        let kernel = (((o * kd + pz % kd) * kh + py % kh) * kw + px % kw) * ci;
        *out = (0..ci).map(|i| x[source + i] * k[kernel + i]).sum();
    }
    y
}

#[test]
fn agrees_with_the_definition_and_its_differences() {
    for (shape, kernel, co) in [
        ([1, 2, 3, 4, 5], [2, 2, 2], 3),
        ([2, 1, 3, 2, 4], [1, 2, 2], 6),
        ([2, 3, 5, 61, 2], [2, 2, 2], 2),
        ([1, 1, 1, 1, 16], [2, 2, 2], 20),
    ] {
        let [kd, kh, kw] = kernel;
        let kernel_shape = [co, kd, kh, kw, shape[4]];
        check_op(
            &format!("conv_transpose3d {shape:?} {kernel:?} -> {co}"),
            &[
                (&shape, normals("x", shape.iter().product())),
                (&kernel_shape, normals("w", kernel_shape.iter().product())),
            ],
            1e-5,
            |t| conv_transpose3d(&t[0], &t[1]),
            |v| direct(&v[0], shape, &v[1], kernel, co),
        );
    }
}

#[test]
fn does_not_depend_on_threads() {
    check_threads("conv_transpose3d", || {
        let x = Var::from_vec(
            normals("x", 2 * 9 * 10 * 11 * 16),
            (2, 9, 10, 11, 16),
            &Device::Cpu,
        )
        .unwrap();
        let w = Var::from_vec(normals("w", 8 * 8 * 16), (8, 2, 2, 2, 16), &Device::Cpu).unwrap();
        let y = conv_transpose3d(&x, &w).unwrap();
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        vec![
            y,
            grads.get(&x).unwrap().clone(),
            grads.get(&w).unwrap().clone(),
        ]
    });
}

#[test]
fn channels_must_fit() {
    let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let error = conv_transpose3d(&ones(&[1, 2, 2, 2, 3]), &ones(&[4, 2, 2, 2, 5])).unwrap_err();
    assert!(error.to_string().contains("expects 5"), "{error}");
}
