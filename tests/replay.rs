//! `replay` by its command: what it prints, what it writes, and how it ends.

use crate::pipelines::TINY;
use crate::program::{ended, program, stderr, stdout};
use std::path::Path;
use std::process::Output;
use voxstream::sink::{ViewRow, read_prepared, read_table, write_table};
use voxstream::volume::nifti;

fn replay(run: &Path, args: &[&str], code: i32) -> Output {
    ended(program(&["replay"]).arg(run).args(args), code)
}

#[test]
fn views_of_a_training_are_replayed_written_and_missed_where_a_draw_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut command = program(&["run", "pipelines/04-cmc-phantom.yaml", "--device", "cpu"]);
    for set in TINY
        .iter()
        .chain(&["train.steps=4", "sinks.views={ every: 2 }"])
    {
        command.args(["--set", set]);
    }
    ended(command.arg("--out").arg(&run), 0);

    // Steps 1 and 3, two labelled rows and two unlabelled ones in both views.
    let said = stdout(&replay(&run, &["--all"], 0));
    assert_eq!(said.lines().count(), 2 * (2 + 2 * 2) + 1, "{said}");
    assert!(said.ends_with("bytes agree in all 12 rows\n"), "{said}");

    let table = run.join("views/0000000004.parquet");
    let mut rows: Vec<ViewRow> = read_table(&table).unwrap();
    let strong = rows.iter().position(|row| row.view == "strong").unwrap();
    let subject = rows[strong].subject_id.clone();
    let epoch = rows[strong].epoch.to_string();
    let of_row = ["--subject", &subject, "--epoch", &epoch, "--view", "strong"];
    let (parquet, png) = (folder.path().join("a.parquet"), folder.path().join("a.png"));
    for path in [&parquet, &png] {
        let args = [&of_row[..], &["-o", path.to_str().unwrap()]].concat();
        let said = stdout(&replay(&run, &args, 0));
        assert!(
            said.contains(", view strong: bytes agree with the digests"),
            "{said}"
        );
        assert!(said.ends_with(&format!("{}\n", path.display())), "{said}");
    }
    let written = &read_prepared(&parquet).unwrap()[0];
    assert_eq!(
        (&written.subject, written.view.as_str()),
        (&subject, "strong")
    );
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));

    // The gamma of one row, by hand.
    let mut draws: serde_json::Value = serde_json::from_str(&rows[strong].draws).unwrap();
    let records = draws.as_array_mut().unwrap();
    records.retain(|record| record["stage"] != "views.strong[1].gamma");
    rows[strong].draws = draws.to_string();
    write_table(&table, &rows).unwrap();
    let output = replay(&run, &["--all"], 1);
    let (said, told) = (stdout(&output), stderr(&output));
    assert!(
        said.contains(": bytes differ from the digests that were stored\n  image."),
        "{said}"
    );
    assert!(told.contains("bytes differ in 1 of 12 rows"), "{told}");

    let told = stderr(&replay(&run, &["--subject", "nobody"], 2));
    assert!(told.contains("no row of `nobody` was recorded"), "{told}");
    let told = stderr(&replay(&run, &["-o", "a.nii"], 2));
    assert!(told.contains("expected `.parquet`"), "{told}");
}

#[test]
fn a_file_that_changed_since_the_run_is_named_as_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("data/s1/ct.nii");
    std::fs::create_dir_all(image.parent().unwrap()).unwrap();
    let grid = voxstream::volume::Grid::with_spacing([12; 3], [1.0; 3]).unwrap();
    let written = |first: i16| {
        let voxels: Vec<i16> = (0..1728).map(|i| first + i % 251).collect();
        let volume = voxstream::volume::Volume::from_vec(voxels, grid).unwrap();
        nifti::write(&image, &volume, None).unwrap();
    };
    written(0);
    let file = folder.path().join("pipeline.yaml");
    let text = "name: prepared\n\
        source: { folders: { path: data, images: '{subject}/{modality}.nii', modalities: [ct] } }\n\
        stages: [window: { range: [10, 200] }, patch: { size: [8, 8, 8], samples: 2 }]\n\
        sinks: { prepared: { parquet: true } }\n";
    std::fs::write(&file, text).unwrap();
    let run = folder.path().join("run");
    ended(program(&["run"]).arg(&file).arg("--out").arg(&run), 0);
    let said = stdout(&replay(&run, &["--subject", "s1", "--sample", "1"], 0));
    assert!(
        said.starts_with("s1, epoch 0, sample 1, prepared: bytes agree with the voxels"),
        "{said}"
    );
    written(5);
    let output = replay(&run, &["--subject", "s1"], 1);
    assert!(
        stdout(&output).contains("  image.ct: "),
        "{}",
        stdout(&output)
    );
    let told = stderr(&output);
    assert!(
        told.contains("the subject's files changed since the run"),
        "{told}"
    );
}
