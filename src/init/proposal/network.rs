//! Patch, depth, width and batch for a stated memory.

use super::spacing::Spacing;
use crate::init::fingerprint::Fingerprint;

/// A patch holds no more than so many voxels to begin with, whatever the memory.
const MOST_VOXELS: f64 = 256.0 * 256.0 * 256.0;

/// Voxels of the bottleneck along each axis, at least.
const LEAST_FEATURES: usize = 4;

/// The same along the shortest axis: a stack of few slices would leave no depth at all.
const LEAST_SLICES: usize = 2;

/// Levels of a network, at most.
const MOST_LEVELS: usize = 6;

/// Channels of a level, at most: the default of `unet3d`.
const MOST_WIDTH: usize = 256;

/// Share of all voxels of the data set that one batch holds, at most.
const MOST_OF_DATA: f64 = 0.05;

/// Rows of a batch, at least: one row's gradient is too noisy.
const LEAST_BATCH: usize = 2;

/// Memory from which the network has nnU-Net's 32 channels at full resolution.
const FOR_WIDE: u64 = 8 << 30;

/// Patch, depth, width and batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Voxels along x, y, z.
    pub patch_xyz: [usize; 3],
    /// Levels, full resolution included.
    pub depth: usize,
    /// Channels at full resolution.
    pub width: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// Bytes that a step is estimated to take.
    pub bytes: u64,
    /// The memory it was planned for.
    pub memory: u64,
}

impl NetworkPlan {
    /// **Law** the patch begins as a cube in mm of 256³ voxels, cut to the median shape; it is halved
    /// while four voxels stay along each axis, which sets the depth, and its edges are rounded up to a
    /// multiple. While a batch of two does not fit the memory, the edge that is longest beside the
    /// median shape is shortened, if it can be without loss of depth. The batch takes what is left, up to 5 % of all voxels. Along the shortest
    /// axis two voxels are enough.
    /// **Source** nnU-Net v2, `ExperimentPlanner.get_plans_for_configuration`; unlike there, every axis
    /// is halved as often as the shortest allows, as this network's levels are cubes.
    pub(super) fn new(spacing: &Spacing, classes: usize, print: &Fingerprint, memory: u64) -> Self {
        let width = if memory >= FOR_WIDE { 32 } else { 16 };
        let median = spacing.median_shape;
        let per_mm = spacing.spacing_mm.map(|mm| 1.0 / mm);
        let factor = (MOST_VOXELS / per_mm.iter().product::<f64>()).cbrt();
        let mut edges = [0, 1, 2].map(|i| ((per_mm[i] * factor).round() as usize).min(median[i]));
        let mut most = MOST_LEVELS;
        loop {
            let (depth, patch) = divided(edges, most);
            let row = bytes_of_row(patch, width, depth, classes, print.modalities.len());
            let fixed = bytes_of_weights(width, depth);
            let fits = fixed + LEAST_BATCH as u64 * row <= memory;
            let step = 1 << (depth - 1);
            let shortened = |axis: usize| {
                let mut edges = patch;
                edges[axis] -= step;
                edges
            };
            let order = |axis: &usize| {
                let share = (patch[*axis] as f64 / median[*axis] as f64).min(1.0);
                let keeps_depth = divided(shortened(*axis), depth).0 == depth;
                (keeps_depth, (share * 1e6) as u64, patch[*axis])
            };
            let longest = (0..3)
                .filter(|&axis| patch[axis] > step.max(2 * LEAST_FEATURES))
                .max_by_key(order);
            let (false, Some(axis)) = (fits, longest) else {
                let voxels: f64 = print.first_images().len() as f64
                    * median.iter().map(|n| *n as f64).product::<f64>();
                let of_patch = patch.iter().map(|n| *n as f64).product::<f64>();
                let by_data = (voxels * MOST_OF_DATA / of_patch).round() as usize;
                let by_memory = (memory.saturating_sub(fixed) / row.max(1)) as usize;
                let batch = by_memory.min(by_data).max(LEAST_BATCH);
                return Self {
                    patch_xyz: patch,
                    depth,
                    width,
                    batch,
                    bytes: fixed + batch as u64 * row,
                    memory,
                };
            };
            edges = shortened(axis);
            // Fewer levels need smaller multiples, so that no edge is rounded up again.
            most = depth;
        }
    }
}

/// Levels, at most so many, and the edges rounded up to what those can be divided by.
fn divided(edges: [usize; 3], most: usize) -> (usize, [usize; 3]) {
    let shortest = edges.into_iter().min().unwrap_or_default();
    let halvings = |mut edge: usize| {
        let least = if edge == shortest {
            LEAST_SLICES
        } else {
            LEAST_FEATURES
        };
        let mut count = 0;
        while edge >= 2 * least && count + 1 < most {
            edge = edge.div_ceil(2);
            count += 1;
        }
        count
    };
    let count = edges.map(halvings).into_iter().min().unwrap_or(1).max(1);
    let step = 1 << count;
    (
        count + 1,
        edges.map(|edge| edge.max(1).div_ceil(step) * step),
    )
}

/// Bytes of one row of a step in f32: activations and as much again for their gradients.
///
/// **Law** per level two convolutions on the way down and two on the way up, each with its norm, and the
/// upsampled and joined features; the finest level also holds images and probabilities.
fn bytes_of_row(
    patch: [usize; 3],
    width: usize,
    depth: usize,
    classes: usize,
    modalities: usize,
) -> u64 {
    let voxels: u64 = patch.iter().map(|n| *n as u64).product();
    let mut values = voxels * (modalities + 3 * classes) as u64;
    for level in 0..depth {
        let channels = (width << level).min(MOST_WIDTH) as u64;
        let copies = if level + 1 == depth { 4 } else { 11 };
        values += (voxels >> (3 * level)) * channels * copies;
    }
    2 * 4 * values
}

/// Bytes of weights, gradients and the optimiser's two moments in f32.
fn bytes_of_weights(width: usize, depth: usize) -> u64 {
    let channels = |level: usize| (width << level).min(MOST_WIDTH) as u64;
    let mut weights = 0;
    for level in 0..depth {
        let (own, above) = (channels(level), channels(level.saturating_sub(1)));
        // Down: two convolutions of 27 taps; up: three as wide, and an upsampling of 8 taps.
        weights += 27 * (above * own + own * own);
        weights += 27 * (2 * above * above + above * above) + 8 * own * above;
    }
    4 * 4 * weights
}
