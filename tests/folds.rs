//! A cross-validation from its file to the table of its scores.

use std::path::{Path, PathBuf};
use voxstream::cli::check::{CheckFormat, check};
use voxstream::cli::run::run;
use voxstream::cli::{DeviceArg, FoldArg, RunArgs};
use voxstream::query::Session;
use voxstream::source::SourceSpec;
use voxstream::spec::node::Document;
use voxstream::volume::nifti;

/// Ten phantoms as files, and a pipeline over them with three folds and two subjects to test.
pub(crate) fn written(root: &Path) -> PathBuf {
    let yaml = "phantom: { subjects: 10, size: [16, 16, 16], modalities: [ct], classes: 2 }";
    let source: SourceSpec = Document::parse(yaml).unwrap().root().read().unwrap();
    let cohort = source.open(Path::new("."), 3).unwrap();
    for subject in cohort.subjects() {
        let row = cohort.load(subject).unwrap();
        for (kind, channel) in [("ct", &row.images[0]), ("label", &row.labels[0])] {
            let path = root.join(format!("{}_{kind}.nii", subject.id));
            nifti::write(&path, channel.volume.as_ref().unwrap(), None).unwrap();
        }
    }
    let file = root.join("folds.yaml");
    std::fs::write(&file, PIPELINE).unwrap();
    file
}

const PIPELINE: &str = "name: folds
source:
  folders:
    path: '.'
    images: '{subject}_ct.nii'
    labels: '{subject}_label.nii'
    modalities: [ct]
    split: { folds: 3, test: 2, stratify: classes }
stages: [zscore: { foreground: all }]
views: { shared: [patch: { size: [16, 16, 16] }] }
train:
  classes: [background, a, b]
  network: { unet3d: { width: 4, depth: 2 } }
  objective: { supervised: {} }
  steps: 2
  batch: { labelled: 1 }
";

pub(crate) fn args(file: &Path, out: &Path) -> RunArgs {
    RunArgs {
        file: file.to_owned(),
        out: Some(out.to_owned()),
        set: Vec::new(),
        device: DeviceArg::Cpu,
        devices: Vec::new(),
        workers: Some(1),
        memory: None,
        limit: None,
        no_optimize: false,
        resume: false,
        retry_failed: false,
        fold: None,
        cluster: None,
    }
}

fn texts(session: &Session, sql: &str) -> Vec<String> {
    use arrow::array::AsArray as _;
    let text = arrow::datatypes::DataType::Utf8;
    let mut values = Vec::new();
    for batch in session.sql(sql).unwrap() {
        let column = arrow::compute::cast(batch.column(0), &text).unwrap();
        let column = column.as_string::<i32>();
        values.extend(column.iter().map(|v| v.unwrap_or_default().to_owned()));
    }
    values
}

#[test]
fn every_fold_is_trained_and_one_table_says_how_well() {
    let folder = tempfile::tempdir().unwrap();
    let (file, group) = (written(folder.path()), folder.path().join("group"));
    // A training does not guess its fold.
    let unnamed = run(&args(&file, &group), &mut Vec::new()).unwrap_err();
    let unnamed = unnamed.to_string();
    assert!(
        unnamed.contains("3 folds; say which one validates: `--fold 0` to `--fold 2`"),
        "{unnamed}"
    );
    assert!(!group.exists());
    let of = |fold, resume| RunArgs {
        fold: Some(fold),
        resume,
        ..args(&file, &group)
    };
    let none = run(&of(FoldArg::One(3), false), &mut Vec::new()).unwrap_err();
    assert!(none.to_string().contains("there is no fold 3"), "{none}");

    let mut alone = Vec::new();
    assert_eq!(run(&of(FoldArg::One(1), false), &mut alone).unwrap(), 0);
    // The other folds are started, and the one that is finished is not trained again.
    let trained = std::fs::read(group.join("fold_1/scores.parquet")).unwrap();
    let mut all = Vec::new();
    assert_eq!(run(&of(FoldArg::All, true), &mut all).unwrap(), 0);
    assert_eq!(
        trained,
        std::fs::read(group.join("fold_1/scores.parquet")).unwrap()
    );
    let [alone, all] = [alone, all].map(|out| String::from_utf8(out).unwrap());
    assert!(
        !alone.contains("cross-validation\n") && all.contains("cross-validation\n+-"),
        "{all}"
    );

    let session = Session::open(&group).unwrap();
    let folds = "select cast(fold as varchar) || ' ' || run from runs order by fold";
    assert_eq!(texts(&session, folds), ["0 fold_0", "1 fold_1", "2 fold_2"]);
    // Each subject outside of test is validated on once.
    let once = "select subject_id || ' ' || cast(count(distinct fold) as varchar) from scores
                where split = 'validation' group by subject_id order by subject_id";
    let once = texts(&session, once);
    assert!(
        once.len() == 8 && once.iter().all(|s| s.ends_with(" 1")),
        "{once:?}"
    );
    // The view is the mean over folds of the mean over subjects.
    let differs = "with f as (select fold, avg(dice) as dice from scores
                              where split = 'validation' and checkpoint = 'best' and class = 'a' group by fold)
                   select case when abs(avg(f.dice) - max(v.mean_dice)) < 1e-12
                                and abs(stddev(f.dice) - max(v.sd_dice)) < 1e-12 then 'same' else 'other' end
                   from f cross join cross_validation v
                   where v.split = 'validation' and v.checkpoint = 'best' and v.class = 'a'";
    assert_eq!(texts(&session, differs), ["same"]);
    let rows = "select split || ' ' || coalesce(class, 'all') || ' ' || cast(folds as varchar) || ' ' || cast(subjects as varchar)
                from cross_validation where checkpoint = 'best' order by split, class nulls last";
    assert_eq!(
        texts(&session, rows),
        [
            "test a 3 6",
            "test b 3 6",
            "test all 3 6",
            "validation a 3 8",
            "validation b 3 8",
            "validation all 3 8"
        ]
    );
    // From the folder above, the group has its name.
    let above = Session::open(folder.path()).unwrap();
    assert_eq!(
        texts(&above, "select distinct run from cross_validation"),
        ["group"]
    );
    assert_eq!(session.describe("cross_validation").unwrap().num_rows(), 17);
}

#[test]
fn check_says_what_the_folds_hold() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path());
    let mut out = Vec::new();
    assert_eq!(
        check(&[file], &[], true, CheckFormat::Text, &mut out).unwrap(),
        0
    );
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
    assert_eq!(
        lines[0],
        "3 folds of subjects, stratified by classes in the label maps; fold 0 validates here"
    );
    let validate = |line: &&&str| line.contains(" subjects validate, ");
    assert_eq!(lines.iter().filter(validate).count(), 3, "{text}");
    assert!(
        lines[1].starts_with("fold 0: 3 subjects validate, 5 subjects are trained on"),
        "{text}"
    );
    assert!(
        text.contains("10 subjects: 5 train (5 labelled), 3 validation, 2 test"),
        "{text}"
    );
}

/// A pipeline that predicts the test part with these checkpoints.
fn predicts(folder: &Path, checkpoint: &str) -> PathBuf {
    let begin = &PIPELINE[..PIPELINE.find("views:").unwrap()];
    let begin = begin.replace("name: folds", "name: predicts");
    let text = format!(
        "{begin}predict: {{ checkpoint: {checkpoint} }}\nscore: {{ splits: [test] }}\nsinks: {{ predictions: {{ parquet: true }} }}\n"
    );
    let file = folder.join("predicts.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_group_predicts_as_an_ensemble() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (file, group) = (written(root), root.join("group"));
    let fold = |fold| RunArgs {
        fold: Some(fold),
        ..args(&file, &group)
    };
    // A fold that has not come to a checkpoint is not left out.
    run(&fold(FoldArg::One(0)), &mut Vec::new()).unwrap();
    std::fs::create_dir(group.join("fold_1")).unwrap();
    let of = |checkpoint: &str, out: &str| {
        let file = predicts(root, checkpoint);
        run(&args(&file, &root.join(out)), &mut Vec::new())
    };
    let unfinished = of("group", "none").unwrap_err().to_string();
    assert!(
        unfinished.contains("fold_1") && unfinished.contains("fold without a checkpoint"),
        "{unfinished}"
    );
    std::fs::remove_dir(group.join("fold_1")).unwrap();
    for number in 1..3 {
        run(&fold(FoldArg::One(number)), &mut Vec::new()).unwrap();
    }

    assert_eq!(of("group", "all").unwrap(), 0);
    assert_eq!(
        of("[group/fold_2, group/fold_0, group/fold_1]", "listed").unwrap(),
        0
    );
    assert_eq!(of("group/fold_0", "single").unwrap(), 0);
    let scores = |out: &str| {
        let session = Session::open(&root.join(out)).unwrap();
        let sql = "select subject_id || ' ' || class || ' ' || cast(round(dice, 6) as varchar) || ' ' || checkpoint
                   from scores order by subject_id, class";
        texts(&session, sql)
    };
    let all = scores("all");
    assert!(
        all.len() == 4 && all.iter().all(|row| row.ends_with(" ensemble")),
        "{all:?}"
    );
    assert_eq!(all, scores("listed"));
    assert!(scores("single").iter().all(|row| row.ends_with(" best")));

    let plan = |out: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(root.join(out).join("plan.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let members = plan("all")["predictor"]["checkpoints"].clone();
    let members = members.as_array().unwrap();
    assert_eq!(members.len(), 3);
    for (number, member) in members.iter().enumerate() {
        let folder = member["folder"].as_str().unwrap();
        assert!(folder.contains(&format!("fold_{number}")), "{folder}");
        assert_eq!(member["digest"].as_str().map(str::len), Some(64));
    }

    let twice = of("[group/fold_0, group]", "twice")
        .unwrap_err()
        .to_string();
    assert!(twice.contains("is named twice"), "{twice}");
    // What begins a training is one network.
    let begins = voxstream::train::checkpoint::find(&group).unwrap_err();
    assert!(
        begins
            .to_string()
            .contains("name one of them, such as `fold_0`"),
        "{begins}"
    );
}
