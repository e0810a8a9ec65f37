//! What a plan knows and refuses.

use super::*;
use crate::plan::entry::StageEntry;
use crate::spec::node::Document;
use crate::stage::spatial::{
    affine::Affine, crop::Crop, crop_foreground::CropForeground, elastic::Elastic, flip::Flip,
    misalign::Misalign, orient::Orient, pad::Pad, patch::Patch, register_check::RegisterCheck,
    resample::Resample, rotate90::Rotate90,
};

pub(super) const ENTRIES: [StageEntry; 12] = [
    StageEntry::stage::<Orient>(),
    StageEntry::stage::<Resample>(),
    StageEntry::stage::<CropForeground>(),
    StageEntry::stage::<Pad>(),
    StageEntry::augment::<Patch>(),
    StageEntry::augment::<Flip>(),
    StageEntry::augment::<Rotate90>(),
    StageEntry::stage::<Crop>(),
    StageEntry::stage::<RegisterCheck>(),
    StageEntry::augment::<Affine>(),
    StageEntry::augment::<Elastic>(),
    StageEntry::augment::<Misalign>(),
];

fn parse(name: &str, yaml: &str) -> Box<dyn AnyStage> {
    let entry = ENTRIES.iter().find(|e| e.name == name).unwrap();
    let document = Document::parse(yaml).unwrap();
    (entry.parse)(document.root()).unwrap_or_else(|e| panic!("{name} {yaml}: {e:?}"))
}

fn subject(other: Grid) -> Row {
    let grid = oblique([24, 20, 18], [1.0, 1.0, 2.0], 0.1);
    row(
        vec![
            channel("ct", Some(filled(grid, |i| field(i) as i16))),
            channel("mr", Some(filled(other, |i| field(i) as f32))),
        ],
        vec![channel("ct", Some(filled(grid, label_field)))],
    )
}

fn one_grid_subject() -> Row {
    subject(oblique([24, 20, 18], [1.0, 1.0, 2.0], 0.1))
}

#[test]
fn what_leaves_is_what_was_planned() {
    let stages = [
        ("orient", "{}"),
        ("orient", "{ to: SPL }"),
        ("resample", "{ spacing_mm: [1.5, null, 0.7] }"),
        ("resample", "{ like: mr }"),
        (
            "crop_foreground",
            "{ modalities: [ct], above: 98, margin_mm: 2 }",
        ),
        ("crop_foreground", "{}"),
        ("pad", "{ multiple_of: 16 }"),
        ("patch", "{ size: [8, 30, 4], samples: 2 }"),
        ("patch", "{ size: [8, 9, 4], grid: { overlap: 0.25 } }"),
        ("flip", "{}"),
        ("rotate90", "{ p: 1 }"),
    ];
    let examples = ENTRIES.iter().map(|e| (e.name, e.example));
    for (name, yaml) in stages.into_iter().chain(examples) {
        let stage = parse(name, yaml);
        let planned = stage.check(&schema_of(&one_grid_subject())).unwrap();
        let rows = run(stage.as_ref(), one_grid_subject());
        assert_eq!(
            planned.rows_per_subject,
            Some(rows.len() as u32),
            "{name} {yaml}"
        );
        for row in &rows {
            for (plan, is) in planned.channels.iter().zip(schema_of(row).channels) {
                assert_eq!(plan.dtype.or(is.dtype), is.dtype, "{name} {yaml}");
                let same_shape = plan.shape_xyz.is_none_or(|s| Some(s) == is.shape_xyz);
                assert!(same_shape, "{name} {yaml}: {plan:?} {is:?}");
                let known = plan.orientation.as_ref();
                assert!(known.is_none_or(|o| Some(o) == is.orientation.as_ref()));
                let (spacing, actual) = (plan.spacing_mm.unwrap(), is.spacing_mm.unwrap());
                for axis in 0..3 {
                    assert!((spacing[axis] - actual[axis]).abs() < 1e-9, "{name} {yaml}");
                }
            }
        }
    }
}

#[test]
fn resample_plans_its_shape() {
    let stage = parse("resample", "{ spacing_mm: [1.5, null, 0.7] }");
    let planned = stage.check(&schema_of(&one_grid_subject())).unwrap();
    // round(23 · 1 / 1.5 + 1), 20, round(17 · 2 / 0.7 + 1)
    assert_eq!(planned.channels[0].shape_xyz, Some([16, 20, 50]));
    let other = oblique([9, 9, 9], [2.0; 3], 0.1);
    let planned = stage.check(&schema_of(&subject(other))).unwrap();
    assert_eq!(
        planned.channels[0].shape_xyz, None,
        "rows may lack a modality"
    );
    assert_eq!(planned.channels[0].spacing_mm, None);
}

#[test]
fn plans_are_refused_with_a_reason() {
    let cases = [
        (
            "orient",
            "{ to: RAX }",
            "one letter each of L/R, P/A and I/S",
        ),
        ("orient", "{ to: RLS }", "`to: RLS` is no orientation"),
        ("resample", "{}", "neither `spacing_mm` nor `like` is given"),
        (
            "resample",
            "{ spacing_mm: [1, 0, 1] }",
            "`spacing_mm` holds 0",
        ),
        (
            "resample",
            "{ like: mri }",
            "no modality `mri` arrives here; there is ct, mr",
        ),
        (
            "crop_foreground",
            "{ modalities: [pet] }",
            "no modality `pet`",
        ),
        ("crop_foreground", "{ margin_mm: -1 }", "`margin_mm` is -1"),
        ("pad", "{}", "neither `size` nor `multiple_of` is given"),
        ("pad", "{ size: [1, 1, 99999999] }", "more than the 65536"),
        (
            "pad",
            "{ multiple_of: 16, fill: { mri: 0 } }",
            "`fill`: no modality `mri` arrives here; there is ct, mr",
        ),
        (
            "pad",
            "{ multiple_of: 16, fill: 1e39 }",
            "write a finite number in the units of the image",
        ),
        ("patch", "{ size: [0, 8, 8] }", "`size` is [0, 8, 8]"),
        (
            "patch",
            "{ size: [8, 8, 8], fill: { ct: 0, us: min } }",
            "no modality `us` arrives here",
        ),
        (
            "patch",
            "{ size: [8, 8, 8], positive: 1.5 }",
            "share from 0 to 1, found 1.5",
        ),
        ("patch", "{ size: [8, 8, 8], samples: 0 }", "`samples` is 0"),
        (
            "patch",
            "{ size: [8, 8, 8], grid: { overlap: 1 } }",
            "`overlap` is 1",
        ),
        (
            "patch",
            "{ size: [8, 8, 8], grid: {}, classes: [1] }",
            "remove one of them",
        ),
        ("flip", "{ axes: [] }", "`axes` is empty"),
        ("flip", "{ p: 2 }", "probability from 0 to 1, found 2"),
        ("rotate90", "{ planes: [] }", "`planes` is empty"),
        ("crop", "{}", "either `size` in voxels"),
        ("crop", "{ size: [1, 0, 1] }", "`size` holds 0"),
        (
            "crop",
            "{ size: [9, 9, 9], size_mm: [9, 9, 9] }",
            "either `size` in voxels",
        ),
        (
            "crop",
            "{ size: [20, 9, 9], offset: [5, 0, 0] }",
            "begins at [5, 0, 0] leaves the volume of [24, 20, 18] voxels",
        ),
        ("affine", "{ p_scale: 2 }", "`p_scale` is a probability"),
        (
            "affine",
            "{ scale: [0, 2] }",
            "`scale` reaches from 0 to 2; allowed is 0.05",
        ),
        (
            "affine",
            "{ rotation_deg: [0, [9, 5], 0] }",
            "`rotation_deg.y` is a pair with its larger end first",
        ),
        (
            "elastic",
            "{ control_spacing_mm: 20, displacement_mm: [0, 9] }",
            "reaches 9 mm; with control points 20 mm apart more than 8 mm may fold",
        ),
        (
            "elastic",
            "{ control_spacing_mm: 0 }",
            "`control_spacing_mm` is 0",
        ),
        ("misalign", "{ modalities: [] }", "`modalities` is empty"),
        (
            "misalign",
            "{ modalities: [ct], shift_mm: 1, shift_voxels: 1 }",
            "both `shift_voxels` and `shift_mm`",
        ),
        (
            "misalign",
            "{ modalities: [us] }",
            "no modality `us` arrives here",
        ),
    ];
    for (name, yaml, expected) in cases {
        let message = parse(name, yaml)
            .check(&schema_of(&one_grid_subject()))
            .unwrap_err();
        assert!(message.contains(expected), "{name} {yaml}: {message}");
    }
}

#[test]
fn several_grids_are_refused_where_one_is_needed() {
    let shifted = oblique([24, 20, 18], [1.0, 1.0, 2.0], 0.1)
        .window([3, 0, 0], [24, 20, 18])
        .unwrap();
    let smaller = oblique([23, 20, 18], [1.0, 1.0, 2.0], 0.1);
    for (name, yaml) in [("patch", "{ size: [8, 8, 8] }"), ("crop_foreground", "{}")] {
        let stage = parse(name, yaml);
        let error = stage
            .run("stages[1]", 0, subject(shifted))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!(
                "`image.mr` ([24, 20, 18] voxels) is on another grid than `image.ct` ([24, 20, 18] voxels), corners up to 3.000 mm apart; add `resample` before `{name}`"
            )
        );
        let planned = stage.check(&schema_of(&subject(smaller))).unwrap_err();
        assert_eq!(
            planned,
            format!(
                "`image.mr` arrives with [23, 20, 18] voxels and `image.ct` with [24, 20, 18], and `{name}` needs one grid; add `resample` before it"
            )
        );
    }
    let tiny = parse("resample", "{ spacing_mm: [0.001, 0.001, 0.001] }");
    let error = tiny
        .run("stages[0]", 0, one_grid_subject())
        .unwrap_err()
        .to_string();
    assert!(error.contains("ask for a larger `spacing_mm`"), "{error}");
}

#[test]
fn rows_without_volumes_pass() {
    for entry in ENTRIES {
        let stage = parse(entry.name, entry.example);
        let empty = row(vec![channel("ct", None)], vec![channel("", None)]);
        for out in run(stage.as_ref(), empty) {
            assert!(out.volumes().next().is_none());
        }
    }
}
