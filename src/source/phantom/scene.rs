//! One subject of a phantom cohort: its anatomy, how it lies in each modality, its volumes.

use super::anatomy::{Anatomy, extent_mm};
use super::cohort::PhantomCohort;
use super::motion::Motion;
use super::tissues::{Lattice, Tissues};
use crate::draw::SampleRng;
use crate::source::{SubjectRecord, VolumeRef};
use crate::volume::{Channel, Split, Volume, VolumeError};
use glam::{DAffine3, DQuat, DVec3};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Label of voxels that nobody annotated; training ignores them.
const NOT_ANNOTATED: u8 = 255;

/// What a subject's volumes are rendered from.
pub(super) struct Scene<'a> {
    cohort: &'a PhantomCohort,
    subject: &'a SubjectRecord,
    index: usize,
    anatomy: Anatomy,
    /// Tissues of the cohort's grid without motion, which several volumes share.
    still: OnceLock<Arc<Tissues>>,
}

impl<'a> Scene<'a> {
    /// **Errors** if the subject is none of this phantom.
    pub(super) fn new(
        cohort: &'a PhantomCohort,
        subject: &'a SubjectRecord,
    ) -> Result<Self, VolumeError> {
        let index = cohort.index(subject)?;
        let (spec, rng) = (&cohort.spec, &mut cohort.rng(index, "anatomy"));
        let mut anatomy = Anatomy::draw(rng, &cohort.grid, spec.classes);
        if let Some(lesions) = &spec.lesions {
            anatomy.add_lesions(&mut cohort.rng(index, "lesions"), lesions);
        }
        Ok(Self {
            cohort,
            subject,
            index,
            anatomy,
            still: OnceLock::new(),
        })
    }

    fn rng(&self, purpose: &str) -> SampleRng {
        self.cohort.rng(self.index, purpose)
    }

    /// How the anatomy lies in a modality's frame; the first modality's is the anatomy's own.
    fn motion(&self, modality: usize) -> Motion {
        let spec = &self.cohort.spec;
        match &spec.misalignment {
            _ if modality == 0 => Motion::none(),
            Some(drawn) => {
                let mut rng = self.rng(&format!("motion[{modality}]"));
                Motion::draw(&mut rng, drawn, extent_mm(&self.cohort.grid))
            }
            None if spec.misalign_mm == 0.0 => Motion::none(),
            None => Motion::rigid(self.pose(modality)),
        }
    }

    /// A motion of up to `misalign_mm` about the grid's centre.
    ///
    /// **Law** The amount is uniform in [0, `misalign_mm`], shared at random between a translation and
    /// a rotation; no point within 0.5 of the largest extent from the centre moves further.
    fn pose(&self, modality: usize) -> DAffine3 {
        let mut rng = self.rng(&format!("pose[{modality}]"));
        let amount = rng.uniform(0.0, self.cohort.spec.misalign_mm);
        let share = rng.unit();
        let mut direction =
            || DVec3::new(rng.normal(), rng.normal(), rng.normal()).normalize_or(DVec3::X);
        let (shift, axis) = (direction(), direction());
        let extent = extent_mm(&self.cohort.grid).max_element();
        // The chord of a turn is at most angle times radius.
        let angle = (1.0 - share) * amount / (0.5 * extent);
        DAffine3::from_rotation_translation(
            DQuat::from_axis_angle(axis, angle),
            shift * share * amount,
        )
    }

    /// Tissues in a modality's frame, its voxels divided into `parts`.
    fn tissues(&self, modality: usize, parts: [usize; 3]) -> Arc<Tissues> {
        let lattice = Lattice::of(&self.cohort.grids[modality]).divided(parts);
        let motion = self.motion(modality);
        if !motion.is_none() || lattice != Lattice::of(&self.cohort.grid) {
            return Arc::new(self.anatomy.tissues(lattice, &motion));
        }
        let still = self
            .still
            .get_or_init(|| Arc::new(self.anatomy.tissues(lattice, &motion)));
        Arc::clone(still)
    }

    /// Every image; `None` for modalities that are missing.
    ///
    /// **Errors** if the voxels fit no volume.
    pub(super) fn images(&self) -> Result<Vec<Channel>, VolumeError> {
        let image = |(modality, wanted): (usize, &VolumeRef)| {
            let make = || {
                let tissues = self.tissues(modality, self.cohort.parts(modality));
                self.cohort
                    .image(self.index, modality, &self.anatomy, &tissues)
            };
            Ok(Channel {
                name: wanted.name.clone(),
                volume: wanted.location.is_some().then(make).transpose()?,
            })
        };
        self.subject
            .images
            .par_iter()
            .enumerate()
            .map(image)
            .collect()
    }

    /// Every label map; `None` where the subject is not annotated, or the map may not be read.
    ///
    /// **Errors** as [`images`](Self::images).
    pub(super) fn labels(&self) -> Result<Vec<Channel>, VolumeError> {
        let channel = |(column, wanted): (usize, &VolumeRef)| {
            let modality = self.cohort.frame(column);
            let make = || {
                let labels = self.tissues(modality, [1; 3]).labels();
                let grid = self.cohort.grids[modality];
                let slice = grid.shape_xyz()[0] * grid.shape_xyz()[1];
                Volume::from_vec(self.partly_annotated(labels, slice), grid)
            };
            let reads = self.subject.reads_labels() && wanted.location.is_some();
            Ok(Channel {
                name: wanted.name.clone(),
                volume: reads.then(make).transpose()?,
            })
        };
        self.subject
            .labels
            .iter()
            .enumerate()
            .map(channel)
            .collect()
    }

    /// The label map of a training subject without the slices that nobody annotated; `slice` voxels each.
    fn partly_annotated(&self, mut labels: Vec<u8>, slice: usize) -> Vec<u8> {
        let chance = self.cohort.spec.partial_labels;
        if self.subject.split == Split::Train && chance > 0.0 {
            let depth = labels.len() / slice;
            let mut rng = self.rng("partial");
            let mut annotated: Vec<bool> = (0..depth).map(|_| !rng.chance(chance)).collect();
            if !annotated.contains(&true) {
                annotated[depth / 2] = true;
            }
            for (slice, annotated) in labels.chunks_mut(slice).zip(annotated) {
                if !annotated {
                    slice.fill(NOT_ANNOTATED);
                }
            }
        }
        labels
    }
}
