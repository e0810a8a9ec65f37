//! Convolutions at the sizes that networks have at work: every way there is, against our plain kernel
//! in f32.
//!
//! Some versions of cuDNN compute large volumes in bf16 wrongly, and without an error
//! (pytorch/pytorch issue 163539), so that small shapes prove nothing about them.

use super::super::TrainError;
use crate::nn::conv3d::{Pass, Sizes, one_pass};
use crate::nn::cuda::{self, Choice, Way};
use candle_core::{DType, Device, Result, Tensor};
use std::time::Instant;

/// Edge, channels in, kernel edge and channels out of CMC's and of the 3-D U-Net's convolutions for two
/// patches of 128³, width 16 and depth 4.
const SHAPES: [[usize; 4]; 17] = [
    [128, 1, 3, 16],
    [128, 2, 3, 16],
    [128, 16, 3, 16],
    [128, 16, 3, 32],
    [128, 32, 3, 16],
    [128, 32, 3, 32],
    [128, 96, 3, 32],
    [128, 32, 1, 4],
    [64, 32, 3, 64],
    [64, 64, 3, 64],
    [64, 192, 3, 64],
    [32, 128, 3, 128],
    [32, 384, 3, 128],
    [16, 128, 3, 256],
    [16, 256, 3, 256],
    [16, 512, 3, 256],
    [16, 512, 1, 256],
];

/// Patches of a batch.
const BATCH: usize = 2;

/// Launches that are timed together.
const RUNS: u32 = 5;

/// Output channels whose filter gradient the plain kernel makes: it needs a block for every weight.
const FILTERS: usize = 2;

/// Largest error of f32, and of bf16 operands and results with sums in f32.
const TOLERANCES: [f64; 2] = [1e-3, 2e-2];

/// One convolution by one way.
#[derive(Debug, Clone)]
pub struct ConvolutionFinding {
    /// Input, kernel, output channels and pass, such as `2x128x128x128x16 k3 co32 forward`.
    pub shape: String,
    /// `f32` or `bf16`.
    pub values: &'static str,
    /// The way that was asked for, and the one that was taken: `thin`, `graph`, `legacy` or `plain`.
    pub ways: [&'static str; 2],
    /// What was chosen: engine or algorithm, workspace, engines that were measured.
    pub choice: String,
    /// Seconds of one launch.
    pub seconds: f64,
    /// Operations a second.
    pub flops: f64,
    /// Largest difference from the plain kernel in f32, relative to the value plus the root mean
    /// square of all; infinite where a value is not a number.
    pub error: f64,
    /// Largest error that is still agreement.
    pub tolerance: f64,
    /// What cuDNN answered where it has nothing for the shape.
    pub refusal: Option<String>,
}

impl ConvolutionFinding {
    /// Returns `true` if device and reference agree, or the way has nothing for the shape.
    pub fn agrees(&self) -> bool {
        self.refusal.is_some() || self.error <= self.tolerance
    }
}

fn name(way: Way) -> &'static str {
    match way {
        Way::Best => "best",
        Way::Thin => "thin",
        Way::Graph => "graph",
        Way::Legacy => "legacy",
        Way::Plain => "plain",
    }
}

/// Compares and measures all shapes with an edge of at most `largest` and hands each finding to `report`.
///
/// **Errors** where a kernel of our own fails on the device, or `report` does.
pub fn convolutions(
    device: &Device,
    largest: usize,
    report: &mut dyn FnMut(ConvolutionFinding) -> std::result::Result<(), TrainError>,
) -> std::result::Result<(), TrainError> {
    for [edge, ci, k, co] in SHAPES.into_iter().filter(|[edge, ..]| *edge <= largest) {
        let sizes = Sizes {
            x: [BATCH, edge, edge, edge, ci],
            kernel: [k; 3],
            co,
            stride: 1,
        };
        for pass in [Pass::Forward, Pass::Data, Pass::Filter] {
            // No gradient is asked for an image.
            if pass == Pass::Data && ci < 8 {
                continue;
            }
            let operands = Operands::new(device, pass, sizes)?;
            let expected = cuda::by_way(Way::Plain, || operands.reference(pass, sizes))?;
            for dtype in [DType::BF16, DType::F32] {
                let thin = cuda::has_thin(pass, sizes, dtype == DType::BF16);
                let thin = thin.then_some(Way::Thin);
                for way in thin.into_iter().chain([Way::Graph, Way::Legacy]) {
                    report(operands.measured(pass, sizes, dtype, way, &expected)?)?;
                }
            }
        }
    }
    Ok(())
}

/// Both inputs of a pass, in f32, with values that bf16 holds.
struct Operands {
    a: Tensor,
    b: Tensor,
}

impl Operands {
    fn new(device: &Device, pass: Pass, sizes: Sizes) -> Result<Self> {
        let [k, ..] = sizes.kernel;
        let w = [sizes.co, k, k, k, sizes.x[4]];
        let (a, b) = match pass {
            Pass::Forward => (sizes.x, w),
            Pass::Data => (sizes.output(), w),
            Pass::Filter => (sizes.x, sizes.output()),
        };
        let drawn = |shape: [usize; 5]| {
            Tensor::randn(0f32, 1.0, shape.to_vec(), device)?
                .to_dtype(DType::BF16)?
                .to_dtype(DType::F32)
        };
        Ok(Self {
            a: drawn(a)?,
            b: drawn(b)?,
        })
    }

    /// What the plain kernel makes of it; of a filter gradient the first outputs' part.
    fn reference(&self, pass: Pass, sizes: Sizes) -> Result<Tensor> {
        if pass != Pass::Filter {
            return one_pass(pass, sizes, &self.a, &self.b);
        }
        let co = FILTERS.min(sizes.co);
        let few = self.b.narrow(4, 0, co)?.contiguous()?;
        one_pass(pass, Sizes { co, ..sizes }, &self.a, &few)
    }

    fn measured(
        &self,
        pass: Pass,
        sizes: Sizes,
        dtype: DType,
        way: Way,
        expected: &Tensor,
    ) -> Result<ConvolutionFinding> {
        let device = self.a.device();
        let (a, b) = (self.a.to_dtype(dtype)?, self.b.to_dtype(dtype)?);
        let go = || cuda::by_way(way, || one_pass(pass, sizes, &a, &b));
        let bf16 = dtype == DType::BF16;
        let mut finding = ConvolutionFinding {
            shape: shape(pass, sizes),
            values: if bf16 { "bf16" } else { "f32" },
            ways: [name(way), "none"],
            choice: String::new(),
            seconds: f64::NAN,
            flops: f64::NAN,
            error: f64::INFINITY,
            tolerance: TOLERANCES[usize::from(bf16)],
            refusal: None,
        };
        let found = match go() {
            Ok(found) => found,
            // Kernels of our own are asked only for what they are made for.
            Err(failure) if way == Way::Thin => return Err(failure),
            Err(refusal) => {
                finding.refusal = Some(refusal.to_string());
                return Ok(finding);
            }
        };
        cuda::synchronize(device)?;
        let start = Instant::now();
        for _ in 0..RUNS {
            drop(go()?);
        }
        cuda::synchronize(device)?;
        finding.seconds = start.elapsed().as_secs_f64() / f64::from(RUNS);
        let [n, d, h, w, co] = sizes.output();
        let taps: usize = sizes.kernel.iter().product();
        finding.flops = 2.0 * (n * d * h * w * co * taps * sizes.x[4]) as f64 / finding.seconds;
        let found = match pass {
            Pass::Filter => found.narrow(0, 0, expected.dims()[0])?.contiguous()?,
            _ => found,
        };
        finding.error = largest_error(&found.to_dtype(DType::F32)?, expected)?;
        if let Some(Choice {
            way,
            engine,
            workspace,
            measured,
        }) = cuda::choice(pass, sizes, bf16, way)
        {
            finding.ways[1] = name(way);
            finding.choice = format!("engine {engine}, {} MiB {measured}", workspace >> 20);
        }
        Ok(finding)
    }
}

fn shape(pass: Pass, sizes: Sizes) -> String {
    let pass = match pass {
        Pass::Forward => "forward",
        Pass::Data => "data gradient",
        Pass::Filter => "filter gradient",
    };
    let [n, d, h, w, c] = sizes.x;
    let Sizes { kernel, co, .. } = sizes;
    format!("{n}x{d}x{h}x{w}x{c} k{} co{co} {pass}", kernel[0])
}

/// As [`super::finding::largest_error`], on the device.
fn largest_error(found: &Tensor, expected: &Tensor) -> Result<f64> {
    let (found, expected) = (found.flatten_all()?, expected.flatten_all()?);
    let count = expected.elem_count();
    // One block sums one row: rows keep all multiprocessors busy.
    let columns = [4096, 512, 64, 16, 8, 4, 2]
        .into_iter()
        .find(|columns| count % columns == 0)
        .unwrap_or(1);
    let rows = (count / columns, columns);
    let squares = expected.sqr()?.reshape(rows)?.sum(1)?.to_vec1::<f32>()?;
    let squares: f64 = squares.iter().map(|&v| f64::from(v)).sum();
    let rms = (squares / count as f64).sqrt();
    let scale = (expected.abs()? + (rms + 1e-12))?;
    let errors = ((&found - &expected)?.abs()? / scale)?;
    let worst = errors.reshape(rows)?.max(1)?.to_vec1::<f32>()?;
    // A maximum may pass over what is not a number; a sum does not.
    let sum = errors.reshape(rows)?.sum(1)?.to_vec1::<f32>()?;
    if !sum.iter().all(|v| v.is_finite()) {
        return Ok(f64::INFINITY);
    }
    Ok(worst.iter().fold(0.0, |a, &b| f64::max(a, f64::from(b))))
}
