//! `verify` names what a run lost and what no commit record names; `gc` removes the latter.

use crate::parts::{Cohort, said};
use crate::program::{ended, program, stderr, stdout};
use crate::resume::command as train;
use std::path::{Path, PathBuf};
use std::process::Stdio;

#[test]
fn what_a_finished_training_lost_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let keep = ["--set", "sinks.predictions={ parquet: true, nifti: true }"];
    assert!(train(&out, &keep).status().unwrap().success());
    let verify = || {
        let output = program(&["verify", out.to_str().unwrap()])
            .output()
            .unwrap();
        (output.status.code(), stdout(&output))
    };
    let (code, text) = verify();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("; none is missing\n"), "{text}");

    let predictions = std::fs::read_dir(out.join("predictions/best")).unwrap();
    let count = predictions.count();
    assert!(count > 1);
    std::fs::remove_dir_all(out.join("predictions")).unwrap();
    std::fs::remove_file(out.join("subjects.parquet")).unwrap();
    std::fs::remove_file(out.join("checkpoints/step-00000008/student.safetensors")).unwrap();
    let (code, text) = verify();
    assert_eq!(code, Some(1), "{text}");
    for name in [
        "subjects.parquet: missing\n",
        "checkpoints/step-00000008/student.safetensors: missing\n",
        "predictions/best/",
        &format!(
            "{} files are missing: restore them from a copy",
            2 * count + 2
        ),
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(!text.contains("damaged"), "{text}");

    // A run of a version that listed no files has at least what every training has.
    let status = out.join("status.json");
    let noted = std::fs::read_to_string(&status).unwrap();
    let mut noted: serde_json::Value = serde_json::from_str(&noted).unwrap();
    noted.as_object_mut().unwrap().remove("files").unwrap();
    std::fs::write(&status, noted.to_string()).unwrap();
    std::fs::remove_dir_all(out.join("checkpoints")).unwrap();
    let (code, text) = verify();
    assert_eq!(code, Some(1), "{text}");
    for name in ["subjects.parquet", "checkpoints/best.json"] {
        assert!(text.contains(&format!("{name}: missing\n")), "{text}");
    }
    // A run that is not finished may have any files.
    let text = noted.to_string().replace("finished", "started");
    std::fs::write(&status, text).unwrap();
    let (code, text) = verify();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("; the run is not finished\n"), "{text}");
}

/// Changes one bit at a place of each file of a run, and asserts that `verify` names the file each time.
fn each_flip_is_told(out: &Path, files: usize) {
    let all = walkdir::WalkDir::new(out).into_iter().map(|e| e.unwrap());
    let all = all
        .filter(|e| e.file_type().is_file())
        .map(|e| e.into_path());
    // The status says what is expected; pages are drawn from the tables; hidden files are locks.
    let is_judged = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name != "status.json" && !name.ends_with(".html") && !name.starts_with('.')
    };
    let judged: Vec<PathBuf> = all.filter(is_judged).collect();
    assert!(judged.len() >= files, "{judged:?}");
    for path in judged {
        let good = std::fs::read(&path).unwrap();
        for place in [1, 4, 7] {
            let mut flipped = good.clone();
            flipped[good.len() * place / 8] ^= 1 << place;
            std::fs::write(&path, flipped).unwrap();
            let text = stdout(&ended(&mut program(&["verify", out.to_str().unwrap()]), 1));
            let name = path.strip_prefix(out).unwrap().to_str().unwrap();
            assert!(text.contains(name), "{name}, place {place} of 8: {text}");
        }
        std::fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_flipped_bit_in_any_file_of_a_finished_run_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let keep = ["--set", "sinks.predictions={ parquet: true, nifti: true }"];
    assert!(train(&out, &keep).status().unwrap().success());
    each_flip_is_told(&out, 15);
    let cohort = Cohort::new(4);
    cohort.run("out", &[], 0);
    each_flip_is_told(&cohort.out("out"), 15);
}

#[test]
fn a_finished_training_that_lost_files_says_so_when_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    assert!(train(&out, &[]).status().unwrap().success());
    let resumed = || stderr(&ended(train(&out, &["--resume"]).stderr(Stdio::piped()), 0));
    let told = resumed();
    assert!(told.contains("nothing to do"), "{told}");
    std::fs::remove_file(out.join("scores.parquet")).unwrap();
    let told = resumed();
    assert!(!told.contains("nothing to do"), "{told}");
    for text in ["files=1", "first=\"scores.parquet\"", "`voxstream verify`"] {
        assert!(told.contains(text), "{text}: {told}");
    }
}

#[test]
fn what_a_finished_run_lost_and_what_no_record_names_is_listed() {
    let cohort = Cohort::new(4);
    cohort.run("out", &[], 0);
    let (out, good) = (cohort.out("out"), said(&cohort.out("out")));
    let run = out.to_str().unwrap();
    let verify = |code| stdout(&ended(&mut program(&["verify", run]), code));
    let text = verify(0);
    assert!(text.contains("files of 2 parts are as committed"), "{text}");
    assert!(text.ends_with("; none is missing\n"), "{text}");

    std::fs::remove_file(out.join("edges.parquet")).unwrap();
    std::fs::remove_file(out.join("pipeline.yaml")).unwrap();
    let text = verify(1);
    assert!(text.contains("edges.parquet: missing\n"), "{text}");
    assert!(text.contains("2 files are missing: restore them from a copy, or write what the run still makes again with `run … --resume`"), "{text}");
    cohort.run("out", &["--resume"], 0);
    verify(0);
    // With its commit records a part is gone as a whole.
    std::fs::remove_dir_all(out.join("parts")).unwrap();
    let text = verify(1);
    assert!(text.contains("parts/part-s000-"), "{text}");
    cohort.run("out", &["--resume"], 0);
    verify(0);
    assert_eq!(said(&out), good);

    // As a process leaves them that is killed before it commits.
    let (other, mine) = (out.join("prepared/nifti/s777"), out.join("prepared/mine"));
    for folder in [&other, &mine] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let whole = out.join("prepared/nifti/s001/image.ct.nii.gz");
    std::fs::copy(&whole, other.join("image.ct.nii.gz")).unwrap();
    std::fs::write(mine.join("notes.txt"), b"mine").unwrap();
    let text = verify(0);
    let named = "prepared/nifti/s777/image.ct.nii.gz: no commit record names it\n";
    assert!(text.contains(named), "{text}");
    assert!(
        text.contains("1 file that no commit record names"),
        "{text}"
    );
    let gc = || stdout(&ended(&mut program(&["gc", run]), 0));
    let gone =
        "prepared/nifti/s777/image.ct.nii.gz: no commit record names it; removed\n1 file removed\n";
    assert_eq!(gc(), gone);
    assert!(whole.is_file() && mine.join("notes.txt").is_file() && !other.exists());
    assert_eq!(gc(), "0 files removed\n");
    let status = std::fs::read_to_string(out.join("status.json")).unwrap();
    let status = status.replace("finished", "started");
    std::fs::write(out.join("status.json"), status).unwrap();
    for table in ["parts", "subjects", "quality", "warnings"] {
        std::fs::remove_dir_all(out.join(table)).ok();
    }
    assert!(verify(0).contains("prepared/nifti/s003/image.ct.nii.gz: no commit record"));
    gc();
    assert!(!whole.exists() && !other.exists());
    cohort.run("out", &["--resume"], 0);
    assert_eq!(said(&out), good);
}

#[test]
fn gc_leaves_a_folder_that_is_no_run_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let gc = |at: &Path| {
        let output = ended(&mut program(&["gc", at.to_str().unwrap()]), 2);
        stderr(&output)
    };
    let told = gc(folder.path());
    assert!(told.contains("no run (no status.json, no parts)"), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let told = gc(&folder.path().join("nope"));
    assert!(
        told.contains("there is no such folder; give the folder of a run"),
        "{told}"
    );
}
