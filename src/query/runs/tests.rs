//! Runs in folders: how they are found and named, unions of their tables, comparisons.

mod views;

use super::*;
use crate::query::{Format, Limits, Session, print};
use crate::sink::{EdgeRow, MetricRow, QualityRow, ScoreRow, SubjectRow, WarningRow, write_table};

fn score(subject: &str, class_id: i32, dice: Option<f64>) -> ScoreRow {
    ScoreRow {
        subject_id: subject.into(),
        split: "test".into(),
        checkpoint: "best".into(),
        modality: "ct".into(),
        class_id,
        class: match class_id {
            0 => "background",
            1 => "liver",
            2 => "spleen",
            _ => "abdomen",
        }
        .into(),
        dice,
        truth_voxels: 10,
        missed: dice == Some(0.0),
        ..ScoreRow::default()
    }
}

fn metric(step: i64, name: &str, value: f64) -> MetricRow {
    MetricRow {
        step,
        epoch: 0,
        split: if name == "dice" {
            "validation"
        } else {
            "train"
        }
        .into(),
        subject_id: None,
        modality: (name == "dice").then(|| "ct".into()),
        class: Some("liver".into()),
        name: name.into(),
        value,
        unit: "1".into(),
    }
}

fn subject(id: &str) -> SubjectRow {
    SubjectRow {
        subject_id: id.into(),
        patient: id.into(),
        entities: BTreeMap::new(),
        cohort: "a".into(),
        split: "test".into(),
        labelled: true,
        modalities: vec!["ct".into(), "mr".into()],
        shape_x: 4,
        shape_y: 3,
        shape_z: 2,
        spacing_x_mm: 1.0,
        spacing_y_mm: 1.0,
        spacing_z_mm: 1.0,
        orientation: "RAS".into(),
        digest: String::new(),
        prepared_shape_x: None,
        prepared_shape_y: None,
        prepared_shape_z: None,
        seconds: None,
        bytes: 24,
        status: "ok".into(),
    }
}

/// A folder of two runs of one pipeline; the second is better by 0.1 on every subject.
fn folder_of_runs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (stamp, gain, fold) in [
        ("20260101T000000", 0.0, "0"),
        ("20260102T000000", 0.1, "null"),
    ] {
        let run = folder.path().join("cmc").join(stamp);
        let rows: Vec<ScoreRow> = (0..6)
            .flat_map(|i| {
                let dice = 0.5 + 0.05 * f64::from(i) + gain;
                let id = format!("s{i}");
                [
                    score(&id, 0, Some(1.0)),
                    score(&id, 1, Some(dice)),
                    score(&id, 2, (i > 0).then_some(0.9)),
                    // A region is a union of classes and in none of their means.
                    score(&id, -1, Some(0.25 + gain)),
                ]
            })
            .collect();
        write_table(&run.join("scores.parquet"), &rows).unwrap();
        let metrics = [
            metric(10, "dice", 0.5),
            metric(20, "dice", 0.7),
            metric(10, "kept_fraction", 0.25),
        ];
        write_table(&run.join("metrics.parquet"), &metrics).unwrap();
        let plan = format!(r#"{{"name": "cmc", "seed": 7, "fold": {fold}}}"#);
        fs::write(run.join("plan.json"), plan).unwrap();
        fs::write(run.join("status.json"), r#"{"progress": "finished"}"#).unwrap();
    }
    let second = folder.path().join("cmc/20260102T000000");
    write_table(
        &second.join("subjects.parquet"),
        &[subject("s0"), subject("s1")],
    )
    .unwrap();
    let quality = QualityRow {
        subject_id: "s0".into(),
        sample: 0,
        step: 0,
        modality: "ct".into(),
        name: "snr".into(),
        value: 12.5,
    };
    write_table(&second.join("quality.parquet"), &[quality]).unwrap();
    let warning = WarningRow {
        subject_id: Some("s1".into()),
        stage: "source".into(),
        modality: None,
        kind: "header".into(),
        message: "odd".into(),
    };
    write_table(&second.join("warnings.parquet"), &[warning]).unwrap();
    let edge = EdgeRow {
        node: "source".into(),
        rows: 10,
        bytes: 4_000_000,
        busy_seconds: 2.0,
        starved_seconds: 0.5,
        blocked_seconds: 3.0,
        failures: 0,
    };
    write_table(&second.join("edges.parquet"), &[edge]).unwrap();
    fs::create_dir_all(folder.path().join("cmc/notes/.hidden")).unwrap();
    folder
}

fn csv(session: &Session, sql: &str) -> String {
    let mut out = Vec::new();
    print(&session.sql(sql).unwrap(), Format::Csv, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn tables_are_unions_over_runs() {
    let folder = folder_of_runs();
    let session = Session::open(folder.path()).unwrap();
    assert_eq!(
        csv(
            &session,
            "select run, pipeline, fold, seed, count(*) n from scores group by 1, 2, 3, 4 order by 1"
        ),
        "run,pipeline,fold,seed,n\ncmc/20260101T000000,cmc,0,7,24\ncmc/20260102T000000,cmc,,7,24\n"
    );
    // Runs that a condition leaves out are not read.
    let bytes = |sql: &str| session.answer(sql).unwrap().stats.bytes_read;
    let all = bytes("select dice from scores");
    let one = bytes("select dice from scores where run like '%0101%'");
    // Pages of equal content may differ by a few bytes of their headers.
    assert!(one > 0 && all.abs_diff(2 * one) < 16, "{one} {all}");
    assert_eq!(bytes("select dice from scores where run = 'x'"), 0);
    assert_eq!(
        csv(
            &session,
            "select count(*) n from scores where fold = 0 and dice > 0.9"
        ),
        "n\n6\n"
    );
    assert_eq!(
        csv(
            &session,
            "select run, pipeline, progress from runs order by run desc limit 1"
        ),
        "run,pipeline,progress\ncmc/20260102T000000,cmc,finished\n"
    );
    // A table that one run has.
    assert_eq!(
        csv(&session, "select distinct run from subjects"),
        "run\ncmc/20260102T000000\n"
    );
}

#[test]
fn two_runs_are_compared_on_the_same_subjects() {
    let folder = folder_of_runs();
    let session = Session::open(folder.path()).unwrap();
    let sql = "select class, subjects, round(mean_a, 3) a, round(mean_b, 3) b, round(difference, 3) d, round(low, 3) low, round(high, 3) high, b_higher, wilcoxon, p_value from compare('20260101T000000', 'cmc/20260102T000000') order by class nulls first";
    assert_eq!(
        csv(&session, sql),
        // Six of six are better: 2 of 64 signs. Spleens are equal; the means over classes gain half, and s0 has no spleen.
        "class,subjects,a,b,d,low,high,b_higher,wilcoxon,p_value\n,6,0.729,0.788,0.058,0.05,0.075,6,0.0,0.03125\nabdomen,6,0.25,0.35,0.1,0.1,0.1,6,0.0,0.03125\nliver,6,0.625,0.725,0.1,0.1,0.1,6,0.0,0.03125\nspleen,5,0.9,0.9,0.0,0.0,0.0,0,,\n"
    );
    let error = |sql: &str| session.sql(sql).unwrap_err().to_string();
    assert!(
        error("select * from compare('20260103T000000', 'x')")
            .starts_with("there is no run `20260103T000000`; ")
    );
    assert!(error("select * from compare('a')").contains("takes the names of two runs"));
    assert!(
        error("select * from compare('20260101T000000', '20260102T000000', 'hd95_mm')")
            .contains("no subject, modality and class in common")
    );
}

#[test]
fn names_tell_runs_apart() {
    let folder = folder_of_runs();
    let runs = Runs::find(&[folder.path().to_owned()]).unwrap();
    let names: Vec<&str> = runs.all.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["cmc/20260101T000000", "cmc/20260102T000000"]);
    assert!(!runs.single);
    let twice = folder.path().join("cmc/20260101T000000");
    let runs = Runs::find(&[twice.clone(), twice.clone()]).unwrap();
    assert_eq!(
        (runs.all.len(), runs.all[0].name.as_str()),
        (1, "cmc/20260101T000000")
    );
    // However it is written, a run counts once, and it is the same below a folder that is asked about, too.
    let spelled = folder.path().join("cmc/../cmc/20260101T000000");
    let group = folder.path().join("cmc");
    let mut targets = vec![twice, spelled, group];
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&targets[0], &link).unwrap();
        targets.push(link);
    }
    assert_eq!(Runs::find(&targets).unwrap().all.len(), 2);
    // The same ending twice must be written out.
    let copy = folder.path().join("other/20260101T000000");
    write_table(&copy.join("scores.parquet"), &[score("s0", 1, None)]).unwrap();
    let runs = Runs::find(&[folder.path().to_owned()]).unwrap();
    let error = runs.named("20260101T000000").unwrap_err().to_string();
    assert!(
        error.contains("cmc/20260101T000000, other/20260101T000000"),
        "{error}"
    );
    let empty = tempfile::tempdir().unwrap();
    let error = Runs::find(&[empty.path().to_owned()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("holds no Parquet table and no run"),
        "{error}"
    );
}
