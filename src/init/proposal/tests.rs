use super::*;
use crate::init::fingerprint::VolumePrint;
use crate::init::numbers::{median, percentile, short};
use crate::volume::Role;

/// Subjects of these shapes and voxel sizes, one image each.
fn print(shapes: &[([usize; 3], [f64; 3])]) -> Fingerprint {
    let volume =
        |(subject, (shape_xyz, spacing_mm)): (usize, &([usize; 3], [f64; 3]))| VolumePrint {
            subject,
            role: Role::Image,
            name: "mr".to_owned(),
            orientation: "RAS".to_owned(),
            shape_xyz: *shape_xyz,
            spacing_mm: *spacing_mm,
            dtype: "i16".to_owned(),
            bytes: 0,
            intensity: None,
        };
    Fingerprint {
        modalities: vec!["mr".to_owned()],
        label_names: vec![String::new()],
        subjects: Vec::new(),
        volumes: shapes.iter().enumerate().map(volume).collect(),
        classes: Vec::new(),
        sampled: Vec::new(),
        unreadable: Vec::new(),
        mismatches: Vec::new(),
        other_grids: 0,
    }
}

const GIB: u64 = 1 << 30;

#[test]
fn small_volumes_have_the_patch_that_nnunet_publishes() {
    // Medical Segmentation Decathlon, Task04: median 36 x 50 x 35 at 1 mm; patch 40 x 56 x 40.
    let print = print(&[([36, 50, 35], [1.0; 3]); 200]);
    let spacing = Spacing::new(&print);
    assert_eq!(
        (spacing.spacing_mm, spacing.median_shape),
        ([1.0; 3], [36, 50, 35])
    );
    assert!(!spacing.is_anisotropic);
    let plan = NetworkPlan::new(&spacing, 3, &print, 8 * GIB);
    assert_eq!((plan.patch_xyz, plan.depth), ([40, 56, 40], 4));
    // 5 % of 200 volumes in patches of 40 x 56 x 40.
    assert_eq!(plan.batch, 7);
}

#[test]
fn a_patch_fits_the_memory_that_is_stated() {
    let print = print(&[([512, 512, 300], [0.8, 0.8, 1.0]); 40]);
    let spacing = Spacing::new(&print);
    let mut last = 0;
    for memory in [2, 4, 8, 24, 80] {
        let plan = NetworkPlan::new(&spacing, 4, &print, memory * GIB);
        assert!(plan.bytes <= memory * GIB, "{memory} GiB: {plan:?}");
        let step = 1 << (plan.depth - 1);
        assert!(
            plan.patch_xyz
                .iter()
                .all(|edge| edge.is_multiple_of(step) && *edge >= 2 * step),
            "{plan:?}"
        );
        let voxels = plan.width * plan.batch * plan.patch_xyz.iter().product::<usize>();
        assert!(voxels > last, "{memory} GiB: {plan:?}");
        last = voxels;
    }
}

#[test]
fn an_anisotropic_axis_takes_its_tenth_percentile() {
    let thick = |mm: f64| ([320, 320, 20], [0.5, 0.5, mm]);
    let spacing = Spacing::new(&print(&[
        thick(3.0),
        thick(6.0),
        thick(6.0),
        thick(6.0),
        thick(9.0),
    ]));
    // NumPy: percentile([3, 6, 6, 6, 9], 10) = 4.2.
    assert_eq!(
        (spacing.spacing_mm, spacing.is_anisotropic),
        ([0.5, 0.5, 4.2], true)
    );
    // As coarse, but as many voxels: a cube of thick slices is no stack.
    let cube = Spacing::new(&print(&[([60, 60, 60], [0.5, 0.5, 6.0]); 3]));
    assert_eq!(
        (cube.spacing_mm, cube.is_anisotropic),
        ([0.5, 0.5, 6.0], false)
    );
    // Never finer than the other axes.
    let mixed = Spacing::new(&print(&[
        ([320, 320, 20], [1.0, 1.0, 0.5]),
        ([320, 320, 20], [1.0, 1.0, 6.0]),
        ([320, 320, 20], [1.0, 1.0, 6.0]),
    ]));
    assert!(mixed.is_anisotropic && mixed.spacing_mm[2] >= 1.0);
}

#[test]
fn numbers_have_the_digits_they_need() {
    for (value, text) in [
        (1.0, "1"),
        (0.9375, "0.938"),
        (1.4375, "1.44"),
        (42.06, "42.1"),
        (1234.5, "1234"),
        (-0.5, "-0.5"),
        (100.0, "100"),
    ] {
        assert_eq!(short(value), text);
    }
    let mut values = [4.0, 1.0, 3.0, 2.0];
    assert_eq!(
        (median(&mut values), percentile(&mut values, 10.0)),
        (2.5, 1.3)
    );
    assert!(median(&mut []).is_nan());
}

#[test]
fn a_stack_of_few_slices_keeps_some_depth() {
    let print = print(&[([320, 320, 14], [0.8, 0.8, 5.0]); 10]);
    let plan = NetworkPlan::new(&Spacing::new(&print), 3, &print, 8 * GIB);
    assert_eq!((plan.depth, plan.patch_xyz[2]), (4, 16));
    assert!(
        plan.patch_xyz[0] >= 64 && plan.patch_xyz[0].is_multiple_of(8),
        "{plan:?}"
    );
}
