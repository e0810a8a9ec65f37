//! Every operator with its gradients, over shapes that reach each branch of its kernels.

use super::super::TrainError;
use super::super::objective::{cac::cac, csc::csc, pseudo_label::pseudo_target};
use super::finding::{Finding, largest_error, normals, values};
use super::losses::{losses, region_losses, target};
use crate::nn::add_act::add_act;
use crate::nn::channel_dropout::channel_dropout;
use crate::nn::cmc::mia::mia;
use crate::nn::conv_transpose3d::conv_transpose3d;
use crate::nn::conv3d::{conv3d, conv3d_stride2};
use crate::nn::max_pool3d::max_pool3d;
use crate::nn::mean_pool3d::mean_pool3d;
use crate::nn::norm_act::{Activation, Norm, norm_act};
use crate::nn::upsample3d::upsample3d;
use candle_core::{DType, Device, Result, Tensor, Var};

/// Largest error in f32: sums in another order, nothing else.
const F32: f64 = 1e-4;

/// Largest error in bf16, which keeps 8 bits, against f32 on the same rounded inputs.
const BF16: f64 = 2e-2;

/// An operator under test.
type Operator = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

/// An operator with its inputs.
struct Case {
    name: String,
    /// Shape and values of each input; those marked take the type under test.
    inputs: Vec<(Vec<usize>, Vec<f32>, bool)>,
    /// Whether it takes bf16.
    halves: bool,
    op: Operator,
}

fn case(
    name: String,
    inputs: &[(&[usize], bool)],
    halves: bool,
    op: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
) -> Case {
    let inputs = inputs
        .iter()
        .enumerate()
        .map(|(i, (shape, typed))| {
            let count = shape.iter().product();
            (
                shape.to_vec(),
                normals(&format!("{name} {i}"), count),
                *typed,
            )
        })
        .collect();
    Case {
        name,
        inputs,
        halves,
        op: Box::new(op),
    }
}

pub(super) fn compare(
    device: &Device,
    report: &mut dyn FnMut(Finding) -> std::result::Result<(), TrainError>,
) -> std::result::Result<(), TrainError> {
    for case in cases() {
        let mut types = vec![("f32", DType::F32, F32)];
        if case.halves && device.is_cuda() {
            types.push(("bf16", DType::BF16, BF16));
        }
        for (values, dtype, tolerance) in types {
            let named = |e: candle_core::Error| e.context(format!("{} in {values}", case.name));
            let expected = run(&case, dtype, &Device::Cpu).map_err(named)?;
            let found = run(&case, dtype, device).map_err(named)?;
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                report(Finding {
                    operator: case.name.clone(),
                    values,
                    part: match i {
                        0 => "forward".to_owned(),
                        i => format!("gradient {}", i - 1),
                    },
                    error: largest_error(found, expected),
                    tolerance,
                })?;
            }
        }
    }
    labels(device, report)
}

/// The result and the gradient of every input. Inputs are rounded to `dtype` on both devices; only a
/// GPU then computes in it.
fn run(case: &Case, dtype: DType, device: &Device) -> Result<Vec<Vec<f32>>> {
    let mut vars = Vec::with_capacity(case.inputs.len());
    let mut inputs = Vec::with_capacity(case.inputs.len());
    for (shape, values, typed) in &case.inputs {
        let rounded = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)?;
        let rounded = if *typed {
            rounded.to_dtype(dtype)?.to_dtype(DType::F32)?
        } else {
            rounded
        };
        let var = Var::from_tensor(&rounded.to_device(device)?)?;
        inputs.push(if *typed && device.is_cuda() {
            var.to_dtype(dtype)?
        } else {
            var.as_tensor().clone()
        });
        vars.push(var);
    }
    let y = (case.op)(&inputs)?.to_dtype(DType::F32)?;
    let weights = normals(&format!("{} weights", case.name), y.elem_count());
    let weights = Tensor::from_vec(weights, y.shape(), &Device::Cpu)?;
    let weights = weights.to_dtype(dtype)?.to_dtype(DType::F32)?;
    let grads = (&y * weights.to_device(device)?)?.sum_all()?.backward()?;
    let mut all = vec![values(&y)?];
    for var in &vars {
        let gradient = grads.get(var.as_tensor());
        let gradient = gradient.ok_or_else(|| {
            candle_core::Error::msg(format!("{}: an input has no gradient", case.name))
        })?;
        all.push(values(gradient)?);
    }
    Ok(all)
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ([n, d, h, w, ci], kernel, co) in [
        ([2, 8, 9, 10, 16], [3, 3, 3], 32),
        ([1, 16, 16, 16, 1], [3, 3, 3], 16),
        ([1, 8, 8, 8, 2], [3, 3, 3], 16),
        ([2, 7, 6, 5, 3], [3, 3, 3], 5),
        ([1, 8, 8, 8, 32], [1, 1, 1], 4),
        ([1, 6, 7, 9, 16], [3, 3, 3], 3),
        ([1, 5, 6, 7, 4], [3, 3, 3], 32),
        ([1, 6, 7, 8, 8], [1, 3, 3], 8),
        ([2, 16, 16, 16, 64], [3, 3, 3], 64),
    ] {
        let [kd, kh, kw] = kernel;
        cases.push(case(
            format!("conv3d {:?} kernel {kernel:?} to {co}", [n, d, h, w, ci]),
            &[(&[n, d, h, w, ci], true), (&[co, kd, kh, kw, ci], true)],
            true,
            |t| conv3d(&t[0], &t[1]),
        ));
    }
    for (shape, kernel, co) in [
        ([2, 4, 5, 6, 16], [2, 2, 2], 8),
        ([1, 1, 3, 4, 3], [1, 2, 2], 5),
        ([1, 8, 8, 8, 64], [2, 2, 2], 32),
    ] {
        let [kd, kh, kw]: [usize; 3] = kernel;
        cases.push(case(
            format!("conv_transpose3d {shape:?} kernel {kernel:?} to {co}"),
            &[(&shape, true), (&[co, kd, kh, kw, shape[4]], true)],
            true,
            |t| conv_transpose3d(&t[0], &t[1]),
        ));
    }
    for shape in [[2, 8, 6, 4, 5], [1, 1, 4, 4, 8], [1, 16, 16, 16, 16]] {
        cases.push(case(
            format!("max_pool3d {shape:?}"),
            &[(&shape, true)],
            true,
            |t| max_pool3d(&t[0]),
        ));
    }
    for ([n, d, h, w, ci], kernel, co) in [
        ([2, 8, 6, 10, 16], [3, 3, 3], 32),
        ([1, 7, 6, 5, 3], [3, 3, 3], 5),
    ] {
        let [kd, kh, kw]: [usize; 3] = kernel;
        cases.push(case(
            format!(
                "conv3d_stride2 {:?} kernel {kernel:?} to {co}",
                [n, d, h, w, ci]
            ),
            &[(&[n, d, h, w, ci], true), (&[co, kd, kh, kw, ci], true)],
            true,
            |t| conv3d_stride2(&t[0], &t[1]),
        ));
    }
    let shape = [2, 4, 6, 2, 8];
    cases.push(case(
        format!("mean_pool3d {shape:?}"),
        &[(&shape, true)],
        true,
        |t| mean_pool3d(&t[0], [2, 3, 1]),
    ));
    cases.push(case(
        format!("upsample3d {shape:?}"),
        &[(&shape, true)],
        true,
        |t| upsample3d(&t[0]),
    ));
    cases.push(case(
        format!("add_act {shape:?}"),
        &[(&shape, true), (&shape, true)],
        true,
        |t| add_act(&t[0], &t[1], Activation::LeakyRelu(0.01)),
    ));
    cases.push(case(
        format!("channel_dropout {shape:?}"),
        &[(&shape, true)],
        true,
        move |t| {
            let mask: Vec<f32> = (0..16).map(|i| [0.0, 2.0, 1.5][i % 3]).collect();
            channel_dropout(&t[0], &Tensor::from_vec(mask, (2, 8), t[0].device())?)
        },
    ));
    for (shape, norm, act, offset) in [
        ([2, 6, 7, 5, 5], Norm::Instance, Activation::Relu, 0.0),
        (
            [1, 16, 16, 17, 16],
            Norm::Instance,
            Activation::LeakyRelu(0.01),
            10.0,
        ),
        (
            [2, 5, 6, 7, 32],
            Norm::Group { groups: 4 },
            Activation::None,
            0.5,
        ),
        ([1, 4, 4, 4, 320], Norm::Instance, Activation::Relu, 0.0),
        (
            [2, 3, 4, 5, 320],
            Norm::Group { groups: 16 },
            Activation::Relu,
            0.0,
        ),
    ] {
        let mut case = case(
            format!("norm_act {shape:?} {norm:?} {act:?} mean {offset}"),
            &[(&shape, true), (&[shape[4]], false), (&[shape[4]], false)],
            true,
            move |t| norm_act(&t[0], &t[1], &t[2], norm, act),
        );
        case.inputs[0].1.iter_mut().for_each(|x| *x += offset);
        cases.push(case);
    }
    for (name, classes, config) in losses() {
        let shape = [2, 6, 7, 8, classes];
        cases.push(case(
            format!("dice_ce {shape:?} {name}"),
            &[(&shape, false)],
            false,
            move |t| {
                let labels = target(&shape[..4], classes, t[0].device())?;
                config.loss(&t[0], &labels)
            },
        ));
    }
    for (name, config) in region_losses() {
        let shape = [2, 6, 7, 8, config.regions.len()];
        cases.push(case(
            format!("dice_bce {shape:?} {name}"),
            &[(&shape, false)],
            false,
            move |t| {
                let labels = target(&shape[..4], config.classes, t[0].device())?;
                config.loss(&t[0], &labels)
            },
        ));
    }
    cases.push(case(
        "mia [2, 3, 4, 5, 8]".to_owned(),
        &[(&[2, 3, 4, 5, 8], true), (&[1], false)],
        false,
        // Energies of normal values would make every exponent but one vanish.
        |t| mia(&(&t[0] * 0.1)?, &t[1]),
    ));
    cases.push(case(
        "csc [2, 3, 4, 5, 8]".to_owned(),
        &[(&[2, 3, 4, 5, 8], false), (&[2, 3, 4, 5, 8], false)],
        false,
        |t| csc(&t[0], &t[1], 0.5),
    ));
    cases.push(case(
        "cac [2, 6, 7, 8, 4]".to_owned(),
        &[(&[2, 6, 7, 8, 4], false), (&[2, 6, 7, 8, 4], false)],
        false,
        |t| cac(&t[0], &t[1]),
    ));
    cases
}

/// Pseudo-labels: the same labels and shares.
fn labels(
    device: &Device,
    report: &mut dyn FnMut(Finding) -> std::result::Result<(), TrainError>,
) -> std::result::Result<(), TrainError> {
    let shape = [2, 6, 7, 8, 4];
    let logits = Tensor::from_vec(
        normals("pseudo", shape.iter().product()),
        &shape,
        &Device::Cpu,
    )?;
    let of = |device: &Device| -> Result<[Vec<f32>; 3]> {
        let made = pseudo_target(&logits.to_device(device)?, &[0.5, 0.4, 0.5, 0.6])?;
        Ok([
            values(&made.labels)?,
            values(&made.confidence)?,
            made.kept_fraction,
        ])
    };
    let (found, expected) = (of(device)?, of(&Device::Cpu)?);
    for (part, (found, expected)) in ["labels", "confidence", "kept fraction"]
        .into_iter()
        .zip(found.iter().zip(&expected))
    {
        report(Finding {
            operator: format!("pseudo_target {shape:?}"),
            values: "f32",
            part: part.to_owned(),
            error: largest_error(found, expected),
            tolerance: F32,
        })?;
    }
    Ok(())
}
