//! The way up inside a chain: transposed convolution, joined with a skip connection, convolved.
//!
//! On a GPU the transposed convolution is a matrix product; one kernel puts its blocks and the skip
//! connection side by side. The joined volume, the largest of a network, is made again for the
//! gradient instead of being kept.

use super::super::conv_transpose3d::{self, conv_transpose3d};
use super::super::conv3d::{Pass, Sizes, joined, one_pass};
use super::super::cuda;
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Result, Shape, Storage, Tensor, bail};

/// The sizes of one rise.
struct Sides {
    /// `[n, d, h, w, cu]` of the blocks.
    blocks: [usize; 5],
    kernel: [usize; 3],
    /// Channels of the skip connection.
    skips: usize,
}

impl Sides {
    fn new(x: &Tensor, up: &Tensor, skip: &Tensor) -> Result<Self> {
        let ((n, d, h, w, ci), (cu, kd, kh, kw, expected)) = (x.dims5()?, up.dims5()?);
        let sides = Self {
            blocks: [n, d, h, w, cu],
            kernel: [kd, kh, kw],
            skips: skip.dims5()?.4,
        };
        if ci != expected || skip.dims()[..4] != [n, d * kd, h * kh, w * kw] {
            bail!(
                "the way up: {:?} by a kernel {:?} does not meet a skip connection {:?}",
                x.dims(),
                up.dims(),
                skip.dims()
            );
        }
        Ok(sides)
    }

    fn joined(&self) -> [usize; 5] {
        let ([n, d, h, w, c], [kd, kh, kw]) = (self.blocks, self.kernel);
        [n, d * kd, h * kh, w * kw, c + self.skips]
    }

    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
}

fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// Rows `[voxels, channels]` of a channels-last volume.
fn rows(x: &Tensor) -> Result<Tensor> {
    let channels = x.dims().last().copied().unwrap_or(1);
    x.contiguous()?
        .reshape((x.elem_count() / channels, channels))
}

/// The kernel `[cu, kd, kh, kw, ci]` as the matrix `[taps cu, ci]`.
fn matrix(up: &Tensor) -> Result<Tensor> {
    let (cu, kd, kh, kw, ci) = up.dims5()?;
    let taps = kd * kh * kw;
    let w = up.reshape((cu, taps, ci))?.transpose(0, 1)?;
    w.contiguous()?.reshape((taps * cu, ci))
}

/// The joined volume, on a GPU.
fn join(x: &Tensor, up: &Tensor, skip: &Tensor) -> Result<Tensor> {
    let op = "the way up";
    let sides = Sides::new(x, up, skip)?;
    let blocks = rows(x)?.matmul(&matrix(up)?.t()?)?;
    let skip = skip.contiguous()?;
    let [(bs, bl), (ss, sl)] = [&blocks, &skip].map(Tensor::storage_and_layout);
    let (Storage::Cuda(bs), Storage::Cuda(ss)) = (&*bs, &*ss) else {
        bail!("{op}: expected all tensors on one CUDA device");
    };
    let made = cuda::join_blocks(op, sides.blocks, sides.kernel, [(bs, bl), (ss, sl)])?;
    Ok(tensor(made, sides.joined().to_vec()))
}

fn sizes(x: [usize; 5], weight: &Tensor) -> Result<Sizes> {
    let (co, kd, kh, kw, _) = weight.dims5()?;
    Ok(Sizes {
        x,
        kernel: [kd, kh, kw],
        co,
        stride: 1,
    })
}

/// The unit's convolution over the transposed convolution of `x` and the skip connection.
pub(super) fn convolve(x: &Tensor, up: &Tensor, skip: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return joined::conv3d_joined(&conv_transpose3d(x, up)?, skip, weight);
    }
    let joined = join(x, up, skip)?;
    let sizes = sizes(Sides::new(x, up, skip)?.joined(), weight)?;
    one_pass(Pass::Forward, sizes, &joined, weight)
}

/// Gradients of a rise's convolution.
pub(super) struct Gradients {
    /// Of the input, where it was wanted.
    pub(super) x: Option<Tensor>,
    /// Of the skip connection.
    pub(super) skip: Tensor,
    pub(super) up: Tensor,
    pub(super) weight: Tensor,
}

/// Walks [`convolve`] back from the gradient of its result.
pub(super) fn gradients(
    [x, skip]: [&Tensor; 2],
    [up, weight]: [&Tensor; 2],
    dy: &Tensor,
    wanted: bool,
) -> Result<Gradients> {
    if x.device().is_cpu() {
        let risen = conv_transpose3d(x, up)?;
        let all = joined::gradients([&risen, skip], weight, dy, [true; 3])?;
        let [Some(of_risen), Some(of_skip), Some(of_weight)] = all else {
            bail!("the way up: a gradient that was asked for is missing");
        };
        let (of_x, of_up) = conv_transpose3d::gradients(x, up, &of_risen, wanted)?;
        return Ok(Gradients {
            x: of_x,
            skip: of_skip,
            up: of_up,
            weight: of_weight,
        });
    }
    let op = "the way up, gradient";
    let sides = Sides::new(x, up, skip)?;
    let sizes = sizes(sides.joined(), weight)?;
    let of_weight = {
        let joined = join(x, up, skip)?;
        one_pass(Pass::Filter, sizes, &joined, dy)?
    };
    let of_joined = one_pass(Pass::Data, sizes, dy, weight)?;
    let [blocks, of_skip] = {
        let (storage, layout) = of_joined.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            bail!("{op}: expected all tensors on one CUDA device");
        };
        cuda::part_blocks(
            op,
            sides.blocks,
            sides.kernel,
            sides.skips,
            (storage, layout),
        )?
    };
    let ([n, d, h, w, cu], taps) = (sides.blocks, sides.taps());
    let blocks = tensor(blocks, (n * d * h * w, taps * cu));
    let of_up = blocks.t()?.matmul(&rows(x)?)?;
    let [kd, kh, kw] = sides.kernel;
    let ci = x.dims5()?.4;
    let of_up = of_up
        .reshape((taps, cu, ci))?
        .transpose(0, 1)?
        .contiguous()?;
    Ok(Gradients {
        x: match wanted {
            true => Some(blocks.matmul(&matrix(up)?)?.reshape(x.shape())?),
            false => None,
        },
        skip: tensor(of_skip, skip.shape().clone()),
        up: of_up.reshape((cu, kd, kh, kw, ci))?,
        weight: of_weight,
    })
}
