//! `gpu-check`: whether this build computes on a GPU what it computes on the CPU, and how fast.

use super::args::GpuCheckPart as Part;
use super::{GpuCheckArgs, stdout};
use crate::error::Error;
use crate::train::TrainError;
use crate::train::device::{Device, DeviceChoice, Precision};
use crate::train::gpu_check::{
    ConvolutionFinding, Finding, Throughput, compare, compare_training, convolutions, figures,
    throughput,
};
use std::io::Write;
use std::path::PathBuf;

/// Compares, trains, measures; 0 when all agrees, 1 when something differs.
///
/// **Errors** (exit code 2) when there is no CUDA device, with what is missing; 3 when an operator
/// fails on it.
pub fn gpu_check(args: &GpuCheckArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let device = DeviceChoice::Cuda.open()?;
    let found = figures(&device)?;
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
    for library in libraries() {
        writeln!(out, "{library}").map_err(stdout)?;
    }
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let (mut compared, mut differing) = (0, 0);
    let mut report = |finding: Finding| {
        compared += 1;
        differing += usize::from(!finding.agrees());
        told(line(&finding, out))
    };
    if wanted(Part::Operators) {
        compare(&device, &mut report)?;
    }
    if wanted(Part::Training) {
        compare_training(&device, args.steps, &mut report)?;
    }
    if wanted(Part::Convolutions) {
        convolutions(&device, args.patch, &mut |finding| {
            compared += 1;
            differing += usize::from(!finding.agrees());
            told(convolution(&finding, out))
        })?;
    }
    writeln!(out, "\n{compared} comparisons, {differing} differ").map_err(stdout)?;
    if wanted(Part::Speed) {
        speed(args, &device, out)?;
    }
    Ok(u8::from(differing > 0))
}

/// Files of NVIDIA's libraries that this process has opened; none where the system does not tell.
fn libraries() -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let names = [
        "libcuda.so",
        "libcublas",
        "libcudnn",
        "libcurand",
        "libnccl",
        "libnvrtc",
    ];
    let mut found: Vec<String> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| names.iter().any(|name| path.contains(name)))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

fn gib(bytes: f64) -> f64 {
    bytes / f64::from(1u32 << 30)
}

fn told(written: std::io::Result<()>) -> Result<(), TrainError> {
    written.map_err(|source| TrainError::Output {
        path: PathBuf::from("stdout"),
        source,
    })
}

/// Times the networks; the smallest first, since the pool's peak is that of all so far.
fn speed(args: &GpuCheckArgs, device: &Device, out: &mut dyn Write) -> Result<(), Error> {
    for network in ["unet3d", "cmc"] {
        for (name, precision) in [("bf16", Precision::Bf16), ("f32", Precision::F32)] {
            let left_out = |wanted: &Option<String>, name: &str| {
                wanted.as_ref().is_some_and(|wanted| wanted != name)
            };
            if left_out(&args.network, network) || left_out(&args.precision, name) {
                continue;
            }
            let speed = throughput(device, network, precision, args.patch, args.timed)?;
            let peak = gib(figures(device)?.peak_bytes as f64);
            timing(&speed, peak, out).map_err(stdout)?;
        }
    }
    Ok(())
}

fn timing(speed: &Throughput, peak: f64, out: &mut dyn Write) -> std::io::Result<()> {
    let Throughput {
        network,
        values,
        patch,
        batch,
        steps_per_second,
        shares,
    } = speed;
    writeln!(
        out,
        "{network:<7} width 16 depth 4, {batch} patches of {patch}³, {values:<5} {steps_per_second:>7.2} steps/s, \
         peak so far {peak:.1} GiB"
    )?;
    for share in shares {
        let (family, milliseconds) = (share.family, share.milliseconds);
        match share.launches.is_nan() {
            true => writeln!(out, "    {family:<32} {milliseconds:>9.2} ms")?,
            false => writeln!(
                out,
                "    {family:<32} {milliseconds:>9.2} ms in {:.0} launches",
                share.launches
            )?,
        }
    }
    out.flush()
}

/// A line of the table of operators.
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
    )?;
    out.flush()
}

/// A line of the table of convolutions.
fn convolution(finding: &ConvolutionFinding, out: &mut dyn Write) -> std::io::Result<()> {
    let ConvolutionFinding {
        shape,
        values,
        ways: [asked, taken],
        choice,
        seconds,
        flops,
        error,
        tolerance,
        refusal,
    } = finding;
    if let Some(refusal) = refusal {
        let refusal = refusal.lines().next().unwrap_or_default();
        writeln!(out, "absent  {shape:<44} {values:<5} {asked:<7} {refusal}")?;
        return out.flush();
    }
    let verdict = if finding.agrees() { "ok" } else { "DIFFERS" };
    writeln!(
        out,
        "{verdict:<8}{shape:<44} {values:<5} {asked:<7} {taken:<7} {:>9.3} ms {:>7.1} TFLOP/s {error:>9.1e} of \
         {tolerance:.0e}; {choice}",
        seconds * 1e3,
        flops / 1e12
    )?;
    out.flush()
}
