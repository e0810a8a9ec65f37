//! Agreement of a predicted label map with the truth, class by class and region by region.

use crate::metric::{
    ClassFigures, ClassScore, Confusion, Wanted, confusion, figures, figures_of_union,
};
use crate::nn::dice_ce::IGNORE;
use crate::train::TrainError;
use crate::train::batch::classes_of;
use crate::train::model::ModelSpec;
use crate::train::postprocessing::{every_class, largest_of_region};
use crate::volume::region::table_number;
use crate::volume::{Grid, LabelRegion, Volume};
use std::borrow::Cow;
use std::error::Error;

/// Agreement on a class or a region.
pub struct Scored {
    /// Class number, or the [`table_number`] of a region.
    pub number: i32,
    /// Name of the class or region.
    pub name: String,
    /// Dice and volumes.
    pub score: ClassScore,
    /// Further figures.
    pub figures: ClassFigures,
}

/// What keeping the largest component of a class or region alone does to its own score.
pub struct Cleaned {
    /// Class number, or the [`table_number`] of a region.
    pub number: i32,
    /// Name of the class or region.
    pub name: String,
    /// With all components.
    pub all: ClassScore,
    /// With the largest alone.
    pub largest: ClassScore,
}

/// A truth on its grid, read for a network's classes.
pub(super) struct Truth<'a> {
    spec: &'a ModelSpec,
    /// Class numbers; [`IGNORE`] where nobody annotated.
    values: Vec<u8>,
    grid: &'a Grid,
}

impl<'a> Truth<'a> {
    /// **Errors** if the label map holds a value that is no class.
    pub(super) fn new(
        spec: &'a ModelSpec,
        label: &'a Volume,
        subject: &str,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            spec,
            values: classes_of(label, spec.classes.len(), subject)?,
            grid: label.grid(),
        })
    }

    /// Counts over the voxels that somebody annotated: the others say nothing about the prediction.
    fn counts(&self, predicted: &[u8]) -> Result<Confusion, Box<dyn Error>> {
        let annotated = predicted.iter().copied().zip(self.values.iter().copied());
        let annotated = annotated.filter(|(_, t)| *t != IGNORE);
        let (kept, kept_truth): (Vec<u8>, Vec<u8>) = annotated.unzip();
        Ok(confusion(&kept, &kept_truth, self.spec.classes.len())?)
    }

    fn of_union(&self, counts: &Confusion, position: usize, classes: &[u8]) -> ClassScore {
        let classes: Vec<usize> = classes.iter().map(|class| usize::from(*class)).collect();
        counts.union(position, &classes, self.grid.voxel_volume_mm3())
    }

    fn of_region(&self, counts: &Confusion, position: usize) -> ClassScore {
        self.of_union(counts, position, &self.spec.regions[position].classes)
    }

    /// Agreement on every class, the background included, then on every region, then on every union that is wanted.
    ///
    /// **Errors** if the prediction lies on another grid or holds a value that is no class.
    pub(super) fn scored(
        &self,
        predicted: &[u8],
        wanted: &Wanted,
    ) -> Result<Vec<Scored>, Box<dyn Error>> {
        let counts = self.counts(predicted)?;
        let (mut truth, mut predicted) = (Cow::Borrowed(&self.values), Cow::Borrowed(predicted));
        if truth.contains(&IGNORE) {
            // A shape needs its neighbours: there both maps hold background.
            for (t, p) in truth.to_mut().iter_mut().zip(predicted.to_mut()) {
                if *t == IGNORE {
                    (*t, *p) = (0, 0);
                }
            }
        }
        let place = (self.grid.shape_xyz(), self.grid.spacing_mm());
        let names = &self.spec.classes;
        let measured = figures(&predicted, &truth, place, names.len(), wanted)?;
        let scores = counts.scores(self.grid.voxel_volume_mm3()).into_iter();
        let classes = scores.zip(measured).zip(names);
        let mut all: Vec<Scored> = classes
            .map(|((score, figures), name)| Scored {
                number: score.class_id as i32,
                name: name.clone(),
                score,
                figures,
            })
            .collect();
        let trained = (self.spec.regions.iter()).map(|region| (&region.name, &region.classes));
        let unions = wanted
            .unions
            .iter()
            .map(|union| (&union.name, &union.classes));
        for (position, (name, classes)) in trained.chain(unions).enumerate() {
            all.push(Scored {
                number: table_number(position),
                name: name.clone(),
                score: self.of_union(&counts, position, classes),
                figures: figures_of_union(&predicted, &truth, place, classes, wanted)?,
            });
        }
        Ok(all)
    }

    /// What cleaning does to every foreground class, or, of a network with regions, to every region.
    ///
    /// **Errors** as [`scored`](Self::scored).
    pub(super) fn cleaned(&self, predicted: &[u8]) -> Result<Vec<Cleaned>, Box<dyn Error>> {
        let (before, shape_xyz) = (self.counts(predicted)?, self.grid.shape_xyz());
        if !self.spec.regions.is_empty() {
            let regions = self.spec.regions.iter().enumerate();
            let each = regions.map(|of| self.cleaned_region(predicted, &before, of));
            return each.collect();
        }
        let scores = |counts: &Confusion| counts.scores(self.grid.voxel_volume_mm3());
        let all = scores(&before);
        let largest = match every_class(predicted, shape_xyz) {
            Some(largest) => scores(&self.counts(&largest)?),
            None => all.clone(),
        };
        let pairs = all.into_iter().zip(largest).zip(&self.spec.classes);
        let each = pairs.skip(1).map(|((all, largest), name)| Cleaned {
            number: all.class_id as i32,
            name: name.clone(),
            all,
            largest,
        });
        Ok(each.collect())
    }

    fn cleaned_region(
        &self,
        predicted: &[u8],
        before: &Confusion,
        (position, region): (usize, &LabelRegion),
    ) -> Result<Cleaned, Box<dyn Error>> {
        let shape_xyz = self.grid.shape_xyz();
        let all = self.of_region(before, position);
        let largest = match largest_of_region(predicted, shape_xyz, &self.spec.regions, position) {
            Some(largest) => self.of_region(&self.counts(&largest)?, position),
            None => all,
        };
        Ok(Cleaned {
            number: table_number(position),
            name: region.name.clone(),
            all,
            largest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;
    use crate::nn::network::NetworkSpec;
    use crate::volume::region::tests::nested;

    fn spec() -> ModelSpec {
        ModelSpec {
            network: NetworkSpec::default(),
            classes: ["background", "edema", "necrosis", "active"]
                .map(str::to_owned)
                .to_vec(),
            modalities: vec!["mr".to_owned()],
            regions: nested(),
        }
    }

    fn map(values: &[u8]) -> Volume {
        let grid = Grid::with_spacing([values.len(), 1, 1], [10.0; 3]).unwrap();
        Volume::from_vec(values.to_vec(), grid).unwrap()
    }

    #[test]
    fn regions_are_scored_as_unions_behind_the_classes() {
        // A class taken for another of its region costs the class alone; 255 costs nothing.
        let label = map(&[0, 1, 2, 3, 3, IGNORE]);
        let spec = spec();
        let truth = Truth::new(&spec, &label, "s").unwrap();
        let wanted = Wanted {
            metrics: vec![Metric::Hd95MonaiMm],
            ..Wanted::default()
        };
        let scored = truth.scored(&[0, 1, 3, 3, 1, 2], &wanted).unwrap();
        let numbers: Vec<(i32, &str)> = scored.iter().map(|s| (s.number, &*s.name)).collect();
        assert_eq!(
            numbers[3..],
            [
                (3, "active"),
                (-1, "whole"),
                (-2, "core"),
                (-3, "enhancing")
            ]
        );
        let dice: Vec<Option<f64>> = scored[1..].iter().map(|s| s.score.dice).collect();
        let expected = [2.0 / 3.0, 0.0, 0.5, 1.0, 0.8, 0.5].map(Some);
        assert_eq!(dice, expected);
        assert_eq!(
            (scored[4].score.truth_ml, scored[4].score.predicted_voxels),
            (4.0, 4)
        );
        assert_eq!(scored[4].figures.hd95_monai_mm, Some(0.0));
        assert!(scored[5].figures.hd95_monai_mm.is_some_and(|mm| mm > 0.0));
    }

    #[test]
    fn cleaning_is_tried_on_regions() {
        let label = map(&[1, 2, 3, 0, 0, 0, 0, 0]);
        let spec = spec();
        let truth = Truth::new(&spec, &label, "s").unwrap();
        let cleaned = truth.cleaned(&[1, 2, 3, 0, 2, 0, 1, 0]).unwrap();
        let dice: Vec<[Option<f64>; 2]> = (cleaned.iter())
            .map(|c| [c.all.dice, c.largest.dice])
            .collect();
        assert_eq!(dice[0], [Some(0.75), Some(1.0)]);
        assert_eq!(dice[1], [Some(0.8), Some(1.0)]);
        assert_eq!(dice[2], [Some(1.0), Some(1.0)]);
        let classes = ModelSpec {
            regions: Vec::new(),
            ..spec.clone()
        };
        let truth = Truth::new(&classes, &label, "s").unwrap();
        let numbers: Vec<i32> = (truth.cleaned(&[0; 8]).unwrap().iter())
            .map(|c| c.number)
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
