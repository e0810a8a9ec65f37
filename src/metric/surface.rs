//! Distances between the surfaces of two masks: HD95, ASSD, NSD.
//!
//! Published figures named alike differ by what a surface is. Two definitions are here:
//!
//! - [`Definition::Elements`]: surface elements of marching cubes, weighted by their area, at the
//!   corners between voxels (surface-distance; the default of every figure);
//! - [`Definition::Voxels`]: voxels of the mask that lack one of their six neighbours, each
//!   counting the same, at their centres (MedPy, MONAI). Beyond the volume nothing is inside.
//!
//! **Conventions** a figure is `None` where the class is in neither mask. Where it is in one only,
//! distances are `None`, too, for an infinite one would swallow every mean, and NSD is 0: read
//! distances together with NSD or Dice. Distances are those between points in the middle of
//! voxel corners or voxels, along straight lines, with the voxel size along each axis.

mod elements;

use super::crop::Masks;
use crate::kernel::distance::{distances_at, next_feature};

/// Distances up to the tolerance and this share of it are within: f32 distances are that exact.
const SLACK: f64 = 1e-6;

/// What a surface is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definition {
    /// Surface elements, weighted by area.
    Elements,
    /// Voxels on the border, each weighing 1.
    Voxels,
}

/// A point of one surface: how far the other surface is, in mm, and its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Distance to the nearest point of the other surface, mm.
    pub distance_mm: f32,
    /// Area in mm², or 1.
    pub weight: f64,
}

/// Distances between two surfaces, from each to the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Surfaces {
    /// From the truth's surface to the prediction's.
    pub from_truth: Vec<Point>,
    /// From the prediction's surface to the truth's.
    pub from_prediction: Vec<Point>,
}

/// A surface on its grid.
struct Surface {
    /// 1 where a point of the surface is.
    features: Vec<u8>,
    shape_xyz: [usize; 3],
    /// Buffer indices of the points and their weights.
    points: Vec<(usize, f64)>,
}

impl Surface {
    fn of(mask: &[u8], masks: &Masks, definition: Definition) -> Self {
        match definition {
            Definition::Elements => {
                let areas = elements::areas_mm2(masks.spacing_mm);
                let cases = elements::cases(mask, masks.shape_xyz);
                let crosses = |case: &u8| u8::from(*case != 0 && *case != u8::MAX);
                let features: Vec<u8> = cases.iter().map(crosses).collect();
                Self {
                    points: points(&features, |at| areas[usize::from(cases[at])]),
                    features,
                    shape_xyz: masks.shape_xyz.map(|n| n + 1),
                }
            }
            Definition::Voxels => {
                let features = border(mask, masks.shape_xyz);
                Self {
                    points: points(&features, |_| 1.0),
                    features,
                    shape_xyz: masks.shape_xyz,
                }
            }
        }
    }

    /// Points of this surface with their distance to another's.
    fn to(&self, other: &Self, spacing_mm: [f64; 3]) -> Vec<Point> {
        let queries = self.points.iter().map(|(at, _)| *at);
        let distances = distances_at(&other.features, self.shape_xyz, spacing_mm, queries);
        let point = |(distance_mm, &(_, weight))| Point {
            distance_mm,
            weight,
        };
        distances.into_iter().zip(&self.points).map(point).collect()
    }
}

fn points(features: &[u8], weight: impl Fn(usize) -> f64) -> Vec<(usize, f64)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = next_feature(features, from) {
        found.push((at, weight(at)));
        from = at + 1;
    }
    found
}

/// 1 for voxels of a mask of 0 and 1 that lack one of their six neighbours.
fn border(mask: &[u8], shape_xyz: [usize; 3]) -> Vec<u8> {
    let [nx, ny, nz] = shape_xyz;
    let mut out = vec![0; mask.len()];
    let nothing = vec![0; nx];
    let row = |y: Option<usize>, z: Option<usize>| match (y, z) {
        (Some(y), Some(z)) if y < ny && z < nz => &mask[(z * ny + y) * nx..][..nx],
        _ => &nothing[..],
    };
    // The row itself with an empty voxel at both ends.
    let mut own = vec![0u8; nx + 2];
    for (i, to) in out.chunks_exact_mut(nx.max(1)).enumerate() {
        let (y, z) = (i % ny, i / ny);
        own[1..=nx].copy_from_slice(row(Some(y), Some(z)));
        let (before, after) = (row(y.checked_sub(1), Some(z)), row(Some(y + 1), Some(z)));
        let (below, above) = (row(Some(y), z.checked_sub(1)), row(Some(y), Some(z + 1)));
        for (x, to) in to.iter_mut().enumerate() {
            let inner = own[x] & own[x + 2] & before[x] & after[x] & below[x] & above[x];
            *to = own[x + 1] & (1 - inner);
        }
    }
    out
}

/// Measures two masks; `None` where one of them is empty.
pub fn surfaces(masks: &Masks, definition: Definition) -> Option<Surfaces> {
    let truth = Surface::of(&masks.truth, masks, definition);
    let prediction = Surface::of(&masks.prediction, masks, definition);
    if truth.points.is_empty() || prediction.points.is_empty() {
        return None;
    }
    Some(Surfaces {
        from_truth: truth.to(&prediction, masks.spacing_mm),
        from_prediction: prediction.to(&truth, masks.spacing_mm),
    })
}

impl Surfaces {
    /// HD95 as surface-distance computes it, mm.
    ///
    /// **Law** of each direction the smallest distance that 95 % of the surface's area reach; the
    /// larger of both. **Source** `compute_robust_hausdorff(…, 95)`.
    pub fn hd95_mm(&self) -> f64 {
        let one = |points: &[Point]| weighted_percentile(points, 0.95);
        one(&self.from_truth).max(one(&self.from_prediction))
    }

    /// HD95 as MONAI computes it, mm; for [`Definition::Voxels`].
    ///
    /// **Law** of each direction the 95th percentile of the distances, linear between ranks; the
    /// larger of both. **Source** `compute_hausdorff_distance(…, percentile=95)`, not `directed`.
    pub fn hd95_monai_mm(&self) -> f64 {
        let one = |points: &[Point]| percentile(points.iter(), 0.95);
        one(&self.from_truth).max(one(&self.from_prediction))
    }

    /// HD95 as MedPy computes it, mm; for [`Definition::Voxels`].
    ///
    /// **Law** the 95th percentile of the distances of both directions together, linear between
    /// ranks. **Source** `medpy.metric.binary.hd95`.
    pub fn hd95_medpy_mm(&self) -> f64 {
        percentile(self.from_truth.iter().chain(&self.from_prediction), 0.95)
    }

    /// Average symmetric surface distance, mm.
    ///
    /// **Law** mean distance of both surfaces together, weighted. **Source** Heimann et al., IEEE
    /// Trans. Med. Imaging 28 (2009). With [`Definition::Voxels`] it is MedPy's `assd` and MONAI's
    /// `compute_average_surface_distance(…, symmetric=True)`.
    pub fn assd_mm(&self) -> f64 {
        let (truth, prediction) = (sums(&self.from_truth), sums(&self.from_prediction));
        (truth[0] + prediction[0]) / (truth[1] + prediction[1])
    }

    /// Weighted mean distances from the truth's surface, and from the prediction's, mm.
    ///
    /// **Source** surface-distance's `compute_average_surface_distance`.
    pub fn means_mm(&self) -> [f64; 2] {
        [&self.from_truth, &self.from_prediction].map(|points| {
            let [distance, weight] = sums(points);
            distance / weight
        })
    }

    /// Normalised surface Dice: share of both surfaces that is within a tolerance of the other.
    ///
    /// **Source** Nikolov et al. 2018, arXiv:1809.04430; `compute_surface_dice_at_tolerance`.
    pub fn nsd(&self, tolerance_mm: f64) -> f64 {
        let limit = tolerance_mm * (1.0 + SLACK);
        let both = || self.from_truth.iter().chain(&self.from_prediction);
        let near = both().filter(|p| f64::from(p.distance_mm) <= limit);
        // From 0: the sum of no floats is -0 in Rust, and where nothing agrees none is near.
        let weight = |sum: f64, p: &Point| sum + p.weight;
        near.fold(0.0, weight) / both().fold(0.0, weight)
    }
}

/// Sum of distance times weight, and of weight.
fn sums(points: &[Point]) -> [f64; 2] {
    let add = |[distance, weight]: [f64; 2], p: &Point| {
        [
            distance + f64::from(p.distance_mm) * p.weight,
            weight + p.weight,
        ]
    };
    points.iter().fold([0.0; 2], add)
}

/// Percentile of the distances, linear between the two ranks on its sides.
fn percentile<'p>(points: impl Iterator<Item = &'p Point>, share: f64) -> f64 {
    let mut distances: Vec<f32> = points.map(|p| p.distance_mm).collect();
    let rank = share * (distances.len() - 1) as f64;
    let low = rank as usize;
    let (_, &mut at, above) = distances.select_nth_unstable_by(low, f32::total_cmp);
    let next = above.iter().copied().min_by(f32::total_cmp).unwrap_or(at);
    let t = rank - low as f64;
    f64::from(at) * (1.0 - t) + f64::from(next) * t
}

/// The smallest distance up to which the points weigh at least a share of all.
fn weighted_percentile(points: &[Point], share: f64) -> f64 {
    let mut points = points.to_vec();
    let mut rest = &mut points[..];
    let target = share * sums(rest)[1];
    let mut before = 0.0;
    // The range that holds the distance is halved until one point is left.
    while rest.len() > 1 {
        let by_distance = |a: &Point, b: &Point| a.distance_mm.total_cmp(&b.distance_mm);
        let middle = rest.len() / 2;
        rest.select_nth_unstable_by(middle, by_distance);
        let (low, high) = rest.split_at_mut(middle);
        let weight = sums(low)[1];
        if before + weight >= target {
            rest = low;
        } else {
            before += weight;
            rest = high;
        }
    }
    rest.first().map_or(0.0, |p| f64::from(p.distance_mm))
}

#[cfg(test)]
mod tests;
