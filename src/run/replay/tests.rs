//! Every recorded row comes back byte for byte, whatever its way through the plan was.

use super::*;
use crate::cli::open;
use crate::run::driver::{RunOptions, run};
use crate::spec::SourceFile;
use crate::train::device::DeviceChoice;
use std::collections::BTreeSet;

const SOURCE: &str = "source: { phantom: { subjects: 8, modalities: [ct, mr], classes: 2, size: [20, 18, 16], labelled: 3, validation: 1, test: 1, missing: 0.3 } }\n";

const TRAINING: &str = "stages: [orient: { to: RAS }, resample: { spacing_mm: [1.1, 1.0, 1.0] }, zscore: {}, balance: { by: modalities }]\n\
    views:\n\
    \x20 shared: [affine: { rotation_deg: [-20, 20], p: 0.7 }, patch: { size: [12, 12, 12], samples: 2 }, gamma: { p: 0.3 }, copy_paste: { p: 0.6 }, flip: { axes: [x, y], p: 0.5 }]\n\
    \x20 weak: [scale_intensity: { factor: [0.9, 1.1], p: 0.5 }]\n\
    \x20 strong: { one: [gamma: { p: 0.5 }], two: [gaussian_noise: { std: [0.0, 0.3], p: 0.8 }] }\n\
    pseudo_label: {}\n\
    train: { classes: [b, x, y], network: { unet3d: { width: 4, depth: 2 } }, steps: 8, batch: { labelled: 1, unlabelled: 1 }, validate: { every: 3 }, objective: { supervised: {}, pseudo_label: {} } }\n\
    sinks: { views: {} }\n";

const PREPARATION: &str = "stages: [orient: { to: RAS }, patch: { size: [12, 12, 12], samples: 3 }, zscore: {}, gaussian_noise: { std: [0.0, 0.3], p: 0.7 }]\n\
    sinks: { prepared: { parquet: true } }\n";

fn opened(rest: &str) -> (Plan, Box<dyn Cohort>) {
    let text = format!("name: replay\nseed: 11\n{SOURCE}{rest}");
    let name = "replay.yaml".to_owned();
    open(&SourceFile { name, text }).unwrap()
}

/// A finished run, carried out as `change` says.
fn done(rest: &str, change: fn(Plan) -> Plan) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (plan, cohort) = opened(rest);
    let options = RunOptions {
        out: Some(folder.path().join("run")),
        device: DeviceChoice::Cpu,
        workers: Some(2),
        ..RunOptions::default()
    };
    let outcome = run(change(plan), cohort, &options).unwrap();
    assert_eq!(outcome.failures, []);
    folder
}

fn replayer(run: &Path, rest: &str) -> Replayer {
    let (plan, cohort) = opened(rest);
    Replayer::open(run, plan, Arc::from(cohort), 1 << 30).unwrap()
}

fn rows(run: &Path, filter: &RowFilter) -> Result<Vec<RecordedRow>, Error> {
    let mut rows = Vec::new();
    visit(run, filter, |row| {
        rows.push(row);
        Ok(true)
    })?;
    Ok(rows)
}

#[test]
fn every_view_of_a_training_comes_back_optimised_and_as_written() {
    for change in [|plan| plan, Plan::unoptimized as fn(Plan) -> Plan] {
        let folder = done(TRAINING, change);
        let run = folder.path().join("run");
        let replayer = replayer(&run, TRAINING);
        let rows = rows(&run, &RowFilter::default()).unwrap();
        // One labelled row in the weak view, one unlabelled row in all three, a step.
        assert_eq!(rows.len(), 8 * (1 + 3));
        for row in &rows {
            let made = replayer.replay(row).unwrap();
            let (columns, differences) = compare(row, &made);
            assert!(!columns.is_empty());
            assert_eq!(differences, [], "{row}");
            assert_eq!((made.view.as_str(), made.sample), (&*row.view, row.sample));
        }
        let views: BTreeSet<&str> = rows.iter().map(|row| &*row.view).collect();
        assert_eq!(
            views.into_iter().collect::<Vec<_>>(),
            ["strong.one", "strong.two", "weak"]
        );
        let drew = |stage: &str| {
            rows.iter()
                .filter(|row| row.draws.iter().any(|d| d.stage.contains(stage)))
                .count()
        };
        assert!(drew("copy_paste") > 0 && drew("copy_paste") < rows.len());
        assert!(drew("weak[0]") > 0 && drew("two[0]") > 0);
        assert!(
            rows.iter().any(|row| row.sample > 1),
            "no subject came twice in an epoch"
        );
    }
}

#[test]
fn another_draw_makes_other_bytes_and_a_step_that_is_gone_is_named() {
    let folder = done(TRAINING, |plan| plan);
    let run = folder.path().join("run");
    let replayer = replayer(&run, TRAINING);
    let filter = RowFilter {
        view: Some("strong.two".to_owned()),
        ..RowFilter::default()
    };
    let all = rows(&run, &filter).unwrap();
    let stage = "views.strong.two[0].gaussian_noise";
    let drawn = |row: &&RecordedRow| row.draws.iter().any(|d| d.stage == stage);
    let mut row = all.iter().find(drawn).unwrap().clone();
    row.draws.retain(|d| d.stage != stage);
    let (_, differences) = compare(&row, &replayer.replay(&row).unwrap());
    assert!(differences.iter().all(|d| d.column.starts_with("image.")));
    assert!(!differences.is_empty());
    assert_eq!(replayer.causes(&row), "");
    row.draws[0].stage = "views.shared[1].patsh".to_owned();
    let error = replayer.replay(&row).unwrap_err().to_string();
    assert!(
        error.contains("a draw of `views.shared[1].patsh`")
            && error.ends_with("did you mean `views.shared[1].patch`?"),
        "{error}"
    );
    let mut row = all[0].clone();
    row.view = "strong.three".to_owned();
    row.draws.pop();
    let error = replayer.replay(&row).unwrap_err().to_string();
    assert!(error.contains("no view `strong.three`"), "{error}");
    row.subject = "nobody".to_owned();
    let error = replayer.replay(&row).unwrap_err().to_string();
    assert!(
        error.contains("does not have this subject any more"),
        "{error}"
    );
}

#[test]
fn every_prepared_row_comes_back_with_its_voxels() {
    let folder = done(PREPARATION, |plan| plan);
    let run = folder.path().join("run");
    let replayer = replayer(&run, PREPARATION);
    let rows = rows(&run, &RowFilter::default()).unwrap();
    assert_eq!(rows.len(), 8 * 3);
    for row in &rows {
        let made = replayer.replay(row).unwrap();
        assert_eq!(compare(row, &made).1, [], "{row}");
    }
    // A patch from one voxel beside.
    let mut row = rows[4].clone();
    let offset = &mut row.draws[0].draw["offset_xyz"];
    let x = offset[0].as_i64().unwrap();
    offset[0] = (if x > 0 { x - 1 } else { x + 1 }).into();
    let (_, differences) = compare(&row, &replayer.replay(&row).unwrap());
    assert!(!differences.is_empty());
    row.sample = 3;
    let error = replayer.replay(&row).unwrap_err().to_string();
    assert!(error.contains("no such sample"), "{error}");
}

#[test]
fn rows_that_were_not_recorded_are_answered_with_those_that_were() {
    let folder = done(PREPARATION, |plan| plan);
    let run = folder.path().join("run");
    let of = |subject: &str, sample| RowFilter {
        subject: Some(subject.to_owned()),
        sample,
        ..RowFilter::default()
    };
    let known = rows(&run, &RowFilter::default()).unwrap()[0]
        .subject
        .clone();
    assert_eq!(rows(&run, &of(&known, None)).unwrap().len(), 3);
    let error = rows(&run, &of(&known, Some(7))).unwrap_err().to_string();
    assert!(
        error.contains(&format!("{known}, epoch 0, sample 2, prepared")),
        "{error}"
    );
    let error = rows(&run, &of(&known[1..], None)).unwrap_err().to_string();
    assert!(
        error.ends_with(&format!("did you mean `{known}`?")),
        "{error}"
    );
    let nothing = done("stages: [zscore: {}]\n", |plan| plan);
    let error = rows(&nothing.path().join("run"), &RowFilter::default()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("nothing is stored to compare with"),
        "{error}"
    );
}
