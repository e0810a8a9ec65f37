use super::*;
use crate::sink::{EdgeRow, PredictionRow, ScoreRow, read_stored_volume, write_table};
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
fn mistakes_list_the_tables() {
    let folder = run_folder();
    let session = Session::open(folder.path()).unwrap();
    let error = session.sql("select * from score").unwrap_err().to_string();
    assert!(error.contains("score"), "{error}");
    assert!(
        error.ends_with("; tables here: predictions, scores, labelled_only.scores"),
        "{error}"
    );
    for writing in [
        "drop table scores",
        "copy scores to 'x.csv'",
        "set datafusion.execution.batch_size = 1",
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
    std::fs::write(nothing.path().join("scores.parquet"), b"no parquet").unwrap();
    assert!(matches!(
        Session::open(nothing.path()),
        Err(QueryError::Table { .. })
    ));
}
