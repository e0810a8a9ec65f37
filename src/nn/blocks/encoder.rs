//! The way down: two convolutions a level.

use super::{Builder, ConvNormAct, Layers, Scope};
use crate::nn::beside::Beside;
use crate::nn::chain::{Step, chain};
use crate::nn::recompute::{Recompute, run};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// Levels of two convolutions each, with max-pooling by 2 between them.
pub(crate) struct Encoder {
    levels: Vec<Arc<Level>>,
    recompute: Option<Recompute>,
}

struct Level {
    /// Whether max-pooling comes first.
    pools: bool,
    first: ConvNormAct,
    second: ConvNormAct,
    beside: Option<Beside>,
}

impl Level {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let pool = self.pools.then_some(Step::Pool);
        let units = [&self.first, &self.second].map(ConvNormAct::step);
        let steps = pool.into_iter().chain(units).collect();
        chain(self.beside.as_ref(), &[x], steps)
    }
}

impl Encoder {
    /// `plan[i]` holds the channels after the first and after the second convolution of level `i`.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        channels_in: usize,
        plan: &[[usize; 2]],
        layers: Layers,
    ) -> Result<Self> {
        let mut levels = Vec::with_capacity(plan.len());
        let mut ci = channels_in;
        for (i, &[middle, co]) in plan.iter().enumerate() {
            let level = scope.child(&format!("level{i}"));
            levels.push(Arc::new(Level {
                pools: i > 0,
                first: ConvNormAct::new(builder, &level, 1, (ci, middle), layers)?,
                second: ConvNormAct::new(builder, &level, 2, (middle, co), layers)?,
                beside: builder.beside(),
            }));
            ci = co;
        }
        let recompute = builder.recompute();
        Ok(Self { levels, recompute })
    }

    /// The skip connections, finest first, and the bottleneck.
    pub(crate) fn forward(&self, image: &Tensor) -> Result<(Vec<Tensor>, Tensor)> {
        let mut skips = Vec::with_capacity(self.levels.len());
        let mut x = image.clone();
        for (i, level) in self.levels.iter().enumerate() {
            let (part, anchor) = (Arc::clone(level), level.first.weight());
            x = run(self.recompute.as_ref(), [&x], anchor, move |[x]| {
                part.forward(x)
            })?;
            if i + 1 < self.levels.len() {
                skips.push(x.clone());
            }
        }
        Ok((skips, x))
    }
}
