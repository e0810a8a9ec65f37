//! `gpu-check`: whether this build computes on a GPU what it computes on the CPU, and how fast.

use super::{GpuCheckArgs, stdout};
use crate::error::Error;
use crate::train::TrainError;
use crate::train::device::{DeviceChoice, Precision};
use crate::train::gpu_check::{Finding, compare, figures, throughput};
use std::io::Write;
use std::path::PathBuf;

/// Compares, trains, measures; 0 when all agrees, 1 when something differs.
///
/// **Errors** (exit code 2) when there is no CUDA device, with what is missing; 3 when an operator
/// fails on it.
pub fn gpu_check(args: &GpuCheckArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let device = DeviceChoice::Cuda.open()?;
    let found = figures(&device)?;
    let gib = |bytes: f64| bytes / f64::from(1u32 << 30);
    writeln!(
        out,
        "{}, {:.0} GiB; driver CUDA {}.{}, cuDNN {}\n",
        found.name,
        gib(found.total_bytes as f64),
        found.driver / 1000,
        found.driver % 1000 / 10,
        found.cudnn
    )
    .map_err(stdout)?;
    let (mut compared, mut differing) = (0, 0);
    compare(&device, args.steps, &mut |finding| {
        compared += 1;
        differing += usize::from(!finding.agrees());
        line(&finding, out).map_err(|source| TrainError::Output {
            path: PathBuf::from("stdout"),
            source,
        })
    })?;
    writeln!(out, "\n{compared} comparisons, {differing} differ").map_err(stdout)?;
    // The smallest first: the pool's peak is that of all so far.
    for network in ["unet3d", "cmc"] {
        for precision in [Precision::Bf16, Precision::F32] {
            let speed = throughput(&device, network, precision, args.patch, args.timed)?;
            writeln!(
                out,
                "{:<7} width 16 depth 4, {} patches of {}³, {:<5} {:>7.2} steps/s, peak so far {:.1} GiB",
                speed.network,
                speed.batch,
                speed.patch,
                speed.values,
                speed.steps_per_second,
                gib(figures(&device)?.peak_bytes as f64)
            )
            .map_err(stdout)?;
        }
    }
    Ok(u8::from(differing > 0))
}

/// A line of the table.
fn line(finding: &Finding, out: &mut dyn Write) -> std::io::Result<()> {
    let Finding {
        operator,
        values,
        part,
        error,
        tolerance,
    } = finding;
    let verdict = if finding.agrees() { "ok" } else { "DIFFERS" };
    writeln!(
        out,
        "{verdict:<8}{operator:<64} {values:<5} {part:<32} {error:>9.1e} of {tolerance:.0e}"
    )
}
