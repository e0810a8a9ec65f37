//! Cases: the volumes of one subject and a chain of steps, as plain data that JSON can hold.

use arrow::buffer::Buffer;
use glam::{DAffine3, DMat3, DVec3};
use serde::{Deserialize, Serialize};
use voxstream::draw::DrawKey;
use voxstream::volume::{Channel, Dtype, Grid, Role, Row, Scaling, Volume, Voxel};
use voxstream::with_voxel_type;

/// One subject and one chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// Keys the draws of the steps and the noise of the volumes.
    pub(crate) seed: u64,
    /// The grids that volumes name by position.
    pub(crate) grids: Vec<GridCase>,
    /// One entry an image or label channel, images first.
    pub(crate) volumes: Vec<VolumeCase>,
    /// The chain.
    pub(crate) steps: Vec<Step>,
}

/// A step by its name in the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) stage: String,
    pub(crate) parameters: serde_json::Value,
}

/// A grid around a point of the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GridCase {
    pub(crate) shape_xyz: [usize; 3],
    /// Voxel size along the axes of the array.
    pub(crate) spacing_mm: [f64; 3],
    /// Which of the 48 orders and directions the axes of the array have, see [`columns`].
    pub(crate) order: usize,
    /// Turn of the whole grid about an oblique axis.
    pub(crate) tilt_deg: f64,
    /// World position of the middle of the grid.
    pub(crate) centre_mm: [f64; 3],
}

/// An image or label channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VolumeCase {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) dtype: Dtype,
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    /// Position in [`Case::grids`].
    pub(crate) grid: usize,
    /// The channel is there, its volume is not.
    pub(crate) missing: bool,
    pub(crate) content: Content,
}

/// What voxels hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    /// A body of two classes in air, at one place of the world; images with noise in the body.
    Body,
    /// Noise everywhere; labels of six classes.
    Noise,
    /// One value.
    Constant,
    /// As `body`, with voxels that are not finite where the type has such numbers.
    NotFinite,
}

/// Directions of the array's axes: a permutation of the world's (six) and a sign each (eight).
pub(crate) fn columns(order: usize) -> DMat3 {
    const PERMUTATIONS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let axes = PERMUTATIONS[order / 8 % 6];
    let column = |v: usize| {
        let sign = if order >> v & 1 == 1 { -1.0 } else { 1.0 };
        let mut column = DVec3::ZERO;
        column[axes[v]] = sign;
        column
    };
    DMat3::from_cols(column(0), column(1), column(2))
}

impl GridCase {
    pub(crate) fn grid(&self) -> Grid {
        let tilt = DMat3::from_axis_angle(
            DVec3::new(0.3, -0.5, 0.8).normalize(),
            self.tilt_deg.to_radians(),
        );
        let turned = match self.tilt_deg == 0.0 {
            true => columns(self.order),
            false => tilt * columns(self.order),
        };
        let matrix3 = turned * DMat3::from_diagonal(DVec3::from(self.spacing_mm));
        let middle = DVec3::from(self.shape_xyz.map(|n| (n as f64 - 1.0) / 2.0));
        let translation = DVec3::from(self.centre_mm) - matrix3 * middle;
        let affine = DAffine3 {
            matrix3,
            translation,
        };
        Grid::try_new(self.shape_xyz, affine).unwrap()
    }
}

impl VolumeCase {
    /// The stored numbers, before they are cut to the type's range.
    fn numbers(&self, seed: u64, grid: &Grid) -> Vec<f64> {
        let mut rng = DrawKey {
            seed,
            epoch: 0,
            subject: &self.name,
            sample: self.role as u32,
        }
        .rng("volume");
        let [nx, ny, _] = grid.shape_xyz();
        let is_float = matches!(self.dtype, Dtype::F16 | Dtype::F32 | Dtype::F64);
        (0..grid.voxel_count())
            .map(|i| {
                let index = DVec3::new((i % nx) as f64, (i / nx % ny) as f64, (i / nx / ny) as f64);
                let at = grid.world_from_voxel().transform_point3(index);
                let radius = (at / DVec3::new(5.0, 4.0, 3.5)).length();
                let class = usize::from(radius < 1.0) + usize::from(radius < 0.55);
                let noise = rng.unit();
                match (self.content, self.role) {
                    (Content::Constant, Role::Image) => 7.0,
                    (Content::Constant, Role::Label) => 2.0,
                    (Content::Noise, Role::Image) => (noise * 120.0).floor(),
                    (Content::Noise, Role::Label) => (noise * 6.0).floor(),
                    (_, Role::Label) => class as f64,
                    (Content::NotFinite, Role::Image) if is_float && noise > 0.97 => {
                        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][i % 3]
                    }
                    (_, Role::Image) => {
                        let value = [3.0, 60.0, 95.0][class];
                        let noise = if class == 0 { 0.0 } else { noise * 25.0 };
                        // Whole numbers, and for floats something between them.
                        match is_float {
                            true => value + noise - 20.0,
                            false => (value + noise).floor(),
                        }
                    }
                }
            })
            .collect()
    }

    fn volume(&self, seed: u64, grid: Grid) -> Volume {
        let numbers = self.numbers(seed, &grid);
        let voxels = with_voxel_type!(self.dtype, T => {
            Buffer::from_vec(numbers.into_iter().map(<T as Stored>::stored).collect::<Vec<T>>())
        });
        let scaling = Scaling {
            slope: self.slope,
            intercept: self.intercept,
        };
        Volume::try_new(voxels, self.dtype, scaling, grid).unwrap()
    }
}

/// A number as it is stored.
trait Stored: Voxel {
    fn stored(number: f64) -> Self;
}

macro_rules! stored {
    ($($t:ty),*) => {$(impl Stored for $t {
        fn stored(number: f64) -> Self {
            number as Self
        }
    })*};
}
stored!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);
impl Stored for half::f16 {
    fn stored(number: f64) -> Self {
        Self::from_f64(number)
    }
}

impl Case {
    /// The subject before the first step.
    pub(crate) fn row(&self) -> Row {
        self.row_of("subject", self.seed)
    }

    /// A subject of these grids and types whose voxels follow from `seed`.
    pub(crate) fn row_of(&self, subject: &str, seed: u64) -> Row {
        let channels = |role| {
            let volumes = self.volumes.iter().filter(move |v| v.role == role);
            volumes
                .map(|v| Channel {
                    name: v.name.clone(),
                    volume: (!v.missing).then(|| v.volume(seed, self.grids[v.grid].grid())),
                })
                .collect()
        };
        Row {
            subject: subject.to_owned(),
            cohort: "drawn".to_owned(),
            images: channels(Role::Image),
            labels: channels(Role::Label),
            ..Row::default()
        }
    }

    /// The case as text for a file in `regressions`.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap()
    }
}
