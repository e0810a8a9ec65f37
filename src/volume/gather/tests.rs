use super::super::grid::Grid;
use super::super::{Channel, Interpolation, Row, Volume, VolumeError, Warp};
use super::*;
use crate::kernel::warp::{Bend, random_vectors};
use std::sync::Arc;

const SHAPE: [usize; 3] = [19, 16, 13];

fn channel(name: &str, volume: Volume) -> Channel {
    Channel {
        name: name.to_owned(),
        volume: Some(volume),
    }
}

fn bent(seed: u64) -> Arc<Warp> {
    let shape_xyz = [6, 6, 6];
    let vectors = random_vectors(shape_xyz.iter().product(), seed);
    Arc::new(Warp::Elastic(Bend {
        control_from_input: DAffine3::from_scale(DVec3::splat(0.2)),
        shape_xyz,
        displacement: vectors.iter().map(|v| v.map(|c| c * 2.0)).collect(),
    }))
}

/// Two images on one grid (one stored as scaled integers), a third on another, and labels.
fn row() -> Row {
    let grid = |shape| Grid::with_spacing(shape, [1.0, 1.5, 0.8]).unwrap();
    let ramp = |n: usize| (0..n).map(|i| ((i * 37) % 101) as f32 - 20.0);
    let count = SHAPE.iter().product();
    let stored: Vec<i16> = ramp(count).map(|v| v as i16).collect();
    let scaling = Scaling {
        slope: 0.5,
        intercept: 3.0,
    };
    let scaled =
        Volume::try_new(Buffer::from_vec(stored), Dtype::I16, scaling, grid(SHAPE)).unwrap();
    let float = |shape: [usize; 3]| {
        let values: Vec<f32> = ramp(shape.iter().product()).collect();
        Volume::from_vec(values, grid(shape)).unwrap()
    };
    let classes: Vec<u8> = ramp(count).map(|v| v.abs() as u8 % 4).collect();
    Row {
        subject: "s".to_owned(),
        images: vec![
            channel("ct", float(SHAPE)),
            channel("mr", scaled),
            channel("pet", float([8, 9, 10])),
        ],
        labels: vec![channel("", Volume::from_vec(classes, grid(SHAPE)).unwrap())],
        ..Row::default()
    }
}

#[test]
fn volumes_made_together_are_what_each_is_alone() {
    let cubic = Interpolation {
        images: ImageInterpolation::Cubic,
        labels: LabelInterpolation::Linear,
    };
    for reading in [Interpolation::default(), cubic] {
        let made = || {
            let warped = row().warped(&bent(3), reading).warped(&bent(4), reading);
            // Windowed, so that what was cut away must not be seen; one image is changed after.
            let windowed = warped.try_map_volumes(|name, role, volume| {
                let narrow = volume.windowed(role, [2, 2, 2], [6, 5, 5])?;
                let wide = narrow.windowed(role, [-3, -2, 0], [11, 9, 5])?;
                Ok::<_, VolumeError>(match name {
                    "ct" => wide.changed(Change::by_value(|values| {
                        values.iter_mut().for_each(|v| *v = 2.0 * *v - 1.0);
                    })),
                    _ => wide,
                })
            });
            windowed.unwrap()
        };
        let together = made().materialised();
        let alone = made();
        let alone: Vec<Volume> = alone
            .volumes()
            .map(|(_, v)| v.clone().materialised())
            .collect();
        for ((role, together), alone) in together.volumes().zip(&alone) {
            assert_eq!(together.buffer(), alone.buffer(), "{role:?}");
            assert_eq!(together.dtype(), alone.dtype());
            assert_eq!(together.lowest_bits(), alone.lowest_bits(), "{role:?}");
        }
    }
}

#[test]
fn reading_a_part_of_the_source_gives_what_the_whole_gives() {
    let grid = Grid::with_spacing([44, 40, 36], [1.0; 3]).unwrap();
    let values: Vec<f32> = (0..44 * 40 * 36).map(|i| (i * 29 % 997) as f32).collect();
    let half = Volume::from_vec(values, grid).unwrap().into_half();
    let float = half.clone().into_f32().materialised();
    let turn = Warp::Affine(DAffine3::from_rotation_z(0.4) * DAffine3::from_rotation_x(0.3));
    let reading = Interpolation::default();
    for (warps, offset) in [
        (vec![bent(5)], [20, 4, 9]),
        (vec![Arc::new(turn.clone())], [20, 14, 9]),
        (vec![Arc::new(turn), bent(6)], [-4, 30, 28]),
        (vec![bent(7)], [70, 4, 9]),
    ] {
        let patch = |volume: &Volume| {
            let warped = (warps.iter()).fold(volume.clone(), |volume, warp| {
                volume.warped(Role::Image, warp, reading)
            });
            let patch = warped.windowed(Role::Image, offset, [8, 7, 6]).unwrap();
            patch.materialised().to_f32().to_vec()
        };
        let (part, whole) = (patch(&half), patch(&float));
        for (part, whole) in part.iter().zip(&whole) {
            assert!((part - whole).abs() < 1e-2, "{offset:?}: {part} {whole}");
        }
    }
}
