use super::*;
use crate::sink::{MetricRow, QualityRow, ScoreRow, SubjectRow, WarningRow, write_table};

const CLASSES: [&str; 4] = ["liver", "spleen", "kidney", "pancreas"];

/// A number in 0..1 that looks drawn and is the same everywhere.
fn noise(seed: u64) -> f64 {
    let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 29)) >> 11) as f64 / (1u64 << 53) as f64
}

fn metric(step: i64, split: &str, name: &str, value: f64) -> MetricRow {
    MetricRow {
        step,
        epoch: step / 100,
        split: split.into(),
        subject_id: None,
        modality: None,
        class: None,
        name: name.into(),
        value,
        unit: "1".into(),
    }
}

fn metrics() -> Vec<MetricRow> {
    let mut rows = Vec::new();
    for step in 0..4000i64 {
        let t = step as f64 / 4000.0;
        let fall = (-5.0 * t).exp();
        let wiggle = 0.15 * (noise(step as u64) - 0.5) * (0.3 + fall);
        let (supervised, consistency) = (
            0.25 + 1.3 * fall + wiggle,
            (0.2 * t * (1.2 - t) + wiggle / 6.0).max(0.0),
        );
        rows.push(metric(step, "train", "loss", supervised + consistency));
        rows.push(metric(step, "train", "loss_supervised", supervised));
        rows.push(metric(step, "train", "loss_consistency", consistency));
        rows.push(metric(step, "train", "lr", 1e-3 * (1.0 - t).powf(0.9)));
        if step % 200 != 199 {
            continue;
        }
        for (m, modality) in ["ct", "mr"].iter().enumerate() {
            for (c, class) in CLASSES.iter().enumerate() {
                let top = 0.93 - 0.04 * m as f64 - [0.0, 0.03, 0.06, 0.38][c];
                let own = |name: &str, value: f64| MetricRow {
                    modality: Some((*modality).into()),
                    class: Some((*class).into()),
                    ..metric(
                        step,
                        if name == "dice" {
                            "validation"
                        } else {
                            "train"
                        },
                        name,
                        value,
                    )
                };
                let jitter = 0.03 * (noise((step * 31 + c as i64 * 7 + m as i64) as u64) - 0.5);
                rows.push(own("dice", top * (1.0 - (-6.0 * t).exp()) + jitter));
                rows.push(own(
                    "kept_fraction",
                    0.98 - 0.5 * (-4.0 * t).exp() - 0.05 * c as f64,
                ));
            }
        }
    }
    rows
}

fn scores(subjects: usize, gain: f64) -> Vec<ScoreRow> {
    let mut rows = Vec::new();
    for i in 0..subjects {
        for (m, modality) in ["ct", "mr"].iter().enumerate() {
            for (c, class) in CLASSES.iter().enumerate() {
                let drawn = noise((i * 97 + c * 13 + m) as u64);
                let dice = 0.88 + gain - 0.05 * m as f64 - [0.0, 0.03, 0.06, 0.36][c]
                    + 0.08 * (drawn - 0.5);
                let truth_ml = [1500.0, 220.0, 300.0, 80.0][c] * (0.8 + 0.4 * drawn);
                rows.push(ScoreRow {
                    subject_id: format!("amos_{i:04}"),
                    split: if i % 3 == 0 { "validation" } else { "test" }.into(),
                    checkpoint: "best".into(),
                    modality: (*modality).into(),
                    class_id: c as i32 + 1,
                    class: (*class).into(),
                    dice: (i != 4 || c != 3).then_some(dice),
                    truth_ml,
                    predicted_ml: truth_ml * (0.9 + 0.15 * drawn),
                    truth_voxels: (truth_ml * 100.0) as i64,
                    predicted_voxels: (truth_ml * 95.0) as i64,
                    hd95_mm: (i != 4 || c != 3).then_some(2.0 + drawn),
                    nsd: vec![0.5, 0.75],
                    nsd_tolerance_mm: vec![1.0, 2.0],
                    ..ScoreRow::default()
                });
            }
        }
    }
    rows
}

fn subjects() -> Vec<SubjectRow> {
    let subject = |i: usize| SubjectRow {
        subject_id: format!("amos_{i:04}"),
        patient: format!("amos_{i:04}"),
        entities: Default::default(),
        cohort: "amos".into(),
        split: "train".into(),
        labelled: i % 5 == 0,
        modalities: vec!["ct".into(), "mr".into()],
        shape_x: 256,
        shape_y: 256,
        shape_z: 96,
        spacing_x_mm: 1.2,
        spacing_y_mm: 1.2,
        spacing_z_mm: 3.0,
        orientation: "RAS".into(),
        digest: format!("{i:064x}"),
        prepared_shape_x: Some(192),
        prepared_shape_y: Some(192),
        prepared_shape_z: Some(96),
        seconds: Some(1.4),
        bytes: 12_582_912,
        status: if i == 7 { "failed" } else { "ok" }.into(),
    };
    (0..60).map(subject).collect()
}

fn edges() -> Vec<EdgeRow> {
    let edge = |node: &str, rows, seconds: [f64; 3], failures| EdgeRow {
        node: node.into(),
        rows,
        bytes: rows * 12_000_000,
        busy_seconds: seconds[0],
        starved_seconds: seconds[1],
        blocked_seconds: seconds[2],
        failures,
    };
    vec![
        edge("source", 58, [41.0, 0.0, 210.0], 1),
        edge("stages[0].orient", 58, [4.2, 30.0, 216.0], 0),
        edge("stages[1].resample", 57, [188.0, 18.0, 44.0], 1),
        edge("stages[2].patch", 4000, [12.0, 190.0, 48.0], 0),
        edge("views.strong[0].gamma", 4000, [36.0, 61.0, 153.0], 0),
        edge("train", 4000, [243.0, 7.0, 0.0], 0),
    ]
}

const PIPELINE: &str = "seed: 20\nsource:\n  manifest: { path: manifest.parquet, where: \"split < 'z'\" }\nstages:\n  - orient: RAS\n  - resample: { spacing_mm: [1.5, 1.5, 2.0] }\ntrain: { network: cmc, steps: 4000 }\n";

const PLAN: &str = r#"{"name": "cmc_amos", "seed": 20, "chains": {"stages": [
    {"path": "stages[0].orient"}, {"path": "stages[1].resample"}, {"path": "stages[2].patch"}],
    "views.strong": [{"path": "views.strong[0].gamma"}]}}"#;
const STATUS: &str = r#"{"progress": "finished", "version": "0.1.0", "started": "2026-01-02T10:00:00+00:00", "starts": 2,
    "machine": {"host": "node7", "processor": "Some <CPU>", "cores": 2, "memory_bytes": 25769803776}}"#;

fn fill(run: &Path, gain: f64) {
    write_table(&run.join("metrics.parquet"), &metrics()).unwrap();
    write_table(&run.join("scores.parquet"), &scores(18, gain)).unwrap();
    write_table(&run.join("subjects.parquet"), &subjects()).unwrap();
    write_table(&run.join("edges.parquet"), &edges()).unwrap();
    let failures = [
        FailureRow {
            subject_id: "amos_0007".into(),
            stage: "source".into(),
            cause: "data/amos_0007_ct.nii.gz: dim: 0 voxels along z, expected at least one".into(),
            file: Some("data/amos_0007_ct.nii.gz".into()),
        },
        FailureRow {
            subject_id: "amos_0031".into(),
            stage: "stages[1].resample".into(),
            cause: "<script>alert(1)</script>".into(),
            file: None,
        },
    ];
    write_table(&run.join("failures.parquet"), &failures).unwrap();
    let warning = WarningRow {
        subject_id: Some("amos_0012".into()),
        stage: "stages[1].zscore".into(),
        modality: Some("mr".into()),
        kind: "no_foreground".into(),
        message: "no voxel lies above the smallest value, <b>0</b>".into(),
    };
    let run_wide = WarningRow {
        subject_id: None,
        ..warning.clone()
    };
    write_table(&run.join("warnings.parquet"), &[run_wide, warning]).unwrap();
    let quality = |i: usize| QualityRow {
        subject_id: format!("amos_{i:04}"),
        sample: 0,
        step: 0,
        modality: "ct".into(),
        name: "snr".into(),
        value: if i == 33 {
            3.0
        } else {
            20.0 + 2.0 * noise(i as u64)
        },
    };
    let quality: Vec<QualityRow> = (0..60).map(quality).collect();
    write_table(&run.join("quality.parquet"), &quality).unwrap();
    std::fs::write(run.join("pipeline.yaml"), PIPELINE).unwrap();
    std::fs::write(run.join("plan.json"), PLAN).unwrap();
    std::fs::write(run.join("status.json"), STATUS).unwrap();
}

/// A page, with its escaped slashes readable.
fn page(path: &Path) -> String {
    std::fs::read_to_string(path)
        .unwrap()
        .replace("&#x2f;", "/")
}

/// `VOXSTREAM_KEEP` names a folder in which the made-up run stays, to look at it in a browser.
#[test]
fn a_whole_run_is_shown() {
    let temporary = tempfile::tempdir().unwrap();
    let root = std::env::var_os("VOXSTREAM_KEEP")
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let run = root.join("runs/cmc_amos/2026-01-02T10-00-00");
    fill(&run, 0.04);
    let path = write(&run).unwrap();
    let html = page(&path);
    assert!(html.contains("<h1>cmc_amos / 2026-01-02T10-00-00</h1>"));
    for part in [
        "Loss",
        "Validation Dice, ct",
        "Validation Dice, mr",
        "Learning rate",
        "Kept fraction",
    ] {
        assert!(html.contains(&format!("<h3>{part}</h3><svg")), "{part}");
    }
    assert!(html.contains("test, best checkpoint") && html.contains("Weak: pancreas in ct"));
    assert!(html.contains("stages[1].resample"));
    assert!(html.contains("<small>warnings</small><b>2</b><small>about 1 subject</small>"));
    assert!(html.contains("<td>no_foreground</td>") && html.contains("&lt;b&gt;0&lt;"));
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"));
    assert!(html.contains("where: &quot;split &lt; "));
    for fact in [
        "<dd>cmc_amos</dd>",
        "<dd>Some &lt;CPU&gt;, 2 cores</dd>",
        "<dd>24.0 GiB</dd>",
        "<dd>2: it was resumed</dd>",
        "data digest",
    ] {
        assert!(html.contains(fact), "{fact}");
    }
    assert!(html.contains("<h2>Graph</h2>") && html.contains("<b>resample</b>"));
    assert!(html.contains("1 subject is unlike the others") && html.contains("amos_0033 (3)"));
    for outside in ["http://", "https://", "url(", "src="] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(!html.contains("NaN"));
    assert!(html.len() < 400_000, "{}", html.len());
}

#[test]
fn sub_runs_are_compared() {
    let temporary = tempfile::tempdir().unwrap();
    let root = std::env::var_os("VOXSTREAM_KEEP")
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let demo = root.join("demo");
    for (name, gain) in [("labelled_only", -0.08), ("semi_supervised", 0.04)] {
        fill(&demo.join(name), gain);
        write(&demo.join(name)).unwrap();
    }
    let html = page(&write(&demo).unwrap());
    assert!(html.contains(r#"<a href="labelled_only/report.html">labelled only</a>"#));
    assert_eq!(html.matches("<td class=\"n\">+0.120</td>").count(), 20);
    assert!(!html.contains("<h2>Curves</h2>") && !html.contains("<h2>Failures</h2>"));
}

#[test]
fn figures_are_those_of_the_tables() {
    let temporary = tempfile::tempdir().unwrap();
    let run = temporary.path();
    let score = |subject: &str, dice| ScoreRow {
        subject_id: subject.into(),
        split: "test".into(),
        dice,
        ..scores(1, 0.0)[0].clone()
    };
    write_table(
        &run.join("scores.parquet"),
        &[
            score("a", Some(0.5)),
            score("b", Some(0.9)),
            score("c", None),
            ScoreRow {
                class_id: 2,
                class: "spleen".into(),
                ..score("a", Some(0.1))
            },
            ScoreRow {
                checkpoint: "last".into(),
                ..score("a", Some(1.0))
            },
            ScoreRow {
                class_id: -1,
                class: "abdomen".into(),
                ..score("a", Some(0.7))
            },
            ScoreRow {
                class_id: -2,
                class: "upper_abdomen".into(),
                ..score("a", Some(0.9))
            },
        ],
    )
    .unwrap();
    let dice = |step, value| MetricRow {
        class: Some("liver".into()),
        ..metric(step, "validation", "dice", value)
    };
    let rows = [
        dice(10, 0.5),
        dice(20, 0.75),
        dice(30, 0.6),
        dice(40, f64::NAN),
    ];
    write_table(&run.join("metrics.parquet"), &rows).unwrap();
    let html = page(&write(run).unwrap());
    assert!(html.contains("0.700 <small>± 0.283</small>"));
    // The mean of 0.7 and 0.1: classes weigh the same, and the last checkpoint is not the best.
    assert!(html.contains("<small>test Dice</small><b>0.400</b>"));
    assert!(html.contains("<small>test Dice, regions</small><b>0.800</b>"));
    let (regions, classes) = html.split_once("test, best checkpoint: classes").unwrap();
    assert!(
        regions.contains("test, best checkpoint: regions") && regions.contains("mean over regions")
    );
    let places = ["abdomen</td>", "upper_abdomen</td>"].map(|name| regions.find(name).unwrap());
    assert!(
        places[0] < places[1] && !classes.contains("abdomen</td>"),
        "{places:?}"
    );
    assert!(html.contains("<b>0.750</b><small>at step 20</small>"));
}

#[test]
fn pictures_are_inside_of_the_page() {
    let temporary = tempfile::tempdir().unwrap();
    let run = temporary.path().join("run");
    fill(&run, 0.0);
    let picture = |title: &str| Picture {
        title: title.to_owned(),
        lines: vec!["Dice <0.5".to_owned()],
        png: vec![0x89, b'P', b'N', b'G'],
        size: [30, 20],
    };
    let pictures = Pictures {
        views: vec![picture("a view")],
        classes: vec![ClassPictures {
            class: "liver".into(),
            pictures: vec![picture("worst: a"), picture("best: b")],
        }],
        notes: vec!["3 pictures are left out".into()],
    };
    let html = page(&write_to(&temporary.path().join("page.html"), &run, &pictures).unwrap());
    assert_eq!(
        html.matches(r#"<img width="30" height="20" alt="" src="data:image/png;base64,iVBORw==">"#)
            .count(),
        3
    );
    assert!(html.contains("<h3>liver</h3>") && html.contains("<b>worst: a</b><br>Dice &lt;0.5"));
    assert!(html.contains("3 pictures are left out") && html.contains("#e69f00"));
}

#[test]
fn several_runs_stand_side_by_side() {
    let temporary = tempfile::tempdir().unwrap();
    for (name, gain) in [("a/1", -0.08), ("a/2", 0.04), ("b/1", 0.0)] {
        fill(&temporary.path().join(name), gain);
    }
    let runs = Runs::find(&[temporary.path().to_owned()]).unwrap();
    let html = page(&write_runs(&temporary.path().join("page.html"), &runs).unwrap());
    assert!(html.contains("<h1>3 runs</h1>"));
    assert!(html.contains("Each run against the best, a/2"));
    // Every subject gains the same, so the interval is one number and all signs agree: 2 of 4096.
    assert!(html.contains(r#"<td class="n"><mark>-0.120</mark></td><td class="n">-0.120 to -0.120</td><td class="n">&lt; 0.001</td><td class="n">12</td>"#));
    let one = Runs::find(&[temporary.path().join("a/1")]).unwrap();
    assert!(matches!(
        write_runs(&temporary.path().join("x.html"), &one),
        Err(ReportError::Alone { .. })
    ));
}

#[test]
fn missing_tables_leave_their_section_out() {
    let temporary = tempfile::tempdir().unwrap();
    assert!(matches!(
        write(temporary.path()),
        Err(ReportError::Empty { .. })
    ));
    write_table(&temporary.path().join("edges.parquet"), &edges()).unwrap();
    let html = page(&write(temporary.path()).unwrap());
    assert!(
        html.contains("Time per stage")
            && html.contains("Most work was done by train: 4.0 min, 46 % of all")
    );
    for absent in [
        "<h2>Curves</h2>",
        "<h2>Scores</h2>",
        "<h2>Failures</h2>",
        "<h2>Warnings</h2>",
        "<h2>Pipeline</h2>",
    ] {
        assert!(!html.contains(absent), "{absent}");
    }
    std::fs::write(temporary.path().join("scores.parquet"), b"broken").unwrap();
    assert!(matches!(write(temporary.path()), Err(ReportError::Sink(_))));
}
