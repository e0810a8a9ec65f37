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
