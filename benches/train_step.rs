//! What does a step of the CMC network at its published width cost, in CPU time and memory?
//!
//! `cargo bench --bench train_step [-- --side 48 --repeats 3]`; one thread, batch 1, each mode in a
//! process of its own, so that peak memory is its own. `benches/peers/train_step.py` does the same
//! with PyTorch.
//!
//! - `infer`: forward of one pair of modalities, no graph;
//! - `sup`: forward, Dice and cross entropy on both modalities, backward, clipping, AdamW;
//! - `semi`: `sup`, and an unlabelled pair with the two terms across modalities, as the trainer
//!   does it: one backward pass after the other into one buffer of gradients;
//! - `sup-recompute`, `semi-recompute`: the same with the activations of each level made again in
//!   the backward pass (`train.recompute`).

use candle_core::{Device, Result, Tensor};
use std::time::Instant;
use voxstream::nn::adamw::{AdamW, AdamWConfig};
use voxstream::nn::cmc::{CmcSpec, Sharing};
use voxstream::nn::dice_ce::DiceCe;
use voxstream::nn::gradients::Gradients;
use voxstream::nn::network::{Network, NetworkSpec};
use voxstream::nn::params::Params;
use voxstream::train::objective::{cac::cac_all, csc::csc_all, supervised::supervised};

/// As in the program itself.
#[global_allocator]
static MEMORY: voxstream::memory::Shelves = voxstream::memory::Shelves::new();

const CLASSES: usize = 14;

const MODES: [&str; 5] = ["infer", "sup", "semi", "sup-recompute", "semi-recompute"];

/// A number that follows `key` in a file of `/proc/self`; 0 where there is none.
fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix(key)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0.0)
}

/// CPU seconds of the whole process, user and system, in hundredths.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = after_name
        .split_whitespace()
        .map(|f| f.parse().unwrap_or(0.0))
        .collect();
    fields
        .get(11..13)
        .map_or(0.0, |ticks| (ticks[0] + ticks[1]) / 100.0)
}

fn pair(side: usize, phase: f32) -> Result<Vec<Option<Tensor>>> {
    (0..2)
        .map(|m| {
            let wave = |i: usize| (i as f32 * (0.013 + 0.007 * m as f32) + phase).sin();
            let values: Vec<f32> = (0..side * side * side).map(wave).collect();
            Tensor::from_vec(values, (1, side, side, side, 1), &Device::Cpu).map(Some)
        })
        .collect()
}

struct Step {
    params: Params,
    network: Box<dyn Network>,
    optimizer: AdamW,
    gradients: Gradients,
    labelled: Vec<Option<Tensor>>,
    unlabelled: Vec<Option<Tensor>>,
    targets: Vec<Option<Tensor>>,
}

impl Step {
    fn new(params: Params, network: Box<dyn Network>, side: usize) -> Result<Self> {
        let target = |m: usize| {
            let label = |i: usize| ((i / 29 + i / 977 * (m + 1)) % CLASSES) as u8;
            let labels: Vec<u8> = (0..side * side * side).map(label).collect();
            Tensor::from_vec(labels, (1, side, side, side), &Device::Cpu).map(Some)
        };
        Ok(Self {
            optimizer: AdamW::new(&params, AdamWConfig::default()),
            gradients: Gradients::zeros(&params)?,
            network,
            params,
            labelled: pair(side, 0.0)?,
            unlabelled: pair(side, 1.0)?,
            targets: (0..2).map(target).collect::<Result<_>>()?,
        })
    }

    fn descend(&mut self, loss: &Tensor) -> Result<()> {
        self.gradients.add(loss.backward()?, &self.params)
    }

    fn run(&mut self, semi: bool) -> Result<()> {
        self.gradients.clear()?;
        let logits = self.network.forward(&self.labelled)?.logits;
        let loss = supervised(&logits, &self.targets, &DiceCe::default())?
            .expect("both modalities are labelled");
        drop(logits);
        self.descend(&loss)?;
        drop(loss);
        if semi {
            let output = self.network.forward(&self.unlabelled)?;
            let csc = csc_all(&output.features, 0.5)?.expect("two modalities");
            let cac = cac_all(&output.logits)?.expect("two modalities");
            drop(output);
            let loss = (csc + cac)?;
            self.descend(&loss)?;
        }
        let norm = self.gradients.global_norm()?;
        self.gradients.clip(norm, 12.0)?;
        self.optimizer.step(&self.gradients, 1e-4)
    }
}

fn one(mode: &str, side: usize, repeats: usize) -> Result<()> {
    // Blocks that are kept for the next step count as memory too.
    voxstream::memory::settle_heap();
    voxstream::memory::keep_at_most(128 << 20);
    let spec = NetworkSpec::Cmc(CmcSpec {
        width: 32,
        depth: 4,
        encoders: Sharing::Shared,
        decoders: Sharing::Shared,
        ..CmcSpec::default()
    });
    let mut params = Params::new(0, &Device::Cpu);
    if mode.ends_with("-recompute") {
        params = params.with_recomputation();
    }
    let network = spec.build(2, CLASSES, &mut params)?;
    let count = params.count() as f64 / 1e6;
    let mut step: Box<dyn FnMut() -> Result<()>> = match mode {
        "infer" => {
            let frozen = spec.build(2, CLASSES, &mut params.detached())?;
            let images = pair(side, 0.0)?;
            Box::new(move || frozen.forward(&images).map(drop))
        }
        _ if MODES.contains(&mode) => {
            let semi = mode.starts_with("semi");
            let mut step = Step::new(params, network, side)?;
            Box::new(move || step.run(semi))
        }
        _ => panic!("the mode is `{mode}`, expected one of {MODES:?}"),
    };
    step()?;
    let mut times: Vec<(f64, f64)> = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        step()?;
        times.push((cpu_seconds() - cpu, wall.elapsed().as_secs_f64()));
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (cpu, _) = times[repeats / 2];
    let wall = times.iter().map(|t| t.1).fold(f64::INFINITY, f64::min);
    let line = format!(
        "{mode:14} {side}^3  {count:.2} M parameters  CPU s median {cpu:.2} least {:.2}  steps/s {:.3}  peak RSS {:.0} MiB\n",
        times[0].0,
        1.0 / wall,
        status("VmHWM:") / 1024.0
    );
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        args.iter()
            .position(|a| a == name)
            .and_then(|i| args.get(i + 1))
    };
    let number = |name: &str, default: usize| {
        option(name).map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (side, repeats) = (number("--side", 48), number("--repeats", 3).max(1));
    if let Some(mode) = option("--one") {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .map_err(candle_core::Error::wrap)?;
        return pool.install(|| one(mode, side, repeats));
    }
    let modes = option("--mode").map_or(MODES.to_vec(), |mode| vec![mode.as_str()]);
    for mode in modes {
        let status = std::process::Command::new(std::env::current_exe()?)
            .args(["--one", mode, "--side", &side.to_string()])
            .args(["--repeats", &repeats.to_string()])
            .env("RAYON_NUM_THREADS", "1")
            .status()?;
        assert!(status.success(), "{mode} failed");
    }
    Ok(())
}
