use super::*;
use crate::run::tap::{ChannelSummary, VolumeSummary};
use crate::spec::SourceFile;
use std::collections::BTreeSet;

fn plan(rest: &str) -> Plan {
    let text = format!(
        "name: tapped\nsource: {{ phantom: {{ subjects: 4, size: [16, 16, 16] }} }}\nstages: [orient: {{ to: RAS }}, zscore: {{}}]\n{rest}"
    );
    let name = "tapped.yaml".to_owned();
    planned(&SourceFile { name, text }).unwrap()
}

const TRAIN: &str = "views: { weak: [gamma: {}], strong: [gamma: {}] }\n\
    train: { classes: [b, x, y, z], network: { unet3d: { width: 4, depth: 2 } }, steps: 1, batch: { labelled: 1 }, window: { size: [16, 16, 16] } }\n";

#[test]
fn a_node_is_named_by_its_path_its_end_or_not_at_all() {
    let (prepares, trains) = (plan(""), plan(TRAIN));
    let of = |plan: &Plan, wanted| node(plan, wanted).map_err(|e| e.to_string());
    assert_eq!(of(&prepares, None).unwrap(), "stages[1].zscore");
    assert_eq!(of(&trains, None).unwrap(), "stream.labelled");
    assert_eq!(of(&trains, Some("zscore")).unwrap(), "stages[1].zscore");
    assert_eq!(of(&trains, Some("source")).unwrap(), "source");
    let error = of(&trains, Some("gamma")).unwrap_err();
    assert!(
        error.starts_with("`gamma` names 2 nodes: views.weak[0].gamma"),
        "{error}"
    );
    let error = of(&trains, Some("stages[1].zscor")).unwrap_err();
    assert_eq!(
        error,
        "no node `stages[1].zscor`; did you mean `stages[1].zscore`?"
    );
    let error = of(&trains, Some("train")).unwrap_err();
    assert!(
        error.starts_with("`train` takes rows and passes none on; rows pass source, "),
        "{error}"
    );
}

#[test]
fn a_row_is_printed_as_lines_or_as_json() {
    let volume = |values, classes| VolumeSummary {
        shape: [8, 6, 4],
        spacing_mm: [1.0, 1.0, 2.5],
        orientation: "RAS".to_owned(),
        dtype: "f32".to_owned(),
        deferred: false,
        values,
        classes,
    };
    let values = ValueSummary {
        min: Some(-1.0),
        p1: Some(-0.5),
        p50: Some(0.0),
        p99: Some(2.0),
        max: Some(3.0),
        mean: Some(0.125),
        nan_share: 0.0,
    };
    let channel = |column: &str, volume| ChannelSummary {
        column: column.to_owned(),
        volume,
    };
    let row = RowSummary {
        node: "stream.labelled".to_owned(),
        subject: "a".to_owned(),
        split: "train".to_owned(),
        epoch: 2,
        sample: 5,
        view: "weak".to_owned(),
        channels: vec![
            channel("image.ct", Some(volume(Some(values), None))),
            channel("image.mr", None),
            channel("label", Some(volume(None, Some(BTreeSet::from([0, 3]))))),
            channel("label.pet", Some(volume(None, None))),
        ],
        draws: vec![crate::volume::row::DrawRecord {
            stage: "views.shared[0].patch".to_owned(),
            draw: serde_json::json!({ "class": null }),
        }],
    };
    assert_eq!(
        shown_as(&row, false),
        "stream.labelled: a (train), epoch 2, sample 5, view weak\n\
         \x20 image.ct     f32 8x6x4, 1x1x2.5 mm RAS; min -1.0000 p1 -0.5000 p50 0.0000 p99 2.0000 max 3.0000, mean 0.1250, NaN 0.00 %\n\
         \x20 image.mr     missing\n\
         \x20 label        f32 8x6x4, 1x1x2.5 mm RAS; classes 0 3\n\
         \x20 label.pet    f32 8x6x4, 1x1x2.5 mm RAS; voxels are made by a later step of this pass\n\
         \x20 views.shared[0].patch  {\"class\":null}\n"
    );
    let line = shown_as(&row, true);
    assert!(line.ends_with('\n') && line.lines().count() == 1);
    assert_eq!(serde_json::from_str::<RowSummary>(&line).unwrap(), row);
}

#[test]
fn a_run_that_is_not_under_way_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    for (progress, told) in [
        ("finished", "is finished"),
        ("started", "`voxstream run … --resume`"),
    ] {
        let status =
            format!("{{ \"progress\": \"{progress}\", \"version\": \"0\", \"started\": \"\" }}");
        std::fs::write(run.join("status.json"), status).unwrap();
        let error = under_way(&run).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    // Held, as by a process that runs it.
    let _held = crate::run::lease::hold(&run).unwrap();
    assert_eq!(under_way(folder.path()).unwrap(), run);
}
