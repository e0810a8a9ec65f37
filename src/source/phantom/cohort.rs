//! What every part of a phantom cohort draws on: its description, grids, and generators.

use super::settings::LabelFrames;
use super::spec::PhantomSpec;
use crate::draw::{DrawKey, SampleRng};
use crate::source::SubjectRecord;
use crate::volume::{Grid, GridError, VolumeError};
use glam::{DAffine3, DMat3, DVec3};

/// What subjects of a phantom are drawn from.
pub(super) struct PhantomCohort {
    pub(super) spec: PhantomSpec,
    pub(super) seed: u64,
    /// The cohort's grid, in which the first modality's frame is drawn.
    pub(super) grid: Grid,
    /// The grid of each modality.
    pub(super) grids: Vec<Grid>,
    pub(super) label_names: Vec<String>,
    pub(super) subjects: Vec<SubjectRecord>,
}

impl PhantomCohort {
    pub(super) fn rng(&self, index: usize, purpose: &str) -> SampleRng {
        let key = DrawKey {
            seed: self.seed,
            epoch: index as u64,
            subject: "phantom",
            sample: 0,
        };
        key.rng(&format!("source.phantom.{purpose}"))
    }

    pub(super) fn index(&self, subject: &SubjectRecord) -> Result<usize, VolumeError> {
        let found = self.subjects.binary_search_by(|s| s.id.cmp(&subject.id));
        found.map_err(|_| VolumeError::Column {
            column: "subject_id".to_owned(),
            problem: format!(
                "`{}` is no subject of this phantom, which has {}",
                subject.id,
                self.subjects.len()
            ),
        })
    }

    /// Into how many voxels along x, y, z a modality's voxels are divided before the tissue is
    /// averaged over them: one along axes that are no coarser than the cohort's.
    pub(super) fn parts(&self, modality: usize) -> [usize; 3] {
        let (own_mm, mm) = (self.grids[modality].spacing_mm(), self.grid.spacing_mm());
        [0, 1, 2].map(|axis| (own_mm[axis] / mm[axis]).round().max(1.0) as usize)
    }

    /// The frame of a label column: which modality it follows.
    pub(super) fn frame(&self, column: usize) -> usize {
        match self.spec.labels {
            LabelFrames::First => 0,
            LabelFrames::Each | LabelFrames::One => column,
        }
    }
}

/// The grid with another voxel size: the same centre, as many voxels as fit the extent, at least one.
pub(super) fn acquired(grid: &Grid, spacing_mm: Option<[f64; 3]>) -> Result<Grid, GridError> {
    let Some(spacing_mm) = spacing_mm else {
        return Ok(*grid);
    };
    let (shape, old_mm) = (grid.shape_xyz(), grid.spacing_mm());
    let length = |a: usize| {
        (shape[a] as f64 * old_mm[a] / spacing_mm[a])
            .round()
            .max(1.0)
    };
    let lengths = [0, 1, 2].map(length);
    let start =
        |a: usize| ((shape[a] as f64 - 1.0) * old_mm[a] - (lengths[a] - 1.0) * spacing_mm[a]) / 2.0;
    let affine = DAffine3 {
        matrix3: DMat3::from_diagonal(DVec3::from(spacing_mm)),
        translation: DVec3::from([0, 1, 2].map(start)),
    };
    Grid::try_new(lengths.map(|n| n as usize), affine)
}
