//! What every spatial stage promises, whatever the numbers.

use super::*;
use crate::stage::spatial::crop::Crop;
use crate::stage::spatial::crop_foreground::{CropForeground, Threshold};
use crate::stage::spatial::fill::OutsideFill;
use crate::stage::spatial::flip::{Flip, FlipDraw};
use crate::stage::spatial::orient::Orient;
use crate::stage::spatial::pad::Pad;
use crate::stage::spatial::patch::Patch;
use crate::stage::spatial::regrid::Axis;
use crate::stage::spatial::resample::Resample;
use crate::stage::spatial::rotate90::{Plane, Rotate90, Rotate90Draw};
use crate::stage::{Augment, AugmentStage, MapStage};
use half::f16;
use proptest::prelude::*;

const MARK: [usize; 3] = [5, 8, 3];

pub(super) fn world_of(grid: &Grid, at: [usize; 3]) -> DVec3 {
    let at = DVec3::new(at[0] as f64, at[1] as f64, at[2] as f64);
    grid.world_from_voxel().transform_point3(at)
}

fn brightest(volume: &Volume) -> DVec3 {
    let values = volume.to_f32();
    let [nx, ny, _] = volume.grid().shape_xyz();
    let largest = values.iter().copied().fold(f32::MIN, f32::max);
    let hits: Vec<usize> = (0..values.len())
        .filter(|&i| values[i] == largest)
        .collect();
    assert_eq!(hits.len(), 1, "one voxel is marked");
    world_of(
        volume.grid(),
        [hits[0] % nx, hits[0] / nx % ny, hits[0] / nx / ny],
    )
}

/// Two images of different types and a label map with one marked voxel, on one oblique grid.
fn marked(shape: [usize; 3], spacing_mm: [f64; 3]) -> Row {
    let grid = oblique(shape, spacing_mm, 0.2);
    row(
        vec![
            channel(
                "ct",
                Some(filled(grid, |i| if i == MARK { 900i16 } else { -1000 })),
            ),
            channel("pet", None),
            channel(
                "mr",
                Some(filled(grid, |i| if i == MARK { 9.0f32 } else { 0.5 })),
            ),
        ],
        vec![channel("", Some(filled(grid, |i| u8::from(i == MARK))))],
    )
}

fn always(stage: impl Augment) -> Box<dyn AnyStage> {
    Box::new(AugmentStage(stage))
}

#[test]
fn a_marked_voxel_stays_at_its_world_point() {
    let patch = |size, grid| Patch {
        size,
        samples: 3,
        positive: 1.0,
        classes: None,
        grid,
        fill: OutsideFill::default(),
    };
    let stages: Vec<Box<dyn AnyStage>> = vec![
        Box::new(MapStage(Orient {
            to: "SPL".to_owned(),
        })),
        Box::new(MapStage(Resample {
            spacing_mm: Some([Some(0.6), None, Some(1.0)]),
            like: None,
            images: Default::default(),
            labels: Default::default(),
            ..Default::default()
        })),
        Box::new(MapStage(Resample {
            spacing_mm: None,
            like: Some("mr".to_owned()),
            images: Default::default(),
            labels: Default::default(),
            ..Default::default()
        })),
        Box::new(MapStage(CropForeground {
            above: Threshold::default(),
            margin_mm: 3.0,
            modalities: None,
        })),
        Box::new(MapStage(Pad {
            size: Some([20, 4, 9]),
            multiple_of: std::num::NonZeroUsize::new(4),
            ..Pad::default()
        })),
        Box::new(MapStage(Crop {
            size: Some([Some(8), None, Some(11)]),
            ..Crop::default()
        })),
        Box::new(MapStage(Crop {
            size_mm: Some([Some(9.0), Some(5.0), None]),
            offset: Some([4, 6, 0]),
            ..Crop::default()
        })),
        always(patch([4, 20, 5], None)),
        always(Flip {
            axes: Axis::ALL.to_vec(),
            p: 1.0,
        }),
        always(Flip {
            axes: vec![Axis::Y],
            p: 1.0,
        }),
        always(Rotate90 {
            planes: vec![Plane::Xz],
            p: 1.0,
        }),
        always(Rotate90 {
            planes: vec![Plane::Xy],
            p: 1.0,
        }),
    ];
    for stage in stages {
        let input = marked([13, 12, 13], [1.2, 1.2, 2.0]);
        let expected = world_of(image(&input, 0).grid(), MARK);
        let rows = run(stage.as_ref(), input.clone());
        assert!(!rows.is_empty());
        for out in rows {
            assert!(
                out.images[1].volume.is_none(),
                "a missing modality stays missing"
            );
            assert_eq!(out.history, ["stages[0]"]);
            for (_, volume) in out.volumes() {
                let off = brightest_or_edge(volume).distance(expected);
                assert!(off < 1e-9, "{}: {off} mm", stage.name());
            }
            for record in &out.draws {
                let again = stage.replay(&record.draw, input.clone()).unwrap();
                for ((_, a), (_, b)) in again.volumes().zip(out.volumes()) {
                    assert_eq!((a.buffer(), a.grid()), (b.buffer(), b.grid()));
                }
            }
        }
    }
}

/// The marked voxel; in a refined label map, where it fills several, the one nearest the middle of them.
fn brightest_or_edge(volume: &Volume) -> DVec3 {
    if volume.dtype() != crate::volume::Dtype::U8 {
        return brightest(volume);
    }
    let [nx, ny, _] = volume.grid().shape_xyz();
    let hits: Vec<DVec3> = (0..volume.grid().voxel_count())
        .filter(|&i| volume.as_slice::<u8>().unwrap()[i] == 1)
        .map(|i| world_of(volume.grid(), [i % nx, i / nx % ny, i / nx / ny]))
        .collect();
    match hits.len() {
        1 => hits[0],
        // Halving the voxels of x and z makes 2 x 2: the mark, and the halves beside it that are
        // towards smaller world coordinates.
        4 => {
            let step = volume.grid().world_from_voxel().matrix3;
            let up = volume.grid().ties().up;
            let towards = |axis: usize| if up[axis] { 0.5 } else { -0.5 };
            hits.iter().sum::<DVec3>() / 4.0 + towards(0) * step.x_axis + towards(2) * step.z_axis
        }
        n => panic!("{n} marked voxels"),
    }
}

#[test]
fn every_orientation_and_back_is_the_same_volume() {
    let grid = oblique([5, 4, 3], [1.0, 2.0, 3.0], 0.3);
    let ct = filled(grid, |i| f16::from_f32(field(i) as f32));
    let mut codes = 0;
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        for bits in 0..8 {
            let letters = [['L', 'R'], ['P', 'A'], ['I', 'S']];
            let to: String = [0, 1, 2]
                .map(|i| letters[order[i]][bits >> i & 1])
                .iter()
                .collect();
            let there = run(
                &MapStage(Orient { to: to.clone() }),
                row(vec![channel("ct", Some(ct.clone()))], vec![]),
            )
            .remove(0);
            assert_eq!(image(&there, 0).grid().orientation(), to);
            let back = run(
                &MapStage(Orient {
                    to: grid.orientation(),
                }),
                there,
            )
            .remove(0);
            assert_eq!(image(&back, 0).buffer(), ct.buffer());
            assert!(image(&back, 0).grid().is_same(&grid, 1e-9));
            codes += 1;
        }
    }
    assert_eq!(codes, 48);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn flips_undo_themselves(bits in 0usize..8, shape in prop::array::uniform3(1usize..9)) {
        let axes: Vec<Axis> = Axis::ALL.into_iter().filter(|a| bits >> a.index() & 1 == 1).collect();
        let input = row(vec![channel("ct", Some(filled(oblique(shape, [1.0, 2.0, 3.0], 0.4), |i| field(i) as i16)))], vec![]);
        let draw = FlipDraw { axes };
        let twice = Flip::default().apply(&draw, Flip::default().apply(&draw, input.clone()).unwrap()).unwrap();
        prop_assert_eq!(image(&twice, 0).buffer(), image(&input, 0).buffer());
        prop_assert!(image(&twice, 0).grid().is_same(image(&input, 0).grid(), 1e-9));
    }

    #[test]
    fn four_quarters_are_a_whole_turn(plane in 0usize..3, turns in 1u32..4, edge in 2usize..9) {
        let draw = Rotate90Draw { plane: [Plane::Xy, Plane::Xz, Plane::Yz][plane], quarter_turns: turns };
        let input = row(vec![channel("ct", Some(filled(oblique([edge; 3], [1.0; 3], 0.4), |i| field(i) as i16)))], vec![]);
        let mut out = input.clone();
        for i in 0..4 {
            out = Rotate90::default().apply(&draw, out).unwrap();
            if i == 0 {
                prop_assert_ne!(image(&out, 0).buffer(), image(&input, 0).buffer());
            }
        }
        prop_assert_eq!(image(&out, 0).buffer(), image(&input, 0).buffer());
        prop_assert!(image(&out, 0).grid().is_same(image(&input, 0).grid(), 1e-9));
    }

    #[test]
    fn labels_never_gain_a_class(
        turn in -0.6..0.6f64,
        spacing in prop::array::uniform3(0.5..4.0f64),
        classes in prop::collection::vec(any::<u16>(), 1..4),
    ) {
        let ct = filled(oblique([9, 8, 7], [1.5; 3], 0.0), |i| field(i) as f32);
        let labels = filled(oblique([12, 11, 10], [1.3, 1.1, 1.2], turn), |i| classes[field(i) as usize % classes.len()]);
        let stage = Resample { spacing_mm: Some(spacing.map(Some)), like: None, images: Default::default(), labels: Default::default(), ..Default::default() };
        let out = run(&MapStage(stage), row(vec![channel("ct", Some(ct))], vec![channel("ct", Some(labels))])).remove(0);
        let held = label(&out).as_slice::<u16>().unwrap();
        prop_assert!(held.iter().all(|v| *v == 0 || classes.contains(v)));
        prop_assert!(held.iter().any(|v| classes.contains(v)));
    }

    #[test]
    fn there_and_back_stays_within_the_spacing(spacing in prop::array::uniform3(0.5..2.0f64), turn in -0.5..0.5f64) {
        const WAVE_MM: f64 = 40.0;
        const OLD_MM: f64 = 1.0;
        let grid = oblique([24, 22, 20], [OLD_MM; 3], turn);
        let k = std::f64::consts::TAU / WAVE_MM;
        let ct = filled(grid, |i| world_of(&grid, i).to_array().iter().map(|p| (k * p).sin()).sum::<f64>() as f32);
        let there = Resample { spacing_mm: Some(spacing.map(Some)), like: None, images: Default::default(), labels: Default::default(), ..Default::default() };
        let original = ct.clone();
        let mut middle = run(&MapStage(there), row(vec![channel("ct", Some(ct))], vec![])).remove(0);
        middle.images.push(channel("grid", Some(original.clone())));
        let back = run(&MapStage(Resample { spacing_mm: None, like: Some("grid".to_owned()), images: Default::default(), labels: Default::default(), ..Default::default() }), middle).remove(0);
        // Linear interpolation is off by at most h²/8 · |f''| along each axis; |f''| <= 3 k² in every direction.
        let bound = |h: f64| 3.0 * h * h / 8.0 * 3.0 * k * k;
        let limit = bound(OLD_MM) + bound(spacing.iter().copied().fold(0.0, f64::max)) + 1e-5;
        let (a, b) = (image(&back, 0).to_f32(), original.to_f32());
        for z in 2..17 {
            for y in 2..19 {
                for x in 2..21 {
                    let i = (z * 22 + y) * 24 + x;
                    prop_assert!(f64::from((a[i] - b[i]).abs()) <= limit, "{} at {x} {y} {z}, limit {limit}", a[i] - b[i]);
                }
            }
        }
    }
}
