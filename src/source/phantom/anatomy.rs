//! Random anatomy: body, fat, spine, organs, lesions and unlabelled blobs, as implicit shapes.

use super::settings::Lesions;
use crate::draw::SampleRng;
use crate::volume::Grid;
use glam::{DAffine3, DMat3, DQuat, DVec3, EulerRot};
use std::f64::consts::TAU;

/// Most organs a phantom can have.
pub(super) const MAX_ORGANS: u8 = 8;

/// Codes of a tissue map: four fixed tissues, then organs, blobs, and lesions.
pub(super) const AIR: u8 = 0;
pub(super) const FAT: u8 = 1;
pub(super) const MUSCLE: u8 = 2;
pub(super) const SPINE: u8 = 3;
pub(super) const FIRST_ORGAN: u8 = 4;

/// Largest bulge of a deformed ellipsoid, as a fraction of its radius.
const MOST_BULGE: f64 = 0.3;

/// Extent of the grid in mm.
pub(super) fn extent_mm(grid: &Grid) -> DVec3 {
    let (shape, spacing) = (grid.shape_xyz(), grid.spacing_mm());
    DVec3::from([0, 1, 2].map(|i| shape[i] as f64 * spacing[i]))
}

/// A smoothly deformed ellipsoid.
///
/// **Law** In the direction n of its own frame the radius is scaled by 1 + nᵀAn + b·n³, with a random
/// symmetric A and b, bounded by ±0.3.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) centre_mm: DVec3,
    semi_axes_mm: DVec3,
    /// From the world into the shape's frame.
    turn: DQuat,
    quadratic: [f64; 6],
    cubic: DVec3,
    pub(super) code: u8,
}

impl Shape {
    fn draw(
        rng: &mut SampleRng,
        code: u8,
        centre_mm: DVec3,
        semi_axes_mm: DVec3,
        tilt: f64,
        bulge: f64,
    ) -> Self {
        let mut angle = || rng.uniform(-tilt, tilt);
        let turn = DQuat::from_euler(EulerRot::XYZ, angle(), angle(), angle());
        Self {
            centre_mm,
            semi_axes_mm,
            turn,
            quadratic: std::array::from_fn(|_| bulge * rng.normal()),
            cubic: DVec3::from_array(std::array::from_fn(|_| bulge * rng.normal())),
            code,
        }
    }

    /// Below 1 inside, growing outwards.
    pub(super) fn level(&self, position_mm: DVec3) -> f64 {
        let scaled = self.turn * (position_mm - self.centre_mm) / self.semi_axes_mm;
        let radius = scaled.length();
        if radius == 0.0 {
            return 0.0;
        }
        let n = scaled / radius;
        let [xx, yy, zz, xy, xz, yz] = self.quadratic;
        let square = xx * n.x * n.x
            + yy * n.y * n.y
            + zz * n.z * n.z
            + xy * n.x * n.y
            + xz * n.x * n.z
            + yz * n.y * n.z;
        let bulge = square + self.cubic.dot(n * n * n);
        radius / (1.0 + bulge.clamp(-MOST_BULGE, MOST_BULGE))
    }

    /// Half the box along x, y, z that holds the shape after `pose`, in mm.
    ///
    /// **Law** An ellipsoid with semi-axes a, turned by R, spans sqrt(Σⱼ (Rᵢⱼ aⱼ)²) along axis i.
    pub(super) fn reach_mm(&self, pose: &DAffine3) -> DVec3 {
        let axes = pose.matrix3
            * DMat3::from_quat(self.turn.inverse())
            * DMat3::from_diagonal(self.semi_axes_mm);
        let squares =
            axes.x_axis * axes.x_axis + axes.y_axis * axes.y_axis + axes.z_axis * axes.z_axis;
        DVec3::from(squares.to_array().map(f64::sqrt)) * (1.0 + MOST_BULGE)
    }
}

/// The shapes of one subject, in mm about the grid's centre.
pub(super) struct Anatomy {
    pub(super) body_mm: DVec3,
    pub(super) fat: f64,
    pub(super) spine: Shape,
    pub(super) organs: Vec<Shape>,
    pub(super) blobs: Vec<Shape>,
    pub(super) lesions: Vec<Shape>,
    /// For each lesion the organ it is in.
    pub(super) hosts: Vec<usize>,
    /// For each blob the two organs it looks like, in even and in odd modalities.
    pub(super) likeness: Vec<[usize; 2]>,
}

impl Anatomy {
    pub(super) fn draw(rng: &mut SampleRng, grid: &Grid, organs: u8) -> Self {
        let extent = extent_mm(grid);
        let unit = extent.min_element();
        let body_mm = extent
            * DVec3::new(
                rng.uniform(0.43, 0.47),
                rng.uniform(0.41, 0.46),
                rng.uniform(0.75, 0.9),
            );
        let back = DVec3::new(rng.uniform(-0.02, 0.02), rng.uniform(-0.34, -0.3), 0.0) * extent;
        let spine_axes = DVec3::new(0.05 * unit, 0.05 * unit, extent.z);
        let spine = Shape::draw(rng, SPINE, back, spine_axes, 0.06, 0.0);
        // A class must not vanish between voxels.
        let least_mm = 1.6 * DVec3::from(grid.spacing_mm()).max_element();
        let organs = draw_organs(rng, organs, extent, least_mm);
        let mut anatomy = Self {
            body_mm,
            fat: rng.uniform(0.88, 0.94),
            spine,
            organs,
            blobs: Vec::new(),
            lesions: Vec::new(),
            hosts: Vec::new(),
            likeness: Vec::new(),
        };
        anatomy.draw_blobs(rng, extent);
        anatomy
    }

    /// Adds round lesions, each with its centre inside an organ.
    pub(super) fn add_lesions(&mut self, rng: &mut SampleRng, wanted: &Lesions) {
        let count = wanted.count.draw(rng).round() as usize;
        for _ in 0..count {
            let host = rng.below(self.organs.len());
            let radius = wanted.radius_mm.draw(rng);
            let mut ratio = || rng.uniform(0.85, 1.15);
            let axes = DVec3::new(ratio(), ratio(), ratio()) * radius;
            let inside = DVec3::new(rng.normal(), rng.normal(), rng.normal())
                .normalize_or(DVec3::Z)
                * rng.uniform(0.0, 0.6);
            let organ = &self.organs[host];
            let centre = organ.centre_mm + organ.turn.inverse() * (inside * organ.semi_axes_mm);
            let code =
                FIRST_ORGAN + (self.organs.len() + self.blobs.len() + self.lesions.len()) as u8;
            self.lesions
                .push(Shape::draw(rng, code, centre, axes, TAU / 2.0, 0.04));
            self.hosts.push(host);
        }
    }

    /// Blobs with the organs' intensities, clear of every organ: half like one organ in all
    /// modalities, half like different organs in different ones.
    fn draw_blobs(&mut self, rng: &mut SampleRng, extent: DVec3) {
        let unit = extent.min_element();
        let organs = self.organs.len();
        for i in 0..2 * organs + 2 {
            let radius = unit * rng.uniform(0.04, 0.08);
            let stretch = if i % 2 == 0 {
                1.0
            } else {
                rng.uniform(2.0, 3.0)
            };
            let axes = DVec3::new(radius, radius * rng.uniform(0.8, 1.2), radius * stretch);
            let reach = axes.max_element() * (1.0 + MOST_BULGE);
            let place = (0..60).find_map(|_| {
                let mut along = || rng.uniform(-0.8, 0.8);
                let at = DVec3::new(along(), along(), 0.55 * along()) * self.body_mm;
                let in_body = (at / self.body_mm).length() < 0.8;
                let clear = self
                    .organs
                    .iter()
                    .all(|o| at.distance(o.centre_mm) > o.semi_axes_mm.max_element() + reach);
                (in_body && clear).then_some(at)
            });
            // A crowded body has fewer blobs.
            let Some(at) = place else { continue };
            let code = FIRST_ORGAN + organs as u8 + self.blobs.len() as u8;
            self.blobs
                .push(Shape::draw(rng, code, at, axes, TAU / 2.0, 0.06));
            let first = i % organs;
            let other = if i % 4 < 2 { first } else { rng.below(organs) };
            self.likeness.push([first, other]);
        }
    }
}

/// Large organs on a ring about the body's axis, the second sometimes against the first; the last
/// one small, on the first one's surface.
fn draw_organs(rng: &mut SampleRng, count: u8, extent: DVec3, least_mm: f64) -> Vec<Shape> {
    let unit = extent.min_element();
    let large = usize::from(count.max(2) - 1);
    let ring = 0.23;
    let room = if large == 1 {
        0.2
    } else {
        (0.85 * ring * (TAU / 2.0 / large as f64).sin()).min(0.18)
    };
    let mut organs: Vec<Shape> = Vec::with_capacity(usize::from(count));
    for k in 0..large {
        let angle = TAU * (k as f64 + 0.15) / large as f64 + rng.uniform(-0.3, 0.3);
        let distance = ring * rng.uniform(0.85, 1.1);
        let height = rng.uniform(-0.12, 0.12);
        let mut centre =
            DVec3::new(distance * angle.cos(), distance * angle.sin(), height) * extent;
        let radius = (room * unit * rng.uniform(0.8, 1.1)).max(least_mm);
        let mut ratio = || rng.uniform(0.8, 1.25);
        let axes = DVec3::new(ratio(), ratio(), ratio()) * radius;
        if k == 1 && rng.chance(0.6) {
            let first = &organs[0];
            let away = (centre - first.centre_mm).normalize_or(DVec3::X);
            centre = first.centre_mm
                + away * 0.95 * (first.semi_axes_mm.min_element() + axes.min_element());
        }
        let code = FIRST_ORGAN + k as u8;
        organs.push(Shape::draw(rng, code, centre, axes, 0.5, 0.08));
    }
    if count >= 2 {
        let first = &organs[0];
        // Inwards and upwards, give or take: known to an eye that knows the first organ.
        let inwards = -first.centre_mm.normalize_or(DVec3::X);
        let wobble = DVec3::new(rng.normal(), rng.normal(), rng.normal()) * 0.3;
        let direction = (inwards + DVec3::Z + wobble).normalize_or(DVec3::Z);
        let radius = (unit * rng.uniform(0.07, 0.095)).max(least_mm);
        let mut ratio = || rng.uniform(0.85, 1.2);
        let axes = DVec3::new(ratio(), ratio(), ratio()) * radius;
        let centre =
            first.centre_mm + direction * (first.semi_axes_mm.max_element() + 0.5 * radius);
        organs.push(Shape::draw(
            rng,
            FIRST_ORGAN + count - 1,
            centre,
            axes,
            0.8,
            0.06,
        ));
    }
    organs
}
