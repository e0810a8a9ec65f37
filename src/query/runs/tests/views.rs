//! Ready-made views: what they answer, in which order, and over tables of older runs.

use super::*;

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
    for view in crate::query::views::VIEWS {
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

/// Three subjects whose order by Dice, and two nodes whose order by work, are not those of their names.
fn unordered(folder: &Path) {
    for (stamp, gain) in [("20260101T000000", 0.0), ("20260102T000000", 0.05)] {
        let run = folder.join("cmc").join(stamp);
        let of = |(subject, liver, spleen): (&str, f64, f64)| {
            [
                score(subject, 2, Some(spleen + gain)),
                score(subject, 1, Some(liver + gain)),
                score(subject, -1, Some(liver + gain)),
            ]
        };
        let subjects = [("s0", 0.9, 0.8), ("s1", 0.2, 0.3), ("s2", 0.5, 0.4)];
        let rows: Vec<ScoreRow> = subjects.into_iter().flat_map(of).collect();
        write_table(&run.join("scores.parquet"), &rows).unwrap();
        let steps = [20, 30, 10].map(|step| metric(step, "dice", 0.01 * step as f64));
        write_table(&run.join("metrics.parquet"), &steps).unwrap();
        let edges = [("a", 1.0), ("b", 3.0)].map(|(node, busy_seconds)| EdgeRow {
            node: node.into(),
            rows: 1,
            bytes: 1,
            busy_seconds,
            starved_seconds: 0.0,
            blocked_seconds: 0.0,
            failures: 0,
        });
        write_table(&run.join("edges.parquet"), &edges).unwrap();
        let plan = r#"{"name": "cmc", "seed": 7, "fold": 0}"#;
        fs::write(run.join("plan.json"), plan).unwrap();
    }
}

#[test]
fn statements_keep_the_order_of_a_view() {
    let folder = tempfile::tempdir().unwrap();
    unordered(folder.path());
    let session = Session::open(folder.path()).unwrap();
    let lines = |sql: &str| -> Vec<String> {
        let text = csv(&session, sql);
        text.lines().skip(1).map(str::to_owned).collect()
    };
    let best_first = ["cmc/20260102T000000", "cmc/20260101T000000"];
    assert_eq!(lines("select run from leaderboard"), best_first);
    assert_eq!(
        lines("select run from leaderboard where mean_dice > 0.1"),
        best_first
    );
    assert_eq!(
        lines("select run from leaderboard limit 1"),
        best_first[..1]
    );
    assert_eq!(
        lines("select round(mean_dice, 2) from leaderboard"),
        ["0.57", "0.52"]
    );
    let first = "where run like '%0101%'";
    assert_eq!(
        lines(&format!("select subject_id from worst_subjects {first}")),
        ["s1", "s2", "s0"]
    );
    assert_eq!(
        lines(&format!("select node from stage_time {first}")),
        ["b", "a"]
    );
    assert_eq!(
        lines(&format!("select step from class_progress {first}")),
        ["10", "20", "30"]
    );
    assert_eq!(
        lines("select coalesce(class, 'mean') from cross_validation where folds = 2"),
        ["liver", "spleen", "abdomen", "mean"]
    );
    // Joins and groups make an order of their own; `rank` says that of the view.
    let ranked = "select w.subject_id from worst_subjects w join scores s on s.run = w.run and s.subject_id = w.subject_id
         where w.run like '%0101%' and s.class_id = 1 order by w.rank";
    assert_eq!(lines(ranked), ["s1", "s2", "s0"]);
    assert_eq!(
        lines(&format!(
            "select node from stage_time {first} order by rank desc"
        )),
        ["a", "b"]
    );
}
