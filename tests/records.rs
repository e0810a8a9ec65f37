//! Commit records that are damaged or lost: they are named, and their parts are made again.

use crate::parts::{Cohort, TINY, said};
use std::path::{Path, PathBuf};
use std::process::Command;
use voxstream::query::Session;
use voxstream::run::lease::hold;
use voxstream::sink::Ledger;

/// Exit code of a command, and what it says.
fn voxstream(args: &[&str], run: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxstream"));
    let output = command.args(args).arg(run).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Files in the folder of a table, in order.
fn files(run: &Path, table: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run.join(table)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// Adds a byte behind the footer.
fn damage(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, [bytes, b"X".to_vec()].concat()).unwrap();
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_damaged_record_is_named_removed_and_its_part_made_again() {
    let cohort = Cohort::new(80);
    // Two parts or more with a record each, and eighty that the index names.
    for (out, extra) in [("alone", &[][..]), ("merged", &TINY[..])] {
        cohort.run(out, extra, 0);
        let out = cohort.out(out);
        let good = said(&out);
        for drop in [true, false] {
            let record = files(&out, "parts").remove(0);
            damage(&record);
            let (code, text) = voxstream(&["verify"], &out);
            assert_eq!(code, Some(1), "{text}");
            let remove = format!("voxstream verify --drop {}", out.display());
            assert!(
                text.contains(name(&record)) && text.contains(&remove),
                "{text}"
            );
            for command in ["gc", "report"] {
                let (code, text) = voxstream(&[command], &out);
                assert_eq!(code, Some(2), "{command}: {text}");
                assert!(
                    text.contains(name(&record)) && text.contains(&remove),
                    "{command}: {text}"
                );
            }
            let asked = Session::open(&out).err().unwrap().to_string();
            assert!(
                asked.contains(name(&record)) && asked.contains(&remove),
                "{asked}"
            );
            if drop {
                assert_eq!(voxstream(&["verify", "--drop"], &out).0, Some(1));
                assert!(!record.exists());
                // What was dropped on purpose is to be made again: the run is no finished one any more.
                let (code, text) = voxstream(&["verify"], &out);
                assert_eq!(code, Some(0), "{text}");
                assert!(text.contains("no commit record names it"), "{text}");
            }
            let resumed = cohort.run(name(&out), &[extra, &["--resume"]].concat(), 0);
            let told = String::from_utf8_lossy(&resumed.stderr).into_owned();
            assert_eq!(told.contains(name(&record)), !drop, "{told}");
            let (code, text) = voxstream(&["verify"], &out);
            assert_eq!(code, Some(0), "{text}");
            assert_eq!(said(&out), good);
        }
    }
}

#[test]
fn a_record_that_is_lost_is_missed() {
    let cohort = Cohort::new(40);
    cohort.run("out", &[], 0);
    let out = cohort.out("out");
    let good = said(&out);
    let lost = files(&out, "parts").remove(1);
    std::fs::remove_file(&lost).unwrap();
    let part = lost.file_stem().unwrap().to_str().unwrap();
    let (code, text) = voxstream(&["verify"], &out);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(part) && text.contains("of 40 subjects") && text.contains("--resume"),
        "{text}"
    );
    let (code, text) = voxstream(&["gc"], &out);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("1 of ") && text.contains(&format!("prepared/{}", name(&lost))),
        "{text}"
    );
    assert_eq!(voxstream(&["verify"], &out).0, Some(1));
    cohort.run("out", &["--resume"], 0);
    assert_eq!(voxstream(&["verify"], &out).0, Some(0));
    assert_eq!(said(&out), good);
    // Without any record no part exists for readers, though its files are there.
    for record in files(&out, "parts") {
        std::fs::remove_file(record).unwrap();
    }
    let (code, text) = voxstream(&["verify"], &out);
    assert!(
        code == Some(1) && text.contains("40 of 40 subjects"),
        "{text}"
    );
    let tables = Session::open(&out).unwrap().tables();
    for table in ["prepared", "subjects"] {
        assert!(!tables.iter().any(|known| known == table), "{tables:?}");
    }
}

#[test]
fn what_is_removed_was_judged_while_nobody_else_writes_the_run() {
    let cohort = Cohort::new(4);
    cohort.run("out", &[], 0);
    let out = cohort.out("out");
    let held = hold(&out).unwrap();
    assert_eq!(voxstream(&["verify"], &out).0, Some(0));
    let (code, text) = voxstream(&["verify", "--drop"], &out);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("another process"), "{text}");
    drop(held);
    assert_eq!(voxstream(&["verify", "--drop"], &out).0, Some(0));
}

#[test]
fn a_damaged_file_of_a_table_is_named_by_its_path() {
    let cohort = Cohort::new(40);
    cohort.run("out", &[], 0);
    let out = cohort.out("out");
    let file = Ledger::open(&out).unwrap().files("subjects").remove(1);
    damage(&file);
    let session = Session::open(&out).unwrap();
    let said = session
        .sql("select * from subjects")
        .unwrap_err()
        .to_string();
    assert!(said.starts_with(&file.display().to_string()), "{said}");
    assert!(
        said.contains(&format!("voxstream verify {}", out.display())),
        "{said}"
    );
}
