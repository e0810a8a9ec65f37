mod grids;
mod laws;
mod misalignment;
mod patches;
mod plans;
mod reference;
mod registration;
mod scipy;
mod small_structures;
mod warps;

use crate::stage::{AnyStage, ChannelSchema, EdgeSchema};
use crate::volume::{Channel, Grid, Role, Row, Split, Volume};
use arrow::datatypes::ArrowNativeType;
use glam::{DAffine3, DVec3};

fn channel(name: &str, volume: Option<Volume>) -> Channel {
    Channel {
        name: name.to_owned(),
        volume,
    }
}

fn row(images: Vec<Channel>, labels: Vec<Channel>) -> Row {
    Row {
        subject: "s01".to_owned(),
        cohort: "c".to_owned(),
        split: Split::Train,
        epoch: 0,
        sample: 0,
        view: String::new(),
        images,
        labels,
        draws: vec![],
        history: vec![],
        ..Row::default()
    }
}

fn image(row: &Row, i: usize) -> &Volume {
    row.images[i].volume.as_ref().unwrap()
}

fn label(row: &Row) -> &Volume {
    row.labels[0].volume.as_ref().unwrap()
}

/// A volume whose voxel x, y, z holds `value([x, y, z])`.
fn filled<T: crate::volume::Voxel + ArrowNativeType>(
    grid: Grid,
    value: impl Fn([usize; 3]) -> T,
) -> Volume {
    let [nx, ny, _] = grid.shape_xyz();
    let voxels = (0..grid.voxel_count()).map(|i| value([i % nx, i / nx % ny, i / nx / ny]));
    Volume::from_vec(voxels.collect::<Vec<T>>(), grid).unwrap()
}

fn oblique(shape: [usize; 3], spacing_mm: [f64; 3], turn: f64) -> Grid {
    let affine = DAffine3::from_translation(DVec3::new(-31.0, 12.5, 4.0))
        * DAffine3::from_rotation_z(turn)
        * DAffine3::from_rotation_x(0.5 * turn)
        * DAffine3::from_scale(DVec3::from(spacing_mm) * DVec3::new(-1.0, 1.0, 1.0));
    Grid::try_new(shape, affine).unwrap()
}

fn run(stage: &dyn AnyStage, row: Row) -> Vec<Row> {
    stage.run("stages[0]", 7, row).unwrap()
}

/// What a plan knows of rows like this one.
fn schema_of(row: &Row) -> EdgeSchema {
    let of = |role, channels: &[Channel]| -> Vec<ChannelSchema> {
        channels
            .iter()
            .map(|c| ChannelSchema {
                name: c.name.clone(),
                role,
                dtype: c.volume.as_ref().map(Volume::dtype),
                shape_xyz: c.volume.as_ref().map(|v| v.grid().shape_xyz()),
                spacing_mm: c.volume.as_ref().map(|v| v.grid().spacing_mm()),
                orientation: c.volume.as_ref().map(|v| v.grid().orientation()),
            })
            .collect()
    };
    let mut channels = of(Role::Image, &row.images);
    channels.extend(of(Role::Label, &row.labels));
    EdgeSchema {
        channels,
        rows_per_subject: Some(1),
    }
}

/// The formula of `tests/reference/spatial.py`.
fn field([x, y, z]: [usize; 3]) -> i32 {
    ((7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101) as i32
}

fn label_field([x, y, z]: [usize; 3]) -> u8 {
    ((x / 3 + 2 * (y / 4) + z / 2) % 5) as u8
}
