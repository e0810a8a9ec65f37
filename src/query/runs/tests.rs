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
fn a_run_of_its_own_keeps_its_columns_and_has_the_views() {
    let folder = folder_of_runs();
    let run = folder.path().join("cmc/20260102T000000");
    let session = Session::open(&run).unwrap();
    let columns = session.sql("select * from scores").unwrap()[0].schema();
    assert_eq!(columns.field(0).name(), "subject_id");
    assert_eq!(
        csv(
            &session,
            "select run, rank, subjects, mean_dice from leaderboard"
        ),
        "run,rank,subjects,mean_dice\ncmc/20260102T000000,1,6,0.8125\n"
    );
    let several = Session::open_all(
        &[run, folder.path().join("cmc/20260101T000000")],
        Limits::default(),
    )
    .unwrap();
    assert_eq!(
        csv(&several, "select count(distinct run) n from scores"),
        "n\n2\n"
    );
}

#[test]
fn views_answer_the_usual_questions() {
    let folder = folder_of_runs();
    let session = Session::open(folder.path()).unwrap();
    assert_eq!(
        csv(
            &session,
            "select rank, run, subjects, round(mean_dice, 4) dice, round(worst_class_dice, 3) worst, missed, round(mean_region_dice, 4) regions from leaderboard order by rank"
        ),
        "rank,run,subjects,dice,worst,missed,regions\n1,cmc/20260102T000000,6,0.8125,0.725,0,0.35\n2,cmc/20260101T000000,6,0.7625,0.625,0,0.25\n"
    );
    assert_eq!(
        csv(
            &session,
            "select subject_id, worst_class, round(mean_dice, 3) dice from worst_subjects where run like '%0102%' and rank <= 2 order by rank"
        ),
        "subject_id,worst_class,dice\ns0,liver,0.6\ns1,liver,0.775\n"
    );
    assert_eq!(
        csv(
            &session,
            "select step, class, dice, round(change, 3) change, best_so_far from class_progress where fold = 0 order by step"
        ),
        "step,class,dice,change,best_so_far\n10,liver,0.5,,0.5\n20,liver,0.7,0.2,0.7\n"
    );
    assert_eq!(
        csv(
            &session,
            "select step, class, kept_fraction, threshold from pseudo_label_quality where fold = 0"
        ),
        "step,class,kept_fraction,threshold\n10,liver,0.25,\n"
    );
    assert_eq!(
        csv(
            &session,
            "select node, busy_share, rows_per_busy_second, mb_per_busy_second, state from stage_time"
        ),
        "node,busy_share,rows_per_busy_second,mb_per_busy_second,state\nsource,1.0,5.0,2.0,blocked\n"
    );
    assert_eq!(
        csv(
            &session,
            "select subject_id, modality, snr, round(mean_dice, 3) dice, warnings, failure from cohort order by 1, 2"
        ),
        "subject_id,modality,snr,dice,warnings,failure\ns0,ct,12.5,0.6,0,\ns0,mr,,,0,\ns1,ct,,0.775,1,\ns1,mr,,,1,\n"
    );
    assert_eq!(
        csv(
            &session,
            "select class, folds, subjects, round(mean_dice, 4) dice from cross_validation order by class nulls last"
        ),
        "class,folds,subjects,dice\nabdomen,1,6,0.25\nliver,1,6,0.625\nspleen,1,6,0.9\n,1,6,0.7625\n"
    );
    // Every column of a view is described.
    for view in super::super::views::VIEWS {
        let described = session.describe(view.name).unwrap();
        let mut out = Vec::new();
        print(&[described], Format::Csv, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for line in text.lines() {
            assert!(!line.ends_with(','), "{}: {line}", view.name);
        }
        assert_eq!(
            text.lines().count(),
            1 + 4 + view.columns.len(),
            "{}",
            view.name
        );
    }
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
fn older_tables_have_nulls_in_newer_columns() {
    use arrow::array::{Array as _, Float64Array, Int32Array, RecordBatch, StringArray};
    let folder = folder_of_runs();
    let old = folder.path().join("old/20250101T000000");
    let text = |values: [&'static str; 1]| -> arrow::array::ArrayRef {
        std::sync::Arc::new(StringArray::from_iter_values(values))
    };
    let batch = RecordBatch::try_from_iter([
        ("subject_id", text(["s0"])),
        ("split", text(["test"])),
        ("checkpoint", text(["best"])),
        ("modality", text(["ct"])),
        ("class", text(["liver"])),
        ("class_id", std::sync::Arc::new(Int32Array::from(vec![1]))),
        ("dice", std::sync::Arc::new(Float64Array::from(vec![0.99]))),
    ])
    .unwrap();
    let mut file = Vec::new();
    crate::sink::parquet::write_stream(&mut file, batch.schema(), &[batch]).unwrap();
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("scores.parquet"), file).unwrap();
    let session = Session::open(folder.path()).unwrap();
    assert_eq!(
        csv(
            &session,
            "select run, pipeline, missed, hd95_mm from scores where run like 'old%'"
        ),
        "run,pipeline,missed,hd95_mm\nold/20250101T000000,,,\n"
    );
    assert_eq!(
        csv(&session, "select run from leaderboard where rank = 1"),
        "run\nold/20250101T000000\n"
    );
    let alone = Session::open(&old).unwrap();
    assert_eq!(
        csv(&alone, "select mean_dice, mean_hd95_mm from leaderboard"),
        "mean_dice,mean_hd95_mm\n0.99,\n"
    );
    assert_eq!(
        alone.sql("select * from scores").unwrap()[0]
            .column(0)
            .len(),
        1
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
