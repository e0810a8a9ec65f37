//! Prediction of whole volumes by a sliding window with Gaussian blending.

use super::TrainError;
use super::model::Model;
use crate::kernel::vote::{Votes, painted, winners};
use crate::volume::region::paint;
use crate::volume::{Grid, LabelRegion, Row, Volume};
use candle_core::Tensor;

/// A sliding window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Voxels along x, y, z.
    pub size_xyz: [usize; 3],
    /// Fraction by which neighbours overlap.
    pub overlap: f64,
    /// Axes x, y, z along which each window is predicted mirrored, too; the mean of all counts.
    pub flips: [bool; 3],
}

/// A voxel is in a region if its probability is above this.
const IN_REGION: f32 = 0.5;

/// Probabilities of one head on the prepared grid.
#[derive(Debug, Clone)]
pub struct Probabilities {
    /// `[z, y, x, output]`: classes, summing to 1 at each voxel, or regions, each from 0 to 1 by itself.
    pub values: Vec<f32>,
    /// Where the voxels stand.
    pub grid: Grid,
    /// Number of classes or regions.
    pub outputs: usize,
    /// The regions, in the order in which they are painted; empty for classes.
    pub regions: Vec<LabelRegion>,
}

impl Probabilities {
    /// The class at every voxel of another grid and its probability.
    ///
    /// **Law** Of classes the winner, see [`winners`]; of regions what [`paint`] makes of those whose
    /// probability is above 0.5, see [`painted`].
    pub fn on_grid(&self, target: &Grid) -> (Vec<u8>, Vec<f32>) {
        let source_from_target = self.grid.voxel_from_world() * target.world_from_voxel();
        let votes = Votes {
            values: &self.values,
            shape_xyz: self.grid.shape_xyz(),
            outputs: self.outputs,
        };
        let shape_xyz = target.shape_xyz();
        match self.regions.is_empty() {
            true => winners(votes, source_from_target, shape_xyz),
            false => painted(votes, source_from_target, shape_xyz, |p| {
                paint(&self.regions, |region| p[region] > IN_REGION)
            }),
        }
    }
}

/// Offsets of windows along one axis: they cover it, overlap at least as asked, and lie evenly.
///
/// An axis shorter than the window gets one window that begins before it, centred.
pub fn offsets(axis: usize, window: usize, overlap: f64) -> Vec<i64> {
    if axis <= window {
        return vec![-(((window - axis) / 2) as i64)];
    }
    let step = ((window as f64 * (1.0 - overlap)).floor()).max(1.0);
    let count = ((axis - window) as f64 / step).ceil() as usize;
    (0..=count)
        .map(|i| (i * (axis - window)).div_ceil(count).min(axis - window) as i64)
        .collect()
}

/// Weight of a voxel along one axis of a window: a Gaussian about its middle.
///
/// **Law** sigma is an eighth of the window, as nnU-Net blends (Isensee et al. 2021).
fn gaussian(window: usize) -> Vec<f32> {
    let (middle, sigma) = ((window as f64 - 1.0) / 2.0, window as f64 / 8.0);
    (0..window)
        .map(|i| (-0.5 * ((i as f64 - middle) / sigma).powi(2)).exp() as f32)
        .collect()
}

/// A window of a volume as f32 `[z, y, x]`; voxels beyond it take the volume's minimum (background).
fn cut(
    values: &[f32],
    shape_xyz: [usize; 3],
    start: [i64; 3],
    size: [usize; 3],
    background: f32,
) -> Vec<f32> {
    let [nx, ny, nz] = shape_xyz;
    let mut out = vec![background; size.iter().product()];
    let (from, to) = (
        start[0].max(0) as usize,
        (start[0] + size[0] as i64).clamp(0, nx as i64) as usize,
    );
    for (z, y) in (0..size[2]).flat_map(|z| (0..size[1]).map(move |y| (z, y))) {
        let (sz, sy) = (start[2] + z as i64, start[1] + y as i64);
        if from < to && (0..nz as i64).contains(&sz) && (0..ny as i64).contains(&sy) {
            let line = (sz as usize * ny + sy as usize) * nx;
            let at = (z * size[1] + y) * size[0] + (from as i64 - start[0]) as usize;
            out[at..at + to - from].copy_from_slice(&values[line + from..line + to]);
        }
    }
    out
}

/// Predicts every head on the row's grid; `None` where a head's modality is missing.
///
/// With several models, which have the same modalities, classes and heads, the mean of their
/// probabilities counts in each window: memory does not grow with their number.
/// **Errors** when no image is present, or modalities stand on different grids.
pub fn predict(
    models: &[Model],
    row: &Row,
    window: Window,
) -> Result<Vec<Option<Probabilities>>, TrainError> {
    let refuse = |problem: String| TrainError::Batch {
        subject: row.subject.clone(),
        problem,
    };
    let Some(model) = models.first() else {
        return Err(refuse("no network is there to predict it".to_owned()));
    };
    let Some((first, volume)) = row.first_image() else {
        return Err(refuse("no modality is present".to_owned()));
    };
    let grid = *volume.grid();
    let by_name = |name: &String| {
        row.images
            .iter()
            .find(|c| c.name == *name)
            .and_then(|c| c.volume.as_ref())
    };
    let volumes: Vec<Option<&Volume>> = model.spec.modalities.iter().map(by_name).collect();
    if volumes.iter().all(Option::is_none) {
        return Err(refuse(format!(
            "none of the network's modalities ({}) is present",
            model.spec.modalities.join(", ")
        )));
    }
    for other in volumes.iter().flatten() {
        if other.grid().shape_xyz() != grid.shape_xyz() {
            let problem = format!(
                "image.{first} and another modality stand on different grids; add `resample` to `stages`"
            );
            return Err(refuse(problem));
        }
    }
    let images: Vec<Option<Values<'_>>> = volumes
        .iter()
        .map(|v| {
            v.map(|v| {
                let values = v.to_f32();
                let background = values.iter().copied().fold(f32::INFINITY, f32::min);
                (values, background)
            })
        })
        .collect();
    let outputs = model.spec.outputs();
    let mut sums: Vec<Option<Vec<f32>>> = vec![None; model.head_names().len()];
    let mut weights = vec![0f32; grid.voxel_count()];
    let axis = |i: usize| offsets(grid.shape_xyz()[i], window.size_xyz[i], window.overlap);
    let kernel = window.size_xyz.map(gaussian);
    for z in axis(2) {
        for y in axis(1) {
            for x in axis(0) {
                let start = [x, y, z];
                let found = infer_window(models, &images, &grid, start, window)?;
                let blend = Blend {
                    grid: &grid,
                    start,
                    size: window.size_xyz,
                    kernel: &kernel,
                };
                blend.each(|voxel, _, weight| weights[voxel] += weight);
                for (sum, found) in sums.iter_mut().zip(found) {
                    let Some(found) = found else { continue };
                    let p = found.flatten_all()?.to_vec1::<f32>()?;
                    let sum = sum.get_or_insert_with(|| vec![0f32; grid.voxel_count() * outputs]);
                    blend.each(|voxel, at, weight| {
                        let into = &mut sum[voxel * outputs..][..outputs];
                        into.iter_mut()
                            .zip(&p[at * outputs..][..outputs])
                            .for_each(|(s, p)| *s += weight * p);
                    });
                }
            }
        }
    }
    let finish = |mut values: Vec<f32>| {
        values
            .chunks_exact_mut(outputs)
            .zip(&weights)
            .for_each(|(v, w)| v.iter_mut().for_each(|p| *p /= w));
        Probabilities {
            values,
            grid,
            outputs,
            regions: model.spec.regions.clone(),
        }
    };
    Ok(sums.into_iter().map(|s| s.map(finish)).collect())
}

/// A modality's values `[z, y, x]` and its background.
type Values<'a> = (std::borrow::Cow<'a, [f32]>, f32);

/// Probabilities of one window, the mean over its mirrored predictions by every model.
///
/// **Source** mirroring at test time as in nnU-Net (Isensee et al. 2021): 2 to the power of the
/// axes predictions.
fn infer_window(
    models: &[Model],
    images: &[Option<Values<'_>>],
    grid: &Grid,
    start: [i64; 3],
    window: Window,
) -> Result<Vec<Option<Tensor>>, TrainError> {
    let size = window.size_xyz;
    let shape = (1, size[2], size[1], size[0], 1);
    let device = models[0].device();
    let tensors = images
        .iter()
        .map(|image| {
            let patch = image.as_ref().map(|(values, background)| {
                cut(values, grid.shape_xyz(), start, size, *background)
            });
            patch
                .map(|p| Tensor::from_vec(p, shape, device))
                .transpose()
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    let mut sums: Vec<Option<Tensor>> = vec![None; models[0].head_names().len()];
    let mirrors = mirrors(window.flips);
    for axes in &mirrors {
        let mirrored = |t: &Option<Tensor>| t.as_ref().map(|t| t.flip(axes)).transpose();
        let seen = tensors.iter().map(mirrored);
        let seen = seen.collect::<candle_core::Result<Vec<_>>>()?;
        for model in models {
            for (sum, logits) in sums.iter_mut().zip(&model.infer(&seen)?) {
                let Some(logits) = logits else { continue };
                let found = model.probabilities(logits)?.flip(axes)?;
                *sum = Some(match sum.take() {
                    Some(sum) => (sum + found)?,
                    None => found,
                });
            }
        }
    }
    let predictions = (mirrors.len() * models.len()) as f64;
    let mean = |sum: Tensor| Ok((sum / predictions)?);
    sums.into_iter().map(|s| s.map(mean).transpose()).collect()
}

/// Axes of `[n, d, h, w, c]` to mirror, for each prediction; the first mirrors none.
fn mirrors(flips_xyz: [bool; 3]) -> Vec<Vec<usize>> {
    let axes: Vec<usize> = (0..3).filter(|a| flips_xyz[*a]).map(|a| 3 - a).collect();
    let chosen = |bits: usize| {
        let is_in = |(i, axis): (usize, &usize)| (bits >> i & 1 == 1).then_some(*axis);
        axes.iter().enumerate().filter_map(is_in).collect()
    };
    (0..1 << axes.len()).map(chosen).collect()
}

/// One window laid over a volume.
struct Blend<'a> {
    grid: &'a Grid,
    start: [i64; 3],
    size: [usize; 3],
    kernel: &'a [Vec<f32>; 3],
}

impl Blend<'_> {
    /// Calls `f(voxel of the volume, voxel of the window, weight)` for all voxels inside the volume.
    fn each(&self, mut f: impl FnMut(usize, usize, f32)) {
        let [nx, ny, nz] = self.grid.shape_xyz();
        let inside = |start: i64, i: usize, n: usize| {
            usize::try_from(start + i as i64).ok().filter(|at| *at < n)
        };
        for z in 0..self.size[2] {
            let Some(vz) = inside(self.start[2], z, nz) else {
                continue;
            };
            for y in 0..self.size[1] {
                let Some(vy) = inside(self.start[1], y, ny) else {
                    continue;
                };
                // The floor keeps corners of a lone window from vanishing.
                let weight = self.kernel[2][z] * self.kernel[1][y];
                for x in 0..self.size[0] {
                    let Some(vx) = inside(self.start[0], x, nx) else {
                        continue;
                    };
                    f(
                        (vz * ny + vy) * nx + vx,
                        (z * self.size[1] + y) * self.size[0] + x,
                        (weight * self.kernel[0][x]).max(1e-6),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
