use super::*;
use crate::sink::{MetricRow, QualityRow, ScoreRow, SubjectRow, WarningRow, write_table};

mod made_up;

use made_up::*;

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
        predictions: vec![picture("s1, head joint")],
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
        4
    );
    assert!(html.contains("<h2>Predictions</h2>") && html.contains("s1, head joint"));
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
