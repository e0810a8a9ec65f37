//! How an anatomy moves between two acquisitions: rigid motion and smooth waves.

use super::settings::Misalignment;
use crate::draw::SampleRng;
use glam::{DAffine3, DQuat, DVec3};
use std::f64::consts::TAU;

/// Waves of a smooth displacement.
const WAVES: usize = 3;
/// Places along each axis at which the mean displacement is taken.
const PLACES: usize = 9;

/// One wave of displacement.
#[derive(Debug, Clone, Copy)]
struct Wave {
    amplitude_mm: DVec3,
    per_mm: DVec3,
    phase: f64,
}

/// Where the anatomy is in a modality's frame.
#[derive(Debug, Clone)]
pub(super) struct Motion {
    /// From the anatomy to the frame.
    pub(super) pose: DAffine3,
    back: DAffine3,
    waves: Vec<Wave>,
}

impl Motion {
    pub(super) fn rigid(pose: DAffine3) -> Self {
        Self {
            pose,
            back: pose.inverse(),
            waves: Vec::new(),
        }
    }

    pub(super) fn none() -> Self {
        Self::rigid(DAffine3::IDENTITY)
    }

    pub(super) fn is_none(&self) -> bool {
        self.pose == DAffine3::IDENTITY && self.waves.is_empty()
    }

    /// Draws shift, turn and waves over a grid of this extent about its centre.
    ///
    /// **Law** The shift has the drawn length in a random direction, the turn the drawn angle about a
    /// random axis through the centre; the mean length of the waves' displacement over the grid is
    /// the drawn one. Wavelengths are 1 to 1.6 of the largest extent.
    pub(super) fn draw(rng: &mut SampleRng, drawn: &Misalignment, extent_mm: DVec3) -> Self {
        let mut direction =
            || DVec3::new(rng.normal(), rng.normal(), rng.normal()).normalize_or(DVec3::X);
        let (shift, axis) = (direction(), direction());
        let shift = shift * drawn.shift_mm.draw(rng);
        let angle = drawn.rotation_deg.draw(rng).to_radians();
        let turn = DQuat::from_axis_angle(axis, angle);
        let mut motion = Self::rigid(DAffine3::from_rotation_translation(turn, shift));
        let mean_mm = drawn.elastic_mm.draw(rng);
        let mut normal = || DVec3::new(rng.normal(), rng.normal(), rng.normal());
        let directions = [0; WAVES].map(|_| (normal(), normal()));
        if mean_mm > 0.0 {
            let longest = extent_mm.max_element();
            motion.waves = directions
                .into_iter()
                .map(|(amplitude, along)| Wave {
                    amplitude_mm: amplitude,
                    per_mm: along.normalize_or(DVec3::Z) * TAU / (longest * rng.uniform(1.0, 1.6)),
                    phase: rng.uniform(0.0, TAU),
                })
                .collect();
            let scale = mean_mm / motion.mean_displacement_mm(extent_mm);
            for wave in &mut motion.waves {
                wave.amplitude_mm *= scale;
            }
        }
        motion
    }

    /// From a place of the frame to the anatomy, in mm about the centre.
    #[inline]
    pub(super) fn anatomy_from_frame(&self, position_mm: DVec3) -> DVec3 {
        self.back.transform_point3(position_mm) + self.displacement_mm(position_mm)
    }

    /// The matrix of the rigid part, towards the anatomy.
    pub(super) fn turned_back(&self, direction: DVec3) -> DVec3 {
        self.back.transform_vector3(direction)
    }

    /// The waves' displacement, in the anatomy's frame.
    #[inline]
    pub(super) fn displacement_mm(&self, position_mm: DVec3) -> DVec3 {
        let along = |wave: &Wave| (wave.per_mm.dot(position_mm) + wave.phase).sin();
        self.waves
            .iter()
            .map(|wave| wave.amplitude_mm * along(wave))
            .sum()
    }

    pub(super) fn has_waves(&self) -> bool {
        !self.waves.is_empty()
    }

    /// No displacement of the waves is longer.
    pub(super) fn most_displacement_mm(&self) -> f64 {
        self.waves
            .iter()
            .map(|wave| wave.amplitude_mm.length())
            .sum()
    }

    /// Mean length of the waves' displacement over a grid of this extent.
    pub(super) fn mean_displacement_mm(&self, extent_mm: DVec3) -> f64 {
        let along = |i: usize| i as f64 / (PLACES - 1) as f64 - 0.5;
        let places = (0..PLACES.pow(3)).map(|i| {
            let at = DVec3::new(
                along(i % PLACES),
                along(i / PLACES % PLACES),
                along(i / PLACES / PLACES),
            );
            self.displacement_mm(at * extent_mm).length()
        });
        places.sum::<f64>() / PLACES.pow(3) as f64
    }
}
