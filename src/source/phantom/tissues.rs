//! Which tissue is at every voxel of a grid.

use super::anatomy::{AIR, Anatomy, FAT, FIRST_ORGAN, MUSCLE, SPINE, Shape};
use super::motion::Motion;
use crate::volume::Grid;
use glam::DVec3;

/// Voxels whose tissue is asked for: a grid's, or finer ones inside them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lattice {
    pub(super) shape_xyz: [usize; 3],
    pub(super) spacing_mm: DVec3,
}

impl Lattice {
    pub(super) fn of(grid: &Grid) -> Self {
        Self {
            shape_xyz: grid.shape_xyz(),
            spacing_mm: DVec3::from(grid.spacing_mm()),
        }
    }

    /// The lattice with every voxel divided, into so many along x, y, z.
    pub(super) fn divided(self, parts: [usize; 3]) -> Self {
        Self {
            shape_xyz: [0, 1, 2].map(|axis| self.shape_xyz[axis] * parts[axis]),
            spacing_mm: self.spacing_mm / DVec3::from(parts.map(|n| n as f64)),
        }
    }

    fn centre(&self) -> DVec3 {
        DVec3::from(self.shape_xyz.map(|n| (n as f64 - 1.0) / 2.0))
    }
}

/// Visits voxels with their place in the anatomy's frame.
struct Canvas<'a> {
    lattice: Lattice,
    motion: &'a Motion,
}

impl Canvas<'_> {
    fn each(&self, low: [usize; 3], high: [usize; 3], mut visit: impl FnMut(usize, DVec3)) {
        let (spacing, centre) = (self.lattice.spacing_mm, self.lattice.centre());
        let [width, height, _] = self.lattice.shape_xyz;
        let step = self.motion.turned_back(DVec3::new(spacing.x, 0.0, 0.0));
        for z in low[2]..high[2] {
            for y in low[1]..high[1] {
                let first = DVec3::new(low[0] as f64, y as f64, z as f64);
                let frame = (first - centre) * spacing;
                let row = (z * height + y) * width;
                if self.motion.has_waves() {
                    for x in low[0]..high[0] {
                        let along = frame + DVec3::X * spacing.x * (x - low[0]) as f64;
                        visit(row + x, self.motion.anatomy_from_frame(along));
                    }
                    continue;
                }
                let start = self.motion.anatomy_from_frame(frame);
                for x in low[0]..high[0] {
                    visit(row + x, start + step * (x - low[0]) as f64);
                }
            }
        }
    }

    fn each_near(&self, shape: &Shape, visit: impl FnMut(usize, DVec3)) {
        let Lattice {
            shape_xyz,
            spacing_mm,
        } = self.lattice;
        let pose = &self.motion.pose;
        let at = pose.transform_point3(shape.centre_mm) / spacing_mm + self.lattice.centre();
        let most = DVec3::splat(self.motion.most_displacement_mm());
        let reach = (shape.reach_mm(pose) + most) / spacing_mm;
        // Casts saturate: below 0 is 0.
        let low = [0, 1, 2].map(|i| (at[i] - reach[i]).floor() as usize);
        let high =
            [0, 1, 2].map(|i| (((at[i] + reach[i]).ceil() + 1.0) as usize).min(shape_xyz[i]));
        self.each(low, high, visit);
    }
}

/// The tissue of every voxel `[z, y, x]`.
pub(super) struct Tissues {
    pub(super) codes: Vec<u8>,
    organs: u8,
    first_lesion: u8,
}

impl Anatomy {
    /// The tissue at every voxel `[z, y, x]` of a lattice about the anatomy's centre.
    pub(super) fn tissues(&self, lattice: Lattice, motion: &Motion) -> Tissues {
        let canvas = Canvas { lattice, motion };
        let mut codes = vec![AIR; lattice.shape_xyz.iter().product()];
        let (per_body, fat) = (self.body_mm.recip(), self.fat * self.fat);
        canvas.each([0; 3], lattice.shape_xyz, |i, position| {
            let square = (position * per_body).length_squared();
            if square < fat {
                codes[i] = MUSCLE;
            } else if square < 1.0 {
                codes[i] = FAT;
            }
        });
        for shape in std::iter::once(&self.spine).chain(&self.blobs) {
            canvas.each_near(shape, |i, position| {
                if codes[i] != AIR && shape.level(position) < 1.0 {
                    codes[i] = shape.code;
                }
            });
        }
        // Where organs meet, the one whose surface is further away wins: a shared smooth border.
        let mut nearest = vec![1.0; codes.len()];
        for shape in &self.organs {
            canvas.each_near(shape, |i, position| {
                let level = shape.level(position);
                if level < nearest[i] {
                    nearest[i] = level;
                    codes[i] = shape.code;
                }
            });
        }
        for shape in &self.lesions {
            canvas.each_near(shape, |i, position| {
                let in_body = !matches!(codes[i], AIR | FAT | SPINE);
                if in_body && shape.level(position) < 1.0 {
                    codes[i] = shape.code;
                }
            });
        }
        Tissues {
            codes,
            organs: self.organs.len() as u8,
            first_lesion: FIRST_ORGAN + (self.organs.len() + self.blobs.len()) as u8,
        }
    }
}

impl Tissues {
    /// Label values: 1 for the first organ, the number behind the last organ's for lesions, 0 for
    /// whatever is neither.
    pub(super) fn labels(&self) -> Vec<u8> {
        let value = |&code: &u8| match code.checked_sub(FIRST_ORGAN) {
            Some(k) if k < self.organs => k + 1,
            _ if code >= self.first_lesion => self.organs + 1,
            _ => 0,
        };
        self.codes.iter().map(value).collect()
    }
}
