use super::tile::{Path, Problem};
use super::{conv3d, conv3d_joined, conv3d_stride2};
use crate::nn::check::{check_op, check_threads, normals};
use candle_core::{DType, Device, Tensor, Var};

/// The definition, in f64.
fn direct(
    x: &[f64],
    [n, d, h, w, ci]: [usize; 5],
    k: &[f64],
    [kd, kh, kw]: [usize; 3],
    co: usize,
) -> Vec<f64> {
    let mut y = vec![0.0; n * d * h * w * co];
    let inside = |at: usize, step: usize, k: usize, size: usize| {
        (at + step).checked_sub(k / 2).filter(|&s| s < size)
    };
    for (voxel, out) in y.chunks_exact_mut(co).enumerate() {
        let (b, z, py, px) = (
            voxel / (d * h * w),
            voxel / (h * w) % d,
            voxel / w % h,
            voxel % w,
        );
        for (tap, (dz, dy, dx)) in (0..kd)
            .flat_map(|a| (0..kh).flat_map(move |b| (0..kw).map(move |c| (a, b, c))))
            .enumerate()
        {
            let (Some(sz), Some(sy), Some(sx)) = (
                inside(z, dz, kd, d),
                inside(py, dy, kh, h),
                inside(px, dx, kw, w),
            ) else {
                continue;
            };
            let source = &x[(((b * d + sz) * h + sy) * w + sx) * ci..][..ci];
            for (o, out) in out.iter_mut().enumerate() {
                let kernel = &k[(o * kd * kh * kw + tap) * ci..][..ci];
                *out += source.iter().zip(kernel).map(|(a, b)| a * b).sum::<f64>();
            }
        }
    }
    y
}

#[test]
fn agrees_with_the_definition_and_its_differences() {
    let cases: &[([usize; 5], [usize; 3], usize, Path)] = &[
        ([1, 4, 5, 6, 3], [1, 1, 1], 4, Path::Point),
        ([2, 3, 4, 5, 6], [1, 1, 1], 2, Path::Point),
        ([1, 5, 6, 7, 1], [3, 3, 3], 4, Path::Planar),
        ([2, 3, 5, 4, 2], [3, 3, 3], 3, Path::Planar),
        ([1, 3, 9, 33, 5], [1, 1, 3], 2, Path::Planar),
        ([1, 4, 5, 6, 8], [1, 3, 3], 5, Path::Gather),
        ([2, 3, 3, 4, 6], [3, 3, 3], 7, Path::Gather),
        ([1, 1, 1, 1, 8], [3, 3, 3], 9, Path::Gather),
        ([1, 2, 2, 3, 16], [3, 3, 3], 70, Path::Gather),
        ([1, 3, 5, 17, 6], [3, 3, 3], 5, Path::View),
        ([2, 2, 3, 9, 8], [5, 3, 1], 4, Path::Planar),
        ([2, 2, 3, 9, 16], [5, 3, 1], 4, Path::View),
        ([2, 4, 13, 40, 6], [3, 3, 3], 3, Path::View),
        ([1, 2, 30, 11, 4], [3, 3, 5], 3, Path::View),
        ([1, 4, 16, 16, 8], [3, 3, 3], 8, Path::Winograd),
        ([2, 5, 10, 15, 13], [3, 3, 3], 9, Path::Winograd),
        ([1, 27, 7, 8, 16], [3, 3, 3], 21, Path::Winograd),
        ([2, 1, 32, 31, 20], [3, 3, 3], 16, Path::Winograd),
    ];
    for &(shape, kernel, co, path) in cases {
        assert_eq!(
            Problem::new(shape, kernel, co).path,
            path,
            "{shape:?} {kernel:?}"
        );
        let [kd, kh, kw] = kernel;
        let kernel_shape = [co, kd, kh, kw, shape[4]];
        let name = format!("conv3d {shape:?} {kernel:?} -> {co}");
        let x = normals(&name, shape.iter().product());
        let w = normals("kernel", kernel_shape.iter().product());
        check_op(
            &name,
            &[(&shape, x), (&kernel_shape, w)],
            2e-5,
            |t| conv3d(&t[0], &t[1]),
            |v| direct(&v[0], shape, &v[1], kernel, co),
        );
    }
}

#[test]
fn stride_2_is_every_second_voxel() {
    for (shape, kernel, co) in [
        ([1, 4, 6, 8, 3], [3, 3, 3], 5),
        ([2, 5, 3, 7, 2], [3, 3, 3], 4),
        ([1, 4, 1, 5, 6], [1, 3, 5], 3),
        ([2, 3, 4, 4, 4], [1, 1, 1], 2),
        ([1, 1, 2, 2, 40], [3, 3, 3], 70),
    ] {
        let [n, d, h, w, ci] = shape;
        let kernel_shape = [co, kernel[0], kernel[1], kernel[2], ci];
        check_op(
            &format!("conv3d_stride2 {shape:?} {kernel:?} -> {co}"),
            &[
                (&shape, normals("x", shape.iter().product())),
                (&kernel_shape, normals("w", kernel_shape.iter().product())),
            ],
            2e-5,
            |t| conv3d_stride2(&t[0], &t[1]),
            |v| {
                let full = direct(&v[0], shape, &v[1], kernel, co);
                let even = |voxel: &usize| {
                    let (z, y, x) = (voxel / (h * w) % d, voxel / w % h, voxel % w);
                    z % 2 + y % 2 + x % 2 == 0
                };
                (0..n * d * h * w)
                    .filter(even)
                    .flat_map(|voxel| full[voxel * co..][..co].to_vec())
                    .collect()
            },
        );
    }
    check_threads("conv3d_stride2", || {
        let x = normals("x", 2 * 12 * 13 * 14 * 16);
        let x = Var::from_vec(x, (2, 12, 13, 14, 16), &Device::Cpu).unwrap();
        let w = Var::from_vec(normals("w", 64 * 27 * 16), (64, 3, 3, 3, 16), &Device::Cpu).unwrap();
        let y = conv3d_stride2(&x, &w).unwrap();
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        vec![
            y,
            grads.get(&x).unwrap().clone(),
            grads.get(&w).unwrap().clone(),
        ]
    });
}

#[test]
fn joined_inputs_are_one_volume() {
    let (a, b, co) = ([2, 3, 4, 9, 5], [2, 3, 4, 9, 7], 6);
    let kernel = [co, 3, 3, 3, 12];
    let join = |a: &[f64], b: &[f64]| -> Vec<f64> {
        let pairs = a.chunks_exact(5).zip(b.chunks_exact(7));
        pairs.flat_map(|(a, b)| [a, b].concat()).collect()
    };
    check_op(
        "conv3d_joined",
        &[
            (&a, normals("a", a.iter().product())),
            (&b, normals("b", b.iter().product())),
            (&kernel, normals("w", kernel.iter().product())),
        ],
        2e-5,
        |t| conv3d_joined(&t[0], &t[1], &t[2]),
        |v| direct(&join(&v[0], &v[1]), [2, 3, 4, 9, 12], &v[2], [3; 3], co),
    );
    let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let message = |a: &[usize], b: &[usize]| {
        let w = tensor(&[2, 3, 3, 3, 4]);
        conv3d_joined(&tensor(a), &tensor(b), &w)
            .unwrap_err()
            .to_string()
    };
    assert!(message(&[1, 2, 2, 2, 3], &[1, 2, 4, 2, 1]).contains("channels alone"));
    assert!(message(&[1, 2, 2, 2, 3], &[1, 2, 2, 2, 2]).contains("3 and 2 channels"));
}

#[test]
fn does_not_depend_on_threads() {
    for (shape, co) in [
        ([1, 24, 24, 24, 16], 16),
        ([2, 8, 8, 8, 32], 96),
        ([1, 16, 24, 32, 1], 16),
        ([1, 4, 4, 4, 64], 64),
    ] {
        check_threads(&format!("conv3d {shape:?}"), || {
            let x = Var::from_vec(
                normals("x", shape.iter().product()),
                &shape[..],
                &Device::Cpu,
            )
            .unwrap();
            let w = Var::from_vec(
                normals("w", co * 27 * shape[4]),
                &[co, 3, 3, 3, shape[4]][..],
                &Device::Cpu,
            )
            .unwrap();
            let y = conv3d(&x, &w).unwrap();
            let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            vec![
                y,
                grads.get(&x).unwrap().clone(),
                grads.get(&w).unwrap().clone(),
            ]
        });
    }
}

#[test]
fn an_image_gets_no_gradient() {
    let x = Tensor::ones((1, 4, 4, 4, 1), DType::F32, &Device::Cpu).unwrap();
    let w = Var::ones((2, 3, 3, 3, 1), DType::F32, &Device::Cpu).unwrap();
    let grads = conv3d(&x, &w)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    assert!(grads.get(&x).is_none() && grads.get(&w).is_some());
}

#[test]
fn errors_name_what_does_not_fit() {
    let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let message =
        |x: &[usize], w: &[usize]| conv3d(&tensor(x), &tensor(w)).unwrap_err().to_string();
    assert!(message(&[1, 4, 4, 4, 3], &[2, 3, 3, 3, 4]).contains("has 3 channels"));
    assert!(message(&[1, 4, 4, 4, 3], &[2, 2, 3, 3, 3]).contains("odd kernel sizes"));
    assert!(message(&[4, 4, 4, 3], &[2, 3, 3, 3, 3]).contains("[4, 4, 4, 3]"));
    let halves = tensor(&[1, 2, 2, 2, 1]).to_dtype(DType::F64).unwrap();
    assert!(
        conv3d(&halves, &tensor(&[1, 1, 1, 1, 1]))
            .unwrap_err()
            .to_string()
            .contains("f32")
    );
}
