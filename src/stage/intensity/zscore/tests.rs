use super::super::tests::{image_of, row_of};
use super::*;
use crate::volume::foreground::Above;
use crate::volume::{Grid, Interpolation, Role};

fn scaled(zscore: &Zscore, values: &[f32]) -> Vec<f32> {
    image_of(&zscore.map(row_of(values)).unwrap()[0])
}

#[test]
fn tissue_is_standardised_and_air_lies_below_it() {
    let mut values: Vec<f32> = (0..1000).map(|i| 300.0 + ((i * 7) % 100) as f32).collect();
    values.extend([0.0; 500]);
    values.extend([1e9, f32::NAN, f32::NEG_INFINITY]);
    values[0] = 1.0;
    let found = scaled(&Zscore::default(), &values[..1500]);
    let tissue: Vec<f64> = found[1..1000].iter().map(|v| f64::from(*v)).collect();
    let mean = tissue.iter().sum::<f64>() / 999.0;
    assert!(mean.abs() < 0.02, "{mean}");
    assert!(found[..1000].iter().all(|v| *v > -5.0));
    assert!(found[1000..].iter().all(|v| *v == -5.0));
    let with_odd = scaled(&Zscore::default(), &values);
    assert_eq!(with_odd[1500..], [5.0, -5.0, -5.0]);
}

#[test]
fn moments_are_those_of_the_formula() {
    let all = Zscore {
        foreground: Foreground::All,
        ..Zscore::default()
    };
    assert_eq!(scaled(&all, &[1.0, 3.0, 1.0, 3.0]), [-1.0, 1.0, -1.0, 1.0]);
    let nonzero = Zscore {
        foreground: Foreground::Nonzero,
        background: Background::Zero,
        ..Zscore::default()
    };
    assert_eq!(scaled(&nonzero, &[0.0, 1.0, 3.0]), [0.0, -1.0, 1.0]);
    let like_tissue = Zscore {
        foreground: Foreground::Nonzero,
        background: Background::Scaled,
        ..Zscore::default()
    };
    let found = scaled(&like_tissue, &[0.0, 1.0, 3.0, f32::NAN]);
    assert_eq!(found, [-2.0, -1.0, 1.0, -5.0]);
}

#[test]
fn an_image_still_to_be_gathered_stays_so_and_gets_the_same_voxels() {
    let grid = |shape, mm| Grid::with_spacing(shape, [mm; 3]).unwrap();
    let voxels = (0..1000i16).map(|i| if i % 10 < 6 { 0 } else { 300 + i * 7 % 101 });
    let source = Volume::from_vec(voxels.collect::<Vec<_>>(), grid([10; 3], 1.0)).unwrap();
    let image = || source.resampled(Role::Image, grid([7; 3], 1.25), Interpolation::default());
    for foreground in [Foreground::AboveMin, Foreground::Nonzero] {
        for background in [Background::Below, Background::Zero] {
            let zscore = Zscore {
                foreground,
                background,
                ..Zscore::default()
            };
            let (deferred, found) = zscore.scale(image());
            let (made, expected) = zscore.scale(image().materialised());
            assert!(!deferred.is_computed() && made.is_computed());
            assert_eq!(found, expected);
            assert_eq!(deferred.to_f32(), made.to_f32());
            assert_eq!(deferred.lowest_bits(), made.lowest_bits());
        }
    }
}

#[test]
fn the_box_of_a_scaled_image_is_known_before_its_voxels_are_made() {
    let grid = |shape, mm| Grid::with_spacing(shape, [mm; 3]).unwrap();
    let (mut voxels, shape) = (vec![0i16; 1080], [12, 10, 9]);
    for (i, voxel) in voxels.iter_mut().enumerate() {
        let at = [i % 12, i / 12 % 10, i / 120];
        if (0..3).all(|a| (2 + a..8).contains(&at[a])) {
            *voxel = 300 + (i * 7919 % 101) as i16;
        }
    }
    let source = Volume::from_vec(voxels, grid(shape, 1.0)).unwrap();
    let image = || source.resampled(Role::Image, grid([9, 8, 7], 1.25), Interpolation::default());
    let mut known = 0;
    for foreground in [Foreground::AboveMin, Foreground::Nonzero, Foreground::All] {
        for background in [Background::Below, Background::Zero, Background::Scaled] {
            let zscore = Zscore {
                foreground,
                background,
                ..Zscore::default()
            };
            for above in [-9.0, -1.0, 0.0, 0.3, 1.0, 9.0].map(Above::Value) {
                let (mut deferred, _) = zscore.scale(image());
                let made = deferred.to_f32().into_owned();
                let mut made = Volume::from_vec(made, *deferred.grid()).unwrap();
                let expected = made.region_above(above);
                let (mut deferred_again, _) = zscore.scale(image());
                assert_eq!(deferred_again.region_above(above), expected, "{above:?}");
                known += usize::from(!deferred_again.is_computed());
                assert_eq!(deferred.region_above(above), expected, "{above:?}");
            }
            let (mut deferred, _) = zscore.scale(image());
            let mut made = zscore.scale(image()).0.materialised();
            let expected = made.region_above(Above::Minimum);
            assert_eq!(deferred.region_above(Above::Minimum), expected);
        }
    }
    assert!(known > 12, "{known} boxes were found without voxels");
}

#[test]
fn constant_images_become_zeros() {
    for foreground in [Foreground::AboveMin, Foreground::Nonzero, Foreground::All] {
        let zscore = Zscore {
            foreground,
            ..Zscore::default()
        };
        for value in [0.1f32, 7.3e8, 3e38] {
            assert_eq!(scaled(&zscore, &[value; 1001]), [0.0; 1001]);
        }
    }
    let mask = scaled(&Zscore::default(), &[0.0, 100.0, 100.0]);
    assert_eq!(mask, [-5.0, 0.0, 0.0]);
    // An interpolated constant is off by a step of f32 here and there.
    let value = 0.1f32;
    let rounded = [value, value.next_up(), value, value.next_down()];
    assert_eq!(scaled(&Zscore::default(), &rounded), [0.0; 4]);
    let far = Zscore {
        foreground: Foreground::Nonzero,
        background: Background::Scaled,
        ..Zscore::default()
    };
    assert_eq!(scaled(&far, &[3e38, 3e38, 0.0]), [0.0; 3]);
    assert_eq!(scaled(&Zscore::default(), &[f32::NAN; 3]), [0.0; 3]);
}

#[test]
fn a_large_offset_costs_no_digits() {
    // Voxels near 1e6 are multiples of 1/16; the mean is half a step between two of them.
    let values = [1e6f32, 1e6 + 1.4375, 1e6, 1e6 + 1.4375];
    let all = Zscore {
        foreground: Foreground::All,
        ..Zscore::default()
    };
    assert_eq!(scaled(&all, &values), [-1.0, 1.0, -1.0, 1.0]);
}

#[test]
fn images_without_spread_are_warned_about() {
    let warned = |foreground, values: &[f32]| {
        let zscore = Zscore {
            foreground,
            ..Zscore::default()
        };
        let row = zscore.map(row_of(values)).unwrap().remove(0);
        let warnings = row.warnings.iter();
        warnings
            .map(|w| (w.kind, w.modality.clone().unwrap(), w.message.clone()))
            .collect::<Vec<_>>()
    };
    let none = warned(Foreground::AboveMin, &[0.0; 9]);
    assert_eq!(none.len(), 1);
    assert_eq!(
        (none[0].0, none[0].1.as_str()),
        (WarningKind::NoForeground, "ct")
    );
    let constant = warned(Foreground::Nonzero, &[0.0, 7.0, 7.0]);
    assert_eq!(constant[0].0, WarningKind::ConstantForeground);
    assert!(constant[0].2.contains("all 2 foreground voxels are 7"));
    assert_eq!(warned(Foreground::All, &[1.0, 2.0]), []);
}
