//! Commit records that are damaged or lost: they are named, and their parts are made again.

use crate::parts::Cohort;
use std::path::Path;
use std::process::Command;
use voxstream::run::lease::hold;

/// Exit code of a command, and what it says.
fn voxstream(args: &[&str], run: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxstream"));
    let output = command.args(args).arg(run).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
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
