use super::*;
use crate::kernel::reorient::AxisMap;
use crate::volume::grid::Grid;
use crate::volume::{Interpolation, Warp};
use glam::DAffine3;
use half::f16;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// The window is chosen so that all rows end with one shape.
    Window([i64; 3]),
    Turn([usize; 3], u8),
    Scale(f32),
    Rotate(f64),
    Made,
}

fn step() -> impl Strategy<Value = Step> {
    let axes = prop::sample::select(vec![
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ]);
    prop_oneof![
        3 => prop::array::uniform3(-3..6i64).prop_map(Step::Window),
        3 => (axes, 0..8u8).prop_map(|(axes, bits)| Step::Turn(axes, bits)),
        1 => (0.5..2.0f32).prop_map(Step::Scale),
        1 => (-0.4..0.4f64).prop_map(Step::Rotate),
        1 => Just(Step::Made),
    ]
}

fn moved(mut volume: Volume, role: Role, steps: &[Step]) -> Volume {
    for step in steps {
        volume = match step {
            Step::Window(offset) => volume.windowed(role, *offset, [6, 6, 6]).unwrap(),
            Step::Turn(source_axis, bits) => {
                let map = AxisMap {
                    source_axis: *source_axis,
                    reversed: [0, 1, 2].map(|i| bits >> i & 1 == 1),
                };
                volume.turned(role, &map).unwrap()
            }
            Step::Scale(factor) if role == Role::Image => {
                let factor = *factor;
                let scaled = move |values: &mut [f32]| values.iter_mut().for_each(|v| *v *= factor);
                volume.changed(Change::by_value(scaled))
            }
            Step::Rotate(angle) => {
                let warp = Warp::Affine(DAffine3::from_rotation_z(*angle));
                volume.warped(role, &warp, Interpolation::default())
            }
            Step::Made => volume.materialised(),
            Step::Scale(_) => volume,
        };
    }
    volume.windowed(role, [1, 0, 2], [5, 7, 3]).unwrap()
}

/// A row of an image in each of these types and a label map, after steps.
fn row(kinds: &[Dtype], steps: &[Step]) -> Row {
    let grid = Grid::with_spacing([9, 8, 7], [1.0, 1.5, 2.0]).unwrap();
    let numbers = || (0..504u16).map(|i| 1 + i * 7 % 503);
    let image = |dtype: &Dtype| match dtype {
        Dtype::F16 => Volume::from_vec(
            numbers()
                .map(|n| f16::from_f32(f32::from(n) / 8.0))
                .collect(),
            grid,
        ),
        Dtype::F32 => Volume::from_vec(numbers().map(|n| f32::from(n) / 3.0).collect(), grid),
        _ => Volume::try_new(
            Buffer::from_vec(numbers().collect::<Vec<u16>>()),
            Dtype::U16,
            Scaling {
                slope: 0.5,
                intercept: -20.0,
            },
            grid,
        ),
    };
    let channel = |name: &str, role, volume: Volume| Channel {
        name: name.to_owned(),
        volume: Some(moved(volume, role, steps)),
    };
    let classes: Vec<u8> = numbers().map(|n| (n % 5) as u8).collect();
    let label = Volume::from_vec(classes, grid).unwrap();
    Row {
        images: (kinds.iter().enumerate())
            .map(|(i, kind)| channel(&i.to_string(), Role::Image, image(kind).unwrap()))
            .collect(),
        labels: vec![channel("", Role::Label, label)],
        ..Row::default()
    }
}

/// Where the voxels of volumes begin and end.
fn places(rows: &[Row], role: Role) -> Vec<[usize; 2]> {
    let volumes = rows.iter().flat_map(Row::volumes);
    let of_role = volumes.filter(|(r, _)| *r == role).map(|(_, v)| v.buffer());
    let place = |b: &Buffer| [b.as_ptr() as usize, b.as_ptr() as usize + b.len()];
    of_role.map(place).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn voxels_are_those_of_each_row_by_itself(
        chains in prop::collection::vec(prop::collection::vec(step(), 0..5), 1..4),
        kinds in prop::sample::select(vec![
            vec![Dtype::F16], vec![Dtype::F32, Dtype::F16], vec![Dtype::U16],
        ]),
    ) {
        let rows = || -> Vec<Row> { chains.iter().map(|steps| row(&kinds, steps)).collect() };
        let (alone, together) = (rows(), Row::side_by_side(rows()));
        for (alone, together) in alone.iter().zip(&together) {
            for ((role, one), (_, other)) in alone.volumes().zip(together.volumes()) {
                prop_assert_eq!(one.grid(), other.grid());
                let values = one.to_f32().into_iter().zip(other.to_f32().iter()).map(|(a, b)| (a.to_bits(), b.to_bits())).collect::<Vec<_>>();
                prop_assert!(values.iter().all(|(a, b)| a == b), "{:?} {:?}", role, values);
                if role == Role::Label {
                    prop_assert_eq!(one.buffer(), other.buffer());
                }
            }
            together.verify().unwrap();
        }
        // Rows of one type lie behind each other; an image of whole numbers that was scaled beside one that was not cannot.
        let mixed = kinds == [Dtype::U16] && together.iter().any(|r| r.images[0].volume.as_ref().unwrap().dtype() != together[0].images[0].volume.as_ref().unwrap().dtype());
        for role in [Role::Image, Role::Label] {
            let places = places(&together, role);
            let beside = places.windows(2).all(|pair| pair[0][1] == pair[1][0]);
            prop_assert!(beside || mixed && role == Role::Image, "{:?}", places);
        }
    }
}

#[test]
fn rows_that_differ_in_shape_or_lack_a_volume_stay_as_they_are() {
    let mut rows = vec![row(&[Dtype::F32], &[]), row(&[Dtype::F32], &[])];
    rows[1].labels[0].volume = None;
    let other = rows[0].images[0].volume.as_ref().unwrap();
    let other = other.windowed(Role::Image, [0; 3], [2, 2, 2]).unwrap();
    rows[1].images[0].volume = Some(other);
    let expected: Vec<Vec<f32>> = (rows.iter().flat_map(Row::volumes))
        .map(|(_, v)| v.to_f32().into_owned())
        .collect();
    let placed = Row::side_by_side(rows);
    let found: Vec<Vec<f32>> = (placed.iter().flat_map(Row::volumes))
        .map(|(_, v)| v.to_f32().into_owned())
        .collect();
    assert_eq!(found, expected);
    assert!(placed[1].labels[0].volume.is_none());
    assert!(Row::side_by_side(Vec::new()).is_empty());
}
