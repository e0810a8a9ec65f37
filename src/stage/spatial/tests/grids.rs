//! Volumes that are read on other grids, or on nearly the same one.

use super::laws::world_of;
use super::*;
use crate::stage::spatial::fill::{FillValue, OutsideFill};
use crate::stage::spatial::pad::Pad;
use crate::stage::spatial::resample::Resample;
use crate::stage::{MapStage, Stage as _};
use crate::volume::Dtype;

#[test]
fn a_blob_keeps_its_centre_through_any_grid() {
    let ct = oblique([40, 36, 30], [1.0, 1.1, 1.3], 0.2);
    let mr = Grid::try_new(
        [34, 33, 36],
        DAffine3::from_translation(DVec3::new(-70.0, 2.0, 2.0))
            * DAffine3::from_scale(DVec3::new(1.4, 1.3, 1.2)),
    )
    .unwrap();
    let centre = world_of(&ct, [20, 18, 15]);
    let blob = |grid: Grid| {
        filled(grid, move |i| {
            (-world_of(&grid, i).distance_squared(centre) / 32.0).exp() as f32
        })
    };
    let stage = Resample {
        spacing_mm: Some([Some(1.7), Some(0.9), Some(1.31)]),
        like: None,
        images: Default::default(),
        labels: Default::default(),
        ..Default::default()
    };
    let input = row(
        vec![channel("ct", Some(blob(ct))), channel("mr", Some(blob(mr)))],
        vec![],
    );
    let out = run(&MapStage(stage), input).remove(0);
    for (i, channel) in out.images.iter().enumerate() {
        let volume = image(&out, i);
        let [nx, ny, _] = volume.grid().shape_xyz();
        let (mut sum, mut weight) = (DVec3::ZERO, 0.0);
        for (i, &v) in volume.to_f32().iter().enumerate() {
            // The tail is cut off so that it cannot reach the edge of one grid alone.
            let v = f64::from((v - 0.05).max(0.0));
            sum += v * world_of(volume.grid(), [i % nx, i / nx % ny, i / nx / ny]);
            weight += v;
        }
        let off = (sum / weight).distance(centre);
        assert!(off < 0.02, "{} is {off} mm off", channel.name);
    }
}

#[test]
fn nothing_is_interpolated_on_equal_grids() {
    let grid = oblique([7, 6, 5], [1.0, 1.5, 2.0], 0.3);
    let ct = filled(grid, |i| field(i) as f32);
    let nearly = Grid::try_new(
        [7, 6, 5],
        DAffine3::from_translation(DVec3::splat(4e-3)) * grid.world_from_voxel(),
    )
    .unwrap();
    let mr = filled(nearly, |i| field(i) as i16);
    for spacing in [
        [Some(1.0004), None, Some(1.9995)],
        [Some(1.0), Some(1.5), Some(2.0)],
    ] {
        let stage = Resample {
            spacing_mm: Some(spacing),
            like: None,
            images: Default::default(),
            labels: Default::default(),
            ..Default::default()
        };
        let out = run(
            &MapStage(stage),
            row(
                vec![
                    channel("ct", Some(ct.clone())),
                    channel("mr", Some(mr.clone())),
                ],
                vec![],
            ),
        )
        .remove(0);
        assert_eq!(image(&out, 0).buffer().as_ptr(), ct.buffer().as_ptr());
        assert_eq!(image(&out, 1).to_f32(), mr.to_f32());
    }
}

#[test]
fn padding_of_scaled_images_is_their_smallest_value() {
    let grid = Grid::with_spacing([2, 2, 1], [1.0; 3]).unwrap();
    let scaling = crate::volume::Scaling {
        slope: -2.0,
        intercept: 1.0,
    };
    let ct = Volume::try_new(
        arrow::buffer::Buffer::from_vec(vec![3i16, 4, -5, 0]),
        Dtype::I16,
        scaling,
        grid,
    )
    .unwrap();
    let labels = Volume::try_new(
        arrow::buffer::Buffer::from_vec(vec![1i16, 1, 2, 3]),
        Dtype::I16,
        crate::volume::Scaling {
            slope: 1.0,
            intercept: -1.0,
        },
        grid,
    )
    .unwrap();
    let out = run(
        &MapStage(Pad {
            size: Some([3, 2, 1]),
            ..Pad::default()
        }),
        row(
            vec![channel("ct", Some(ct))],
            vec![channel("", Some(labels))],
        ),
    )
    .remove(0);
    assert_eq!(
        image(&out, 0).to_f32().as_ref(),
        [-5.0, -7.0, -7.0, 11.0, 1.0, -7.0]
    );
    assert_eq!(
        label(&out).to_f32().as_ref(),
        [0.0, 0.0, 0.0, 1.0, 2.0, 0.0]
    );
}

#[test]
fn each_modality_is_padded_with_its_own_value() {
    let grid = Grid::with_spacing([2, 1, 1], [1.0; 3]).unwrap();
    let of = |values: Vec<i16>| Volume::from_vec(values, grid).unwrap();
    let input = row(
        vec![
            channel("ct", Some(of(vec![-3024, 40]))),
            channel("mr", Some(of(vec![7, 9]))),
        ],
        vec![channel("", Some(of(vec![1, 2])))],
    );
    let stage = |size| Pad {
        size: Some(size),
        fill: OutsideFill::Each([("ct".to_owned(), FillValue::Number(-1024.0))].into()),
        ..Pad::default()
    };
    let out = run(&MapStage(stage([4, 1, 1])), input.clone()).remove(0);
    let values = |volume: &Volume| volume.to_f32().to_vec();
    assert_eq!(values(image(&out, 0)), [-1024.0, -3024.0, 40.0, -1024.0]);
    assert_eq!(values(image(&out, 1)), [7.0, 7.0, 9.0, 7.0]);
    assert_eq!(values(label(&out)), [0.0, 1.0, 2.0, 0.0]);
    // Types are those of the plan, also where nothing is padded.
    for size in [[4, 1, 1], [1, 1, 1]] {
        let planned = stage(size).check(&schema_of(&input)).unwrap();
        let out = run(&MapStage(stage(size)), input.clone()).remove(0);
        let found: Vec<_> = out.volumes().map(|(_, v)| Some(v.dtype())).collect();
        let planned: Vec<_> = planned.channels.iter().map(|c| c.dtype).collect();
        assert_eq!(found, planned);
        assert_eq!(found[..2], [Some(Dtype::F32), Some(Dtype::I16)]);
    }
    // A later step without the option fills with the minimum of the image.
    let wider = Pad {
        size: Some([6, 1, 1]),
        ..Pad::default()
    };
    let out = run(&MapStage(wider), out).remove(0);
    let expected = [-3024.0, -1024.0, -3024.0, 40.0, -1024.0, -3024.0];
    assert_eq!(values(image(&out, 0)), expected);
}
