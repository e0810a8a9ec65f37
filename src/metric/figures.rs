//! Which figures are computed, and all of them for every class of two label maps.

use super::crop::{Masks, boxes, mask};
use super::lesion::{Lesions, lesions};
use super::surface::{Definition, surfaces};
use super::{MetricError, same_length};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure of the agreement of prediction and truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Dice coefficient; always computed.
    Dice,
    /// Volumes of truth and prediction in ml; always computed.
    VolumeMl,
    /// Relative difference of the volumes, (predicted - truth) / truth.
    VolumeDifference,
    /// 95th percentile of surface distances in mm, weighted by area, the larger of both directions (surface-distance).
    Hd95Mm,
    /// The same over border voxels, unweighted (MONAI).
    Hd95MonaiMm,
    /// Over border voxels of both directions together (MedPy).
    Hd95MedpyMm,
    /// Average symmetric surface distance in mm, weighted by area.
    AssdMm,
    /// Normalised surface Dice at each tolerance of `nsd_tolerance_mm`.
    Nsd,
    /// Lesion-wise F1: connected components found and invented.
    LesionF1,
}

/// What the surface distances of a class are that is in one of prediction and truth only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissedDistance {
    /// Null: an average leaves the class out; the column `missed` counts what was not found.
    #[default]
    Undefined,
    /// The diagonal of the truth's volume in mm, the largest distance that there can be, so that a missed structure makes an average worse.
    ImageDiagonal,
}

/// Which figures are wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// The figures.
    pub metrics: Vec<Metric>,
    /// Tolerances of [`Metric::Nsd`] in mm, at least 0.
    pub nsd_tolerance_mm: Vec<f64>,
    /// Distances of a class that is in one of the maps only.
    pub missed_distance: MissedDistance,
    /// Unions of classes that are scored beside what the network was trained on.
    pub unions: Vec<ClassUnion>,
}

/// A union of classes that is scored as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassUnion {
    /// Its name; no class and no other union has the same.
    pub name: String,
    /// Numbers of its classes, ascending; never 0, the background.
    pub classes: Vec<u8>,
}

impl Wanted {
    fn any(&self, of: &[Metric]) -> bool {
        self.metrics.iter().any(|m| of.contains(m))
    }

    /// Returns `true` if a figure needs more than counts of voxels.
    pub fn shapes(&self) -> bool {
        self.elements() || self.voxels() || self.any(&[Metric::LesionF1])
    }

    fn elements(&self) -> bool {
        self.any(&[Metric::Hd95Mm, Metric::AssdMm, Metric::Nsd])
    }

    fn voxels(&self) -> bool {
        self.any(&[Metric::Hd95MonaiMm, Metric::Hd95MedpyMm])
    }
}

/// Figures of one class that need more than counts of voxels; `None` where they are undefined or
/// not wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassFigures {
    /// [`Metric::Hd95Mm`].
    pub hd95_mm: Option<f64>,
    /// [`Metric::Hd95MonaiMm`].
    pub hd95_monai_mm: Option<f64>,
    /// [`Metric::Hd95MedpyMm`].
    pub hd95_medpy_mm: Option<f64>,
    /// [`Metric::AssdMm`].
    pub assd_mm: Option<f64>,
    /// [`Metric::Nsd`], one a tolerance; empty where undefined or not wanted.
    pub nsd: Vec<f64>,
    /// Lesions, for [`Metric::LesionF1`].
    pub lesions: Option<Lesions>,
}

/// Figures of every class, by class number; the background has none.
///
/// Each class is cut to the box that holds it in either map, and each of its surfaces is looked
/// for once, whatever is wanted.
///
/// **Shape** both maps `[z, y, x]` of `shape_xyz`; `spacing_mm` along x, y, z.
/// **Errors** when a map's length is not that of the shape.
pub fn figures(
    prediction: &[u8],
    truth: &[u8],
    (shape_xyz, spacing_mm): ([usize; 3], [f64; 3]),
    classes: usize,
    wanted: &Wanted,
) -> Result<Vec<ClassFigures>, MetricError> {
    same_length(prediction.len(), truth.len())?;
    same_length(prediction.len(), shape_xyz.iter().product())?;
    let mut all = vec![ClassFigures::default(); classes];
    if !wanted.shapes() {
        return Ok(all);
    }
    let found = boxes([prediction, truth], shape_xyz, classes.min(256));
    for (class, region) in found.into_iter().enumerate().skip(1) {
        let Some(region) = region else {
            // In neither map: no distances, but no lesions is a count.
            let lesions = wanted.any(&[Metric::LesionF1]);
            all[class].lesions = lesions.then(Lesions::default);
            continue;
        };
        let cut = |map| mask(map, shape_xyz, region, class as u8);
        let masks = Masks {
            truth: cut(truth),
            prediction: cut(prediction),
            shape_xyz: region.shape_xyz,
            spacing_mm,
        };
        all[class] = of_class(&masks, wanted);
        let in_one = !(masks.truth.contains(&1) && masks.prediction.contains(&1));
        if in_one && wanted.missed_distance == MissedDistance::ImageDiagonal {
            all[class].set_distances(wanted, diagonal_mm(shape_xyz, spacing_mm));
        }
    }
    Ok(all)
}

/// Figures of a union of classes, such as a region; nothing where no figure is wanted.
///
/// **Shape** and **Errors** as [`figures`].
pub fn figures_of_union(
    prediction: &[u8],
    truth: &[u8],
    place: ([usize; 3], [f64; 3]),
    classes: &[u8],
    wanted: &Wanted,
) -> Result<ClassFigures, MetricError> {
    if !wanted.shapes() {
        return Ok(ClassFigures::default());
    }
    let merged = |map: &[u8]| -> Vec<u8> {
        map.iter()
            .map(|class| u8::from(classes.contains(class)))
            .collect()
    };
    let mut found = figures(&merged(prediction), &merged(truth), place, 2, wanted)?;
    Ok(found.swap_remove(1))
}

/// Distance between two opposite corners of a volume, mm.
fn diagonal_mm(shape_xyz: [usize; 3], spacing_mm: [f64; 3]) -> f64 {
    let squares = shape_xyz
        .iter()
        .zip(spacing_mm)
        .map(|(&n, mm)| (n as f64 * mm).powi(2));
    squares.sum::<f64>().sqrt()
}

impl ClassFigures {
    /// Gives every wanted surface distance the same value.
    fn set_distances(&mut self, wanted: &Wanted, mm: f64) {
        let value = |metric| wanted.any(&[metric]).then_some(mm);
        self.hd95_mm = value(Metric::Hd95Mm);
        self.hd95_monai_mm = value(Metric::Hd95MonaiMm);
        self.hd95_medpy_mm = value(Metric::Hd95MedpyMm);
        self.assd_mm = value(Metric::AssdMm);
    }
}

fn of_class(masks: &Masks, wanted: &Wanted) -> ClassFigures {
    let wants = |metric| wanted.any(&[metric]);
    let mut figures = ClassFigures::default();
    if wanted.elements() {
        let measured = surfaces(masks, Definition::Elements);
        let measured = measured.as_ref();
        let nsd = |tolerance: &f64| measured.map_or(0.0, |s| s.nsd(*tolerance));
        figures.hd95_mm = measured
            .filter(|_| wants(Metric::Hd95Mm))
            .map(|s| s.hd95_mm());
        figures.assd_mm = measured
            .filter(|_| wants(Metric::AssdMm))
            .map(|s| s.assd_mm());
        if wants(Metric::Nsd) {
            figures.nsd = wanted.nsd_tolerance_mm.iter().map(nsd).collect();
        }
    }
    if wanted.voxels() {
        let measured = surfaces(masks, Definition::Voxels);
        let measured = measured.as_ref();
        let monai = measured.filter(|_| wants(Metric::Hd95MonaiMm));
        let medpy = measured.filter(|_| wants(Metric::Hd95MedpyMm));
        figures.hd95_monai_mm = monai.map(|s| s.hd95_monai_mm());
        figures.hd95_medpy_mm = medpy.map(|s| s.hd95_medpy_mm());
    }
    if wants(Metric::LesionF1) {
        figures.lesions = Some(lesions(masks));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_in_neither_map_has_no_lesions() {
        let wanted = Wanted {
            metrics: vec![Metric::LesionF1],
            ..Wanted::default()
        };
        let found = figures(&[0, 1], &[0, 1], ([2, 1, 1], [1.0; 3]), 3, &wanted).unwrap();
        let lesions = found[2].lesions.unwrap();
        assert_eq!((lesions, lesions.f1()), (Lesions::default(), None));
        assert_eq!(found[1].lesions.unwrap().truth, 1);
    }

    /// Classes 1 and 2 in one map each, class 3 in both; a volume of 6 x 3 x 2 mm.
    fn distances(missed_distance: MissedDistance) -> Vec<ClassFigures> {
        let truth = [1, 0, 3, 3, 0, 0];
        let prediction = [0, 2, 3, 0, 0, 0];
        let wanted = Wanted {
            metrics: vec![Metric::Hd95Mm, Metric::Hd95MonaiMm, Metric::Nsd],
            nsd_tolerance_mm: vec![1.0],
            missed_distance,
            unions: Vec::new(),
        };
        figures(
            &prediction,
            &truth,
            ([6, 1, 1], [1.0, 3.0, 2.0]),
            5,
            &wanted,
        )
        .unwrap()
    }

    #[test]
    fn a_class_in_one_map_only_is_as_far_away_as_can_be_where_that_is_declared() {
        let undefined = distances(MissedDistance::Undefined);
        let diagonal = distances(MissedDistance::ImageDiagonal);
        for class in [1, 2] {
            assert_eq!(undefined[class].hd95_mm, None);
            assert_eq!(diagonal[class].hd95_mm, Some(7.0));
            assert_eq!(diagonal[class].hd95_monai_mm, Some(7.0));
            // Not wanted, so not there; the normalised surface Dice is 0 either way.
            assert_eq!(diagonal[class].assd_mm, None);
            assert_eq!(diagonal[class].nsd, [0.0]);
        }
        assert_eq!(diagonal[3], undefined[3]);
        assert!(diagonal[3].hd95_mm.is_some_and(|mm| mm < 3.0));
        // In neither map there is nothing to miss.
        assert_eq!(diagonal[4], ClassFigures::default());
    }

    #[test]
    fn a_union_is_measured_as_one_surface() {
        let (truth, prediction) = ([0, 1, 2, 2, 0, 3], [0, 2, 2, 1, 1, 3]);
        let wanted = Wanted {
            metrics: vec![Metric::Hd95MonaiMm],
            ..Wanted::default()
        };
        let place = ([6, 1, 1], [1.5, 1.0, 1.0]);
        let of = |classes: &[u8]| {
            let found = figures_of_union(&prediction, &truth, place, classes, &wanted);
            found.unwrap().hd95_monai_mm
        };
        // The border between both classes is inside of their union, of which one voxel in four is 1.5 mm too far.
        let union = of(&[1, 2]).unwrap();
        assert!((union - 0.85 * 1.5).abs() < 1e-9, "{union}");
        assert_eq!(of(&[3]), Some(0.0));
        assert!(of(&[1]).unwrap() > 3.0);
        assert_eq!(of(&[4]), None);
    }
}
