//! Training: the first steps against the CPU, then on; and how fast a large patch goes.

use super::super::TrainError;
use super::super::device::Precision;
use super::super::model::ModelSpec;
use super::super::objective::{CacSpec, CscSpec, ObjectiveSpec, PseudoLabelSpec, SupervisedSpec};
use super::super::trainer::{StepRows, Trainer, TrainerConfig};
use super::finding::Finding;
use crate::nn::adamw::AdamWConfig;
use crate::nn::cmc::CmcSpec;
use crate::nn::cuda;
use crate::nn::network::NetworkSpec;
use crate::nn::optimizer::OptimizerConfig;
use crate::nn::unet3d::Unet3dSpec;
use crate::source::{PhantomSpec, SourceKind, SourceSpec};
use crate::train::schedule::Schedule;
use crate::volume::{Row, Volume};
use candle_core::Device;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Steps that the CPU makes too.
const COMPARED: u64 = 5;

/// Largest relative error of the first loss, and of the first losses: AdamW's first steps are as long
/// for a gradient of rounding errors as for any other, so differences grow from step to step.
const F32: [f64; 2] = [1e-4, 3e-2];

/// The same in bf16.
const BF16: [f64; 2] = [2e-2, 1e-1];

/// How fast training goes.
#[derive(Debug, Clone)]
pub struct Throughput {
    /// The network: `cmc`, with two modalities, or `unet3d`, with two channels.
    pub network: &'static str,
    /// `f32` or `bf16`.
    pub values: &'static str,
    /// Edge of the patch, in voxels.
    pub patch: usize,
    /// Patches of a step.
    pub batch: usize,
    /// Optimiser steps a second.
    pub steps_per_second: f64,
    /// Where a step's device time goes, the longest first; empty on the CPU.
    pub shares: Vec<DeviceShare>,
}

/// What one family of operators takes of a step.
#[derive(Debug, Clone)]
pub struct DeviceShare {
    /// The family.
    pub family: &'static str,
    /// Launches of a step.
    pub launches: f64,
    /// Milliseconds of a step, between the device's events around each launch.
    pub milliseconds: f64,
}

/// Rows of a phantom, images scaled to mean 0 and variance 1.
fn rows(subjects: usize, edge: usize) -> Result<Vec<Row>, TrainError> {
    let failed = |problem: String| TrainError::Batch {
        subject: "phantom".to_owned(),
        problem,
    };
    let spec = serde_json::json!({ "subjects": subjects, "size": [edge, edge, edge] });
    let spec: PhantomSpec = serde_json::from_value(spec).map_err(|e| failed(e.to_string()))?;
    let cohort = SourceSpec::new(SourceKind::Phantom(spec))
        .open(Path::new("."), 20)
        .map_err(|e| failed(e.to_string()))?;
    let load = |subject| -> Result<Row, crate::volume::VolumeError> {
        let mut row = cohort.load(subject)?;
        for channel in &mut row.images {
            if let Some(volume) = &mut channel.volume {
                let mut values = volume.to_f32().into_owned();
                let count = values.len() as f64;
                let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
                let variance = values
                    .iter()
                    .map(|v| (f64::from(*v) - mean).powi(2))
                    .sum::<f64>()
                    / count;
                let (mean, factor) = (mean as f32, 1.0 / (variance.sqrt() as f32).max(1e-6));
                values.iter_mut().for_each(|v| *v = (*v - mean) * factor);
                *volume = Volume::from_vec(values, *volume.grid())?;
            }
        }
        Ok(row)
    };
    let rows = cohort.subjects().iter().map(load);
    rows.collect::<Result<_, _>>()
        .map_err(|e| failed(e.to_string()))
}

fn config(width: usize, depth: usize, steps: u64, precision: Precision) -> TrainerConfig {
    TrainerConfig {
        gradient_norms: None,
        model: ModelSpec {
            network: NetworkSpec::Cmc(CmcSpec {
                width,
                depth,
                fusion_groups: width,
                ..CmcSpec::default()
            }),
            classes: ["background", "a", "b", "c"].map(str::to_owned).to_vec(),
            modalities: ["ct", "mr"].map(str::to_owned).to_vec(),
            regions: Vec::new(),
        },
        objective: ObjectiveSpec {
            supervised: Some(SupervisedSpec::default()),
            csc: Some(CscSpec::default()),
            cac: Some(CacSpec::default()),
            pseudo_label: Some(PseudoLabelSpec::default()),
            ..ObjectiveSpec::default()
        },
        teacher: Some((
            super::super::objective::threshold::ThresholdSpec::default(),
            0.9,
        )),
        steps,
        lr: 1e-3,
        optimizer: OptimizerConfig::AdamW(AdamWConfig {
            weight_decay: 1e-4,
            ..AdamWConfig::default()
        }),
        schedule: Schedule::default(),
        warmup: 0.05,
        clip_norm: Some(12.0),
        seed: 20,
        precision,
        recompute: false,
    }
}

/// The supervised losses of the first `made` of `steps` steps.
fn losses(
    device: &Device,
    precision: Precision,
    rows: &[Row],
    (made, steps): (u64, u64),
) -> Result<Vec<f64>, TrainError> {
    let mut trainer = Trainer::new(config(8, 3, steps, precision), device)?;
    (0..made as usize)
        .map(|step| {
            let row = |i: usize| rows[(step + i) % rows.len()].clone();
            let batch = StepRows {
                labelled: vec![row(0)],
                unlabelled: vec![(row(1), vec![row(1)])],
            };
            let figures = trainer.train(&[batch])?;
            // The supervised term: the others' weights grow over the steps, and the sum with them.
            let supervised = figures.iter().find(|f| f.name == "loss_supervised");
            Ok(supervised.map_or(f64::NAN, |figure| figure.value))
        })
        .collect()
}

pub(super) fn compare(
    device: &Device,
    steps: u64,
    report: &mut dyn FnMut(Finding) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let rows = rows(4, 32)?;
    let compared = COMPARED.min(steps);
    let expected = losses(&Device::Cpu, Precision::F32, &rows, (compared, steps))?;
    let mut types = vec![("f32", Precision::F32, F32)];
    if device.is_cuda() {
        types.push(("bf16", Precision::Bf16, BF16));
    }
    for (values, precision, tolerance) in types {
        let found = losses(device, precision, &rows, (steps, steps))?;
        let relative = |(found, expected): (&f64, &f64)| (found - expected).abs() / expected.abs();
        let mut finding = |part: String, error: f64, tolerance: f64| {
            report(Finding {
                operator: "training, cmc on a phantom of 32³".to_owned(),
                values,
                part,
                error: if error.is_nan() { f64::INFINITY } else { error },
                tolerance,
            })
        };
        let error = found
            .iter()
            .zip(&expected)
            .map(relative)
            .fold(0.0, f64::max);
        let first = found.iter().zip(&expected).map(relative).next();
        finding(
            "loss of step 1".to_owned(),
            first.unwrap_or(f64::NAN),
            tolerance[0],
        )?;
        finding(format!("losses of {compared} steps"), error, tolerance[1])?;
        if steps >= 20 {
            // The ratio of late to early losses must be below 1: it learns.
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let (early, late) = (mean(&found[..5]), mean(&found[found.len() - 5..]));
            finding(
                format!("late loss / early loss, {steps} steps"),
                late / early,
                0.95,
            )?;
        }
    }
    Ok(())
}

/// Steps before the clock runs: kernels are loaded and algorithms chosen in them.
const WARM_UP: u64 = 10;

/// Steps whose device time is taken apart.
const PROFILED: u64 = 5;

/// Steps a second of a supervised network (width 16, depth 4) on two patches of this edge, and where
/// the device's time goes.
///
/// **Errors** as training; too large a patch runs out of memory.
pub fn throughput(
    device: &Device,
    network: &'static str,
    precision: Precision,
    edge: usize,
    steps: u64,
) -> Result<Throughput, TrainError> {
    let rows = rows(2, edge)?;
    let mut config = config(16, 4, WARM_UP + PROFILED + steps, precision);
    config.objective = ObjectiveSpec::default();
    config.teacher = None;
    if network == "unet3d" {
        config.model.network = NetworkSpec::Unet3d(Unet3dSpec::default());
    }
    let mut trainer = Trainer::new(config, device)?;
    let mut train = |steps: u64| -> Result<(), TrainError> {
        for _ in 0..steps {
            let rows = [StepRows {
                labelled: rows.clone(),
                unlabelled: Vec::new(),
            }];
            trainer.expect(rows.to_vec());
            trainer.train(&rows)?;
        }
        if device.is_cuda() {
            cuda::synchronize(device)?;
        }
        Ok(())
    };
    train(WARM_UP)?;
    let start = Instant::now();
    train(steps)?;
    let steps_per_second = steps as f64 / start.elapsed().as_secs_f64();
    let shares = match device.is_cuda() {
        true => shares(&cuda::profiled(device, || train(PROFILED))?.1),
        false => Vec::new(),
    };
    Ok(Throughput {
        network,
        values: match precision {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        },
        patch: edge,
        batch: 2,
        steps_per_second,
        shares,
    })
}

/// Per step, the longest first; what no family of ours names is candle's or the wait for the host.
fn shares(found: &BTreeMap<&'static str, cuda::Share>) -> Vec<DeviceShare> {
    let per_step = |share: &cuda::Share| {
        let steps = PROFILED as f64;
        (share.launches as f64 / steps, share.milliseconds / steps)
    };
    let all = found.get("all").map_or(0.0, |all| per_step(all).1);
    let mut shares: Vec<DeviceShare> = found
        .iter()
        .filter(|(family, _)| **family != "all")
        .map(|(&family, share)| {
            let (launches, milliseconds) = per_step(share);
            DeviceShare {
                family,
                launches,
                milliseconds,
            }
        })
        .collect();
    shares.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    let named: f64 = shares.iter().map(|share| share.milliseconds).sum();
    shares.push(DeviceShare {
        family: "candle's operators and waiting",
        launches: f64::NAN,
        milliseconds: all - named,
    });
    shares
}
