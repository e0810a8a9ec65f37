use crate::query::{Format, Limits, Session, print};
use crate::sink::{PredictionRow, write_table};
use crate::volume::{Grid, Volume};
use arrow::array::AsArray as _;

fn prediction(subject: &str, epoch: i64, label: Volume) -> PredictionRow {
    PredictionRow {
        subject_id: subject.into(),
        split: "test".into(),
        epoch,
        modality: "ct".into(),
        checkpoint: "best".into(),
        label,
    }
}

fn grid() -> Grid {
    Grid::with_spacing([4, 3, 2], [2.0, 1.0, 5.0]).unwrap()
}

/// Two label maps of a subject, one of another on another grid.
fn session(memory: u64) -> (tempfile::TempDir, Session) {
    let folder = tempfile::tempdir().unwrap();
    #[rustfmt::skip]
    let first: Vec<u8> = vec![
        1, 1, 0, 0,
        0, 0, 0, 1,
        2, 0, 255, 0,

        1, 0, 0, 0,
        0, 0, 0, 0,
        0, 0, 1, 1,
    ];
    let mut second = first.clone();
    (second[0], second[10]) = (0, 1);
    let other = Grid::with_spacing([2, 2, 1], [1.0; 3]).unwrap();
    let rows = [
        prediction("a", 0, Volume::from_vec(first, grid()).unwrap()),
        prediction("a", 1, Volume::from_vec(second, grid()).unwrap()),
        prediction(
            "b",
            0,
            Volume::from_vec(vec![0.5f32, f32::NAN, 1.5, 2.5], other).unwrap(),
        ),
    ];
    for row in rows {
        let path = format!("predictions/{}/{}.parquet", row.epoch, row.subject_id);
        write_table(&folder.path().join(path), &[row]).unwrap();
    }
    let limits = Limits {
        memory,
        ..Limits::default()
    };
    let session = Session::open_all(&[folder.path().to_owned()], limits).unwrap();
    (folder, session)
}

fn csv(session: &Session, sql: &str) -> String {
    let mut out = Vec::new();
    print(&session.sql(sql).unwrap(), Format::Csv, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const PAIRS: &str = "from predictions p join predictions t on p.subject_id = t.subject_id and p.epoch = 0 and t.epoch = 1";

#[test]
fn figures_are_those_of_the_kernels() {
    let (_folder, session) = session(1 << 30);
    // Class 1: 6 voxels, 5 of them in the other, which has 5 among those annotated.
    let sql = format!(
        "select dice(p.label, t.label, 1) d1, dice(p.label, t.label, 2) d2, dice(p.label, t.label, 3) d3 {PAIRS}"
    );
    assert_eq!(
        csv(&session, &sql),
        format!("d1,d2,d3\n{},1.0,\n", 10.0 / 11.0)
    );
    let sql = "select volume_ml(label, 1) ml, components(label, 1) n, percentile(label, 50) p, mean_in(label, label, 2) m from predictions where subject_id = 'a' and epoch = 0";
    // 6 voxels of 10 mm³; the first two touch one of the next slice, and the one at the edge touches none of them.
    assert_eq!(csv(&session, sql), "ml,n,p,m\n0.06,2,0.0,2.0\n");
    let sql = "select percentile(label, 100) high, voxels(label) v, mean_in(label, label, 7) m from predictions where subject_id = 'b'";
    assert_eq!(
        csv(&session, sql),
        "high,v,m\n2.5,\"[0.5, NaN, 1.5, 2.5]\",\n"
    );
    let sql = "select v, count(*) n from (select unnest(voxels(label)) v from predictions where epoch = 1) group by v order by v";
    assert_eq!(csv(&session, sql), "v,n\n0.0,17\n1.0,6\n2.0,1\n");
    assert_eq!(
        csv(
            &session,
            "select volume_ml(null, 1) a, dice(label, label, null) b from predictions limit 1"
        ),
        "a,b\n,\n"
    );
}

#[test]
fn a_slice_is_a_picture() {
    let (_folder, session) = session(1 << 30);
    let size = |sql: &str| {
        let batches = session.sql(sql).unwrap();
        let bytes = batches[0].column(0).as_binary::<i32>().value(0).to_vec();
        assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
        let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        [side(16), side(20)]
    };
    // 8 x 3 mm, 8 x 10 mm and 3 x 10 mm.
    let picture = |axis: &str, label: &str| {
        size(&format!(
            "select slice_png(label, {label}, '{axis}', 1) from predictions where subject_id = 'a' and epoch = 0"
        ))
    };
    assert_eq!(picture("axial", "label"), [512, 192]);
    assert_eq!(picture("y", "null"), [410, 512]);
    assert_eq!(picture("sagittal", "label"), [154, 512]);
}

#[test]
fn wrong_arguments_say_what_was_expected() {
    let (_folder, session) = session(1 << 30);
    let error = |sql: &str| session.sql(sql).unwrap_err().to_string();
    let slice = |axis: &str, index: i64| {
        error(&format!(
            "select slice_png(label, null, '{axis}', {index}) from predictions"
        ))
    };
    assert_eq!(
        slice("up", 0),
        "slice_png: found axis `up`, expected axial (z), coronal (y) or sagittal (x)"
    );
    assert_eq!(
        slice("z", 2),
        "slice_png: found slice 2, expected 0 to 1 (2 slices)"
            .replace("(2 slices)", "(axial slices)")
    );
    assert_eq!(
        error("select percentile(label, 101) from predictions"),
        "percentile: found 101 per cent, expected 0 to 100"
    );
    assert_eq!(
        error("select volume_ml(label, -1) from predictions"),
        "volume_ml: found class -1, expected 0 to 65535"
    );
    assert_eq!(
        error("select volume_ml(label, 1.5) from predictions"),
        "argument 2 of volume_ml(label, class) is double; expected a whole number"
    );
    let grids = "select dice(p.label, t.label, 1) from predictions p, predictions t where p.subject_id = 'a' and t.subject_id = 'b'";
    assert_eq!(
        error(grids),
        "dice: the first label map has 4x3x2 voxels of 2x1x5 mm, RAS, the second 2x2x1 voxels of 1x1x1 mm, RAS; they are on different grids"
    );
}

#[test]
fn a_volume_beyond_the_budget_is_refused() {
    let (_folder, session) = session(20);
    let error = session
        .sql("select volume_ml(label, 1) from predictions")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("24 B decoded is larger than the budget of 20 B; raise `--memory`"),
        "{error}"
    );
}
