//! An encoder of residual blocks, in the manner of nnU-Net's.

use super::{Builder, ConvNormAct, Layers, NormAct, Scope};
use crate::nn::add_act::add_act;
use crate::nn::conv3d::{conv3d, conv3d_stride2};
use crate::nn::mean_pool3d::mean_pool3d;
use crate::nn::norm_act::Activation;
use crate::nn::recompute::{Recompute, run};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// Two convolutions beside a shortcut.
///
/// **Law** `y = act(norm2(conv2(act(norm1(conv1(x))))) + shortcut(x))`. A block that halves the volume
/// has stride 2 in its first convolution and a mean over 2³ voxels at the start of its shortcut; one
/// that changes the number of channels has a 1³ convolution with norm at the end of it.
struct Block {
    first: Tensor,
    norm1: NormAct,
    second: Tensor,
    norm2: NormAct,
    /// Kernel and norm; `None` keeps the channels as they are.
    shortcut: Option<(Tensor, NormAct)>,
    halves: bool,
    activation: Activation,
}

impl Block {
    /// Parameters `conv1.weight`, `norm1.*`, `conv2.weight`, `norm2.*` and, where channels change,
    /// `shortcut.weight` and `shortcut.norm.*`.
    fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        (ci, co): (usize, usize),
        halves: bool,
        layers: Layers,
    ) -> Result<Self> {
        let kernel = |builder: &mut Builder<'_>, name: &str, k, ci| {
            builder.kernel(&format!("{}.{name}.weight", scope.kernels), k, ci, co)
        };
        let norm = |builder: &mut Builder<'_>, name: &str, activation| {
            NormAct::new(builder, scope, name, co, layers.norm, activation)
        };
        Ok(Self {
            first: kernel(builder, "conv1", 3, ci)?,
            norm1: norm(builder, "norm1", layers.activation)?,
            second: kernel(builder, "conv2", 3, co)?,
            norm2: norm(builder, "norm2", Activation::None)?,
            shortcut: match ci == co {
                true => None,
                false => Some((
                    kernel(builder, "shortcut", 1, ci)?,
                    norm(builder, "shortcut.norm", Activation::None)?,
                )),
            },
            halves,
            activation: layers.activation,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, d, h, w, _) = x.dims5()?;
        let first = match self.halves {
            true => conv3d_stride2(x, &self.first)?,
            false => conv3d(x, &self.first)?,
        };
        let main = conv3d(&self.norm1.forward(&first)?, &self.second)?;
        let main = self.norm2.forward(&main)?;
        let mut side = match self.halves {
            true => mean_pool3d(x, [d / 2, h / 2, w / 2])?,
            false => x.clone(),
        };
        if let Some((kernel, norm)) = &self.shortcut {
            side = norm.forward(&conv3d(&side, kernel)?)?;
        }
        add_act(&main, &side, self.activation)
    }
}

/// A first convolution, then levels of residual blocks; every level but the first halves the volume.
///
/// **Source** He et al. 2016 (blocks), He et al. 2019 (the mean in the shortcut), Isensee et al. 2024
/// (nnU-Net's residual encoder presets: 1, 3, 4, 6, 6, 6 blocks).
pub(crate) struct ResidualEncoder {
    stem: ConvNormAct,
    levels: Vec<Vec<Arc<Block>>>,
    recompute: Option<Recompute>,
}

impl ResidualEncoder {
    /// `plan[i]` holds the channels and the number of blocks of level `i`. Parameters are named
    /// `stem.*` and `level{i}.block{j}.*`, counted from 0.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        channels_in: usize,
        plan: &[(usize, usize)],
        layers: Layers,
    ) -> Result<Self> {
        let mut ci = plan[0].0;
        let stem = ConvNormAct::new(builder, &scope.child("stem"), 1, (channels_in, ci), layers)?;
        let mut levels = Vec::with_capacity(plan.len());
        for (i, &(co, count)) in plan.iter().enumerate() {
            let level = scope.child(&format!("level{i}"));
            let mut blocks = Vec::with_capacity(count);
            for j in 0..count {
                let halves = i > 0 && j == 0;
                let block = level.child(&format!("block{j}"));
                let block = Block::new(builder, &block, (ci, co), halves, layers)?;
                blocks.push(Arc::new(block));
                ci = co;
            }
            levels.push(blocks);
        }
        Ok(Self {
            stem,
            levels,
            recompute: builder.recompute(),
        })
    }

    /// The skip connections, finest first, and the bottleneck.
    pub(crate) fn forward(&self, image: &Tensor) -> Result<(Vec<Tensor>, Tensor)> {
        let mut x = self.stem.forward(image)?;
        let mut skips = Vec::with_capacity(self.levels.len());
        for (i, blocks) in self.levels.iter().enumerate() {
            if i > 0 {
                skips.push(x.clone());
            }
            for block in blocks {
                let (part, anchor) = (Arc::clone(block), &block.first);
                x = run(self.recompute.as_ref(), [&x], anchor, move |[x]| {
                    part.forward(x)
                })?;
            }
        }
        Ok((skips, x))
    }
}
