use super::*;
use crate::sink::{EdgeRow, PredictionRow, ScoreRow, causes, read_stored_volume, write_table};
use crate::volume::{Grid, Volume};
use arrow::array::AsArray;

fn score(subject: &str, class: &str, dice: Option<f64>) -> ScoreRow {
    ScoreRow {
        subject_id: subject.into(),
        split: "test".into(),
        checkpoint: "best".into(),
        modality: "ct".into(),
        class_id: 1,
        class: class.into(),
        dice,
        truth_ml: 10.0,
        predicted_ml: 9.0,
        truth_voxels: 1000,
        predicted_voxels: 900,
        ..ScoreRow::default()
    }
}

fn prediction(subject: &str, epoch: i64) -> PredictionRow {
    let grid = Grid::with_spacing([4, 3, 2], [1.0; 3]).unwrap();
    PredictionRow {
        subject_id: subject.into(),
        split: "test".into(),
        epoch,
        modality: "ct".into(),
        checkpoint: "best".into(),
        label: Volume::from_vec(vec![epoch as u8; 24], grid).unwrap(),
    }
}

fn run_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    let scores = [
        score("a", "liver", Some(0.9)),
        score("b", "liver", Some(0.7)),
        score("b", "spleen", None),
    ];
    write_table(&run.join("scores.parquet"), &scores).unwrap();
    for (subject, epoch) in [("a", 1), ("b", 1), ("a", 2)] {
        let path = run.join(format!("predictions/epoch-{epoch}/{subject}.parquet"));
        write_table(&path, &[prediction(subject, epoch)]).unwrap();
    }
    write_table(&run.join("labelled_only/scores.parquet"), &scores[..1]).unwrap();
    std::fs::create_dir_all(run.join("pseudo_labels")).unwrap();
    std::fs::create_dir_all(run.join("checkpoints")).unwrap();
    std::fs::write(run.join(".half.parquet"), b"PAR1").unwrap();
    folder
}

fn text(session: &Session, sql: &str, format: Format) -> String {
    let mut out = Vec::new();
    print(&session.sql(sql).unwrap(), format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn tables_and_sub_runs_are_there_by_name() {
    let folder = run_folder();
    let session = Session::open(folder.path()).unwrap();
    assert_eq!(
        session.tables(),
        ["predictions", "scores", "labelled_only.scores"]
    );
    let sql =
        "select class, avg(dice) as dice, count(*) as n from scores group by class order by class";
    assert_eq!(
        text(&session, sql, Format::Csv),
        "class,dice,n\nliver,0.8,2\nspleen,,1\n"
    );
    let lines = text(&session, sql, Format::Json);
    let second = lines.lines().nth(1).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(second).unwrap(),
        serde_json::json!({"class": "spleen", "dice": null, "n": 1})
    );
    let table = text(&session, sql, Format::Table);
    assert!(table.contains("| liver  | 0.8  | 2 |"), "{table}");
    let sql = "select count(*) as n from scores s join labelled_only.scores l on s.subject_id = l.subject_id";
    assert_eq!(text(&session, sql, Format::Csv), "n\n1\n");
    let sql = "select subject_id, epoch, label['dtype'] as dtype, label['shape'][3] as x from predictions order by epoch, subject_id";
    assert_eq!(
        text(&session, sql, Format::Csv),
        "subject_id,epoch,dtype,x\na,1,u8,4\nb,1,u8,4\na,2,u8,4\n"
    );
}

#[test]
fn voxels_come_in_small_batches_and_are_shown_by_size() {
    let folder = run_folder();
    let session = Session::open(folder.path()).unwrap();
    let batches = session
        .sql("select * from predictions order by epoch desc, subject_id")
        .unwrap();
    assert!(batches.iter().all(|b| b.num_rows() <= VOLUME_BATCH_ROWS));
    let label = batches[0].column_by_name("label").unwrap().as_struct();
    let volume = read_stored_volume(label, 0).unwrap().unwrap();
    assert_eq!(volume.as_slice::<u8>().unwrap(), [2; 24]);
    let csv = text(
        &session,
        "select label from predictions limit 1",
        Format::Csv,
    );
    assert!(csv.contains(" bytes>, codec: zstd1"), "{csv}");
    let metadata = session
        .sql("select subject_id from predictions limit 0")
        .unwrap();
    assert_eq!(metadata[0].num_rows(), 0);

    let mut out = Vec::new();
    print(&batches, Format::Parquet, &mut out).unwrap();
    let path = folder.path().join("copy.parquet");
    std::fs::write(&path, out).unwrap();
    let rows: usize = crate::sink::parquet::read_batches(&path)
        .unwrap()
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(rows, 3);
}

#[test]
fn units_and_meaning_reach_the_result() {
    let folder = tempfile::tempdir().unwrap();
    write_table::<EdgeRow>(&folder.path().join("edges.parquet"), &[]).unwrap();
    let session = Session::open(folder.path()).unwrap();
    let batches = session.sql("select busy_seconds from edges").unwrap();
    assert_eq!(
        batches[0].schema().field(0).metadata()["voxstream.unit"],
        "s"
    );
}

#[test]
fn mistakes_name_what_is_nearest() {
    let folder = run_folder();
    let session = Session::open(folder.path()).unwrap();
    let said = |sql: &str| session.sql(sql).unwrap_err().to_string();
    for (sql, expected) in [
        (
            "select * from score",
            "there is no table `score`; did you mean `scores`?",
        ),
        (
            "select * from x",
            "there is no table `x`; tables: predictions, scores, labelled_only.scores, leaderboard, worst_subjects, cross_validation, runs, compare",
        ),
        (
            "select * from metrics",
            "there is no table `metrics`; no run here has written it; tables: predictions, scores, labelled_only.scores, leaderboard, worst_subjects, cross_validation, runs, compare",
        ),
        (
            "select dicee from scores",
            "there is no column `dicee`; did you mean `dice`?",
        ),
        (
            "select run from scores",
            "there is no column `run`: tables of one run have none; the views do, and tables do where several runs or a folder of runs are asked",
        ),
        (
            "select avgg(dice) from scores",
            "there is no function `avgg`; did you mean `avg`?",
        ),
        (
            "select dice(label, 1) from predictions",
            "dice(a, b, class) takes 3 arguments, found 2",
        ),
        (
            "select volume_ml(subject_id, 1) from predictions",
            "argument 1 of volume_ml(label, class) is text; expected a volume, such as `label` of `predictions` or `\"image.ct\"` of `prepared`",
        ),
        (
            "select subject_id\nfrom scores wher dice > 1",
            "line 2, column 18: expected end of statement, found dice\n  from scores wher dice > 1\n                   ^",
        ),
        (
            "copy scores to 'x.csv'",
            "queries only read: COPY is not allowed; tables: predictions, scores, labelled_only.scores, leaderboard, worst_subjects, cross_validation, runs, compare",
        ),
        (
            "select 1; select 2",
            "found 2 statements, expected one; in the shell, end each with `;`",
        ),
        (
            "select * from compare('a', 'b', 'dise')",
            "compare knows no figure `dise`; did you mean `dice`?",
        ),
    ] {
        assert_eq!(said(sql), expected, "{sql}");
    }
    assert!(
        said("select subject_id from scores s join labelled_only.scores l on true")
            .contains("in several of the tables")
    );
    for writing in [
        "drop table scores",
        "insert into scores select * from scores",
        "create table x as select 1",
        "set datafusion.execution.batch_size = 1",
        "explain copy scores to 'x.csv'",
    ] {
        assert!(session.sql(writing).is_err(), "{writing}");
    }
    assert_eq!(session.sql("explain select 1").unwrap().len(), 1);

    let nothing = tempfile::tempdir().unwrap();
    assert!(matches!(
        Session::open(nothing.path()),
        Err(QueryError::Empty { .. })
    ));
    assert!(matches!(
        Session::open(&nothing.path().join("x")),
        Err(QueryError::Io { .. })
    ));
    // A damaged table does not keep others from being asked.
    std::fs::write(nothing.path().join("scores.parquet"), b"no parquet").unwrap();
    let damaged = Session::open(nothing.path()).unwrap();
    assert!(matches!(
        damaged.sql("select * from scores"),
        Err(QueryError::Table { .. })
    ));
    assert_eq!(damaged.sql("select 1").unwrap().len(), 1);
}

#[test]
fn a_damaged_file_of_many_runs_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for run in ["a", "b", "c"] {
        let run = folder.path().join(run);
        std::fs::create_dir(&run).unwrap();
        write_table::<EdgeRow>(&run.join("edges.parquet"), &[]).unwrap();
        write_table(&run.join("scores.parquet"), &[score("s", "a", Some(0.5))]).unwrap();
    }
    let path = folder.path().join("b/scores.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..24].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let session = Session::open(folder.path()).unwrap();
    for sql in [
        "select * from scores",
        "select count(distinct subject_id), max(split) from scores",
        "select * from scores s join edges e on s.run = e.run or s.dice > 0",
    ] {
        let told = causes(&session.sql(sql).unwrap_err());
        let named = format!("{}: the table cannot be read: ", path.display());
        assert!(told.starts_with(&named), "{told}");
        let check = folder.path().join("b");
        let check = format!("`voxstream verify {}` checks", check.display());
        assert!(
            told.contains(&check) && told.contains("restore it"),
            "{told}"
        );
    }
    assert!(session.sql("select * from edges").is_ok());
}

#[test]
fn columns_are_described_with_unit_and_meaning() {
    let folder = run_folder();
    let session = Session::open(folder.path()).unwrap();
    let lines = text(&session, "describe scores", Format::Markdown);
    assert!(
        lines.contains("| truth_ml | double | ml | false | Volume of the class in the truth. |"),
        "{lines}"
    );
    let lines = text(&session, "describe predictions", Format::Markdown);
    assert!(
        lines.contains("| label | volume |  | false | Class numbers. |"),
        "{lines}"
    );
    let lines = text(&session, "describe leaderboard", Format::Markdown);
    assert!(lines.contains("| mean_hd95_mm | double | mm |"), "{lines}");
    assert!(
        lines.contains("| fold | bigint |  | true | Fold of a cross-validation"),
        "{lines}"
    );
    let lines = text(&session, "describe compare", Format::Markdown);
    assert!(lines.contains("| p_value | double | 1 |"), "{lines}");
    let lines = text(&session, "show tables", Format::Markdown);
    assert!(
        lines.contains("| leaderboard | view | 1 | One row a run, split and checkpoint"),
        "{lines}"
    );
    assert!(
        lines.contains("| labelled_only.scores | table | 1 | Of the run labelled_only. One row"),
        "{lines}"
    );
}

#[test]
fn a_query_ends_at_its_budget_or_when_it_is_stopped() {
    let folder = run_folder();
    let limits = Limits {
        memory: 1 << 20,
        ..Limits::default()
    };
    let stop = Arc::clone(&limits.stop);
    let session = Session::open_all(&[folder.path().to_owned()], limits).unwrap();
    let all = "select a.value from generate_series(1, 1000) a, generate_series(1, 1000) b";
    let error = session.sql(all).unwrap_err();
    assert!(matches!(error, QueryError::Stopped { .. }), "{error}");
    assert!(error.to_string().contains("1.0 MiB"), "{error}");
    let stopper = std::thread::Builder::new().name("stopper".to_owned());
    let stopper = stopper.spawn(move || {
        // The statement clears the flag when it begins.
        for _ in 0..600 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            stop.store(true, Ordering::Relaxed);
        }
    });
    let many = "select count(*) from generate_series(1, 1000000000000) a where a.value % 7 = 1";
    let error = session.sql(many).unwrap_err();
    assert_eq!(error.to_string(), "stopped at your request");
    drop(stopper);
}

#[test]
fn voxels_are_read_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let grid = Grid::with_spacing([64, 64, 64], [1.0; 3]).unwrap();
    // Noise, which does not compress.
    let mut state = 1u64;
    let voxels = (0..64 * 64 * 64).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    });
    let voxels = voxels.collect();
    let row = PredictionRow {
        label: Volume::from_vec(voxels, grid).unwrap(),
        ..prediction("a", 1)
    };
    write_table(&folder.path().join("predictions/best/a.parquet"), &[row]).unwrap();
    let session = Session::open(folder.path()).unwrap();
    let bytes = |sql: &str| session.answer(sql).unwrap().stats.bytes_read;
    let volume = 64 * 64 * 64;
    assert!(bytes("select subject_id, modality from predictions") < 2000);
    assert!(bytes("select count(*) from predictions") < 2000);
    assert!(bytes("select volume_ml(label, 3) from predictions") > volume / 2);
    assert!(bytes("select label from predictions") > volume / 2);
}
