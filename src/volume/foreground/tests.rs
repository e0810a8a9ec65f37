use super::super::{Change, Grid, Interpolation, Role, Scaling};
use super::*;
use crate::volume::Dtype;
use arrow::buffer::Buffer;
use glam::{DAffine3, DMat3, DVec3};
use proptest::prelude::*;

const SHAPE: [usize; 3] = [15, 13, 11];

/// How air looks in a source.
#[derive(Debug, Clone, Copy)]
enum Air {
    Zero,
    Noise,
    Holes,
}

#[derive(Debug, Clone)]
struct Case {
    air: Air,
    slope: f64,
    /// The body's box: first voxel and voxels along x, y, z.
    body: ([usize; 3], [usize; 3]),
    step: [f64; 3],
    start: [f64; 3],
    out: [usize; 3],
    window: Option<[f32; 2]>,
    above: Above,
    pad: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let air = prop_oneof![Just(Air::Zero), Just(Air::Noise), Just(Air::Holes)];
    let size = (1..8usize, 1..8usize, 1..8usize).prop_map(|(x, y, z)| [x, y, z]);
    let body = (prop::array::uniform3(0..9usize), size);
    let step = prop::array::uniform3(prop_oneof![
        Just(1.0),
        Just(-1.0),
        0.4..2.5f64,
        -2.5..-0.4f64
    ]);
    let window = prop::option::of(prop_oneof![
        Just([0.0f32, 1.0]),
        Just([-1.0, 1.0]),
        Just([1.0, 2.0])
    ]);
    let above = prop_oneof![
        Just(Above::Minimum),
        Just(Above::Value(0.0)),
        Just(Above::Value(-0.5)),
        (-1.0..30.0f32).prop_map(Above::Value)
    ];
    let slope = prop_oneof![Just(1.0), Just(0.5), Just(-2.0)];
    let shape = prop::array::uniform3(1..20usize);
    let start = prop::array::uniform3(-2.0..14.0f64);
    (
        air,
        slope,
        body,
        step,
        start,
        shape,
        window,
        above,
        0..24usize,
    )
        .prop_map(
            |(air, slope, body, step, start, out, window, above, pad)| Case {
                air,
                slope,
                body,
                step,
                start,
                out,
                window,
                above,
                pad,
            },
        )
}

impl Case {
    fn source(&self) -> Volume {
        let [nx, ny, _] = SHAPE;
        let (first, count) = self.body;
        let voxel = |i: usize| {
            let at = [i % nx, i / nx % ny, i / nx / ny];
            let inside = (0..3).all(|a| (first[a]..first[a] + count[a]).contains(&at[a]));
            let noise = ((i * 7919) % 13) as i16;
            match (inside, self.air) {
                (true, _) => 20 + noise,
                (false, Air::Noise) => -30 - noise,
                (false, Air::Holes) if i.is_multiple_of(97) => 25,
                (false, Air::Zero | Air::Holes) => 0,
            }
        };
        let voxels: Vec<i16> = (0..SHAPE.iter().product()).map(voxel).collect();
        let scaling = Scaling {
            slope: self.slope,
            intercept: 0.0,
        };
        let grid = Grid::with_spacing(SHAPE, [1.0; 3]).unwrap();
        Volume::try_new(Buffer::from_vec(voxels), Dtype::I16, scaling, grid).unwrap()
    }

    fn grid(&self) -> Grid {
        let matrix = DMat3::from_diagonal(DVec3::from(self.step));
        let affine = DAffine3::from_mat3_translation(matrix, DVec3::from(self.start));
        Grid::try_new(self.out, affine).unwrap()
    }

    fn resampled(&self) -> Volume {
        let source = self.source();
        source.resampled(Role::Image, self.grid(), Interpolation::default())
    }

    /// Resampled, windowed, cropped to its foreground, and padded; `each` after every step.
    fn prepared(&self, each: impl Fn(Volume) -> Volume) -> (Option<Region>, Volume) {
        let (role, resampled) = (Role::Image, self.resampled());
        let mut volume = each(each(resampled).into_f32());
        if let Some([first, last]) = self.window {
            let (low, high) = (-8.0f32, 24.0f32);
            let change = Change::by_value(move |values| {
                for v in values {
                    let t = (v.max(low).min(high) - low) / (high - low);
                    *v = first * (1.0 - t) + last * t;
                }
            });
            let rises = first <= 0.0 && 0.0 <= last;
            volume = each(volume.changed(if rises {
                change.with_floor(low)
            } else {
                change
            }));
        }
        let region = volume.region_above(self.above);
        if let Some(region) = region {
            let offset = region.offset_xyz.map(|o| o as i64);
            volume = each(volume.windowed(role, offset, region.shape_xyz).unwrap());
        }
        let shape = volume.grid().shape_xyz().map(|n| n.max(self.pad));
        (
            region,
            each(volume.windowed(role, [-1, 0, -2], shape).unwrap()),
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_box_is_found_and_filled_as_if_every_step_had_made_its_voxels(case in case()) {
        let (region, made_late) = case.prepared(|volume| volume);
        let (expected_region, expected) = case.prepared(Volume::materialised);
        prop_assert_eq!(region, expected_region);
        prop_assert_eq!(made_late.grid(), expected.grid());
        prop_assert_eq!(made_late.dtype(), expected.dtype());
        let bits = |v: &Volume| v.to_f32().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&made_late), bits(&expected));
        prop_assert_eq!(made_late.lowest_bits(), expected.lowest_bits());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn rows_of_the_box_and_one_value_around_them_are_the_image(case in case()) {
        let resampled = case.resampled().into_f32();
        let mut values = match resampled.foreground_rows() {
            Some(rows) => vec![rows.background().unwrap_or(f32::NAN); rows.voxels()],
            None => return Ok(()),
        };
        let mut rows = resampled.foreground_rows().unwrap();
        rows.for_each_row(|first, row| values[first..first + row.len()].copy_from_slice(row));
        let smallest = rows.smallest();
        drop(rows);
        let expected = resampled.materialised();
        prop_assert_eq!(&values[..], &*expected.to_f32());
        if let Some(smallest) = smallest {
            prop_assert_eq!(smallest, minimum(&values).unwrap());
        }
    }
}

#[test]
fn what_is_cropped_and_padded_is_made_once() {
    let case = Case {
        air: Air::Noise,
        slope: 1.0,
        body: ([5, 4, 3], [6, 5, 4]),
        step: [-1.25, 1.25, 0.8],
        start: [14.0, 0.0, 0.0],
        out: [11, 10, 13],
        window: Some([0.0, 1.0]),
        above: Above::Value(0.0),
        pad: 16,
    };
    let (region, prepared) = case.prepared(|volume| volume);
    assert!(region.unwrap().voxels() < 11 * 10 * 13);
    let deferred = prepared.recipe().unwrap();
    let Recipe::Gather(gather) = &deferred.recipe else {
        panic!("a gather")
    };
    // Straight from the source's stored numbers, with the window still to be made.
    assert_eq!(gather.source.dtype(), Dtype::I16);
    assert_eq!(deferred.pointwise.as_ref().unwrap().len(), 1);
    assert!(deferred.made.get().is_none());
}
