use super::*;
use crate::volume::Change;
use arrow::buffer::Buffer;
use proptest::prelude::*;

/// One move of a volume, and whether its voxels are made behind it.
fn moved(volume: &Volume, role: Role, step: &([i64; 3], [usize; 3], bool)) -> Volume {
    let (offset_xyz, shape_xyz, reversed) = *step;
    let windowed = volume.windowed(role, offset_xyz, shape_xyz).unwrap();
    let map = AxisMap {
        source_axis: [0, 1, 2],
        reversed: [reversed, false, reversed],
    };
    windowed.turned(role, &map).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn windows_of_windows_are_what_each_makes(
        steps in prop::collection::vec(
            (prop::array::uniform3(-5..6i64), prop::array::uniform3(1..12usize), any::<bool>()),
            1..6,
        ),
    ) {
        let grid = Grid::with_spacing([7, 6, 5], [1.0, 2.0, 3.0]).unwrap();
        // No 0: what is outside differs from every voxel, for labels and, by its minimum, images.
        let values: Vec<u16> = (0..210).map(|i| 1 + i * 7 % 211).collect();
        let source = Volume::from_vec(values, grid).unwrap();
        for role in [Role::Image, Role::Label] {
            let (mut composed, mut one_by_one) = (source.clone(), source.clone());
            for step in &steps {
                composed = moved(&composed, role, step);
                one_by_one = moved(&one_by_one, role, step).materialised();
                one_by_one.know_lowest(source.lowest_bits());
            }
            prop_assert_eq!(composed.grid(), one_by_one.grid());
            prop_assert_eq!(composed.buffer(), one_by_one.buffer(), "{:?}", role);
        }
    }
}

/// A window of an image in plain numbers, reversed along x and z where asked for, and whether any voxel was filled in.
fn plain(
    (values, shape): (&[f32], [usize; 3]),
    (offset, window, reversed): ([i64; 3], [usize; 3], bool),
    fill: f32,
) -> (Vec<f32>, bool) {
    let [nx, ny, nz] = window;
    let mut is_filled = false;
    let mut at = |i: usize| {
        let place = [i % nx, i / nx % ny, i / nx / ny];
        let from = [0, 1, 2].map(|a| {
            let turned = match reversed && a != 1 {
                true => window[a] - 1 - place[a],
                false => place[a],
            };
            turned as i64 + offset[a]
        });
        if !(0..3).all(|a| (0..shape[a] as i64).contains(&from[a])) {
            is_filled = true;
            return fill;
        }
        let [x, y, z] = from.map(|i| i as usize);
        values[(z * shape[1] + y) * shape[0] + x]
    };
    let out = (0..nx * ny * nz).map(&mut at).collect();
    (out, is_filled)
}

/// Offset, shape, whether the image is reversed, what is filled in, and whether values are changed behind it: so
/// that larger ones stay larger, or the other way round.
type FilledStep = ([i64; 3], [usize; 3], bool, Option<f32>, Option<bool>);

fn filled_step() -> impl Strategy<Value = FilledStep> {
    (
        prop::array::uniform3(-5..6i64),
        prop::array::uniform3(1..12usize),
        any::<bool>(),
        prop_oneof![Just(None), Just(Some(-7.5f32)), Just(Some(400.0))],
        prop_oneof![4 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_window_is_filled_with_its_own_value(
        steps in prop::collection::vec(filled_step(), 1..6),
        slope in prop_oneof![Just(1.0), Just(0.5)],
    ) {
        let mut shape = [7, 6, 5];
        let grid = Grid::with_spacing(shape, [1.0, 2.0, 3.0]).unwrap();
        let stored: Vec<u16> = (0..210).map(|i| 1 + i * 7 % 211).collect();
        let scaling = Scaling { slope, intercept: 0.0 };
        let buffer = Buffer::from_vec(stored);
        let mut volume = Volume::try_new(buffer, Dtype::U16, scaling, grid).unwrap();
        let mut expected = volume.to_f32().into_owned();
        let mut lowest = slope as f32;
        for (offset, window, reversed, fill, changes) in steps {
            volume = match fill {
                None => volume.windowed(Role::Image, offset, window).unwrap(),
                Some(fill) => volume.into_f32().windowed_over(fill, offset, window).unwrap(),
            };
            let map = AxisMap { source_axis: [0, 1, 2], reversed: [reversed, false, reversed] };
            volume = volume.turned(Role::Image, &map).unwrap();
            let step = (offset, window, reversed);
            let (filled, is_filled) = plain((&expected, shape), step, fill.unwrap_or(lowest));
            (expected, shape) = (filled, window);
            lowest = lowest.min(fill.filter(|_| is_filled).unwrap_or(lowest));
            if let Some(is_growing) = changes {
                let change = move |values: &mut [f32]| {
                    let sign = if is_growing { 0.5 } else { -0.5 };
                    values.iter_mut().for_each(|v| *v = 1.0 + sign * *v);
                };
                change(&mut expected);
                lowest = expected.iter().copied().fold(f32::INFINITY, f32::min);
                let change = Change::by_value(change);
                // The smallest value is known ahead only where the order of values stays.
                volume = match is_growing {
                    true => volume.changed_to(change, lowest),
                    false => volume.changed(change),
                };
            }
        }
        prop_assert_eq!(volume.grid().shape_xyz(), shape);
        prop_assert_eq!(volume.to_f32().into_owned(), expected);
    }
}
