//! Subjects that end the process.

use super::*;
use std::process::{Command, Stdio};

/// The folder of the run that [`child`] starts, and the step's arguments.
const VARIABLES: [&str; 2] = ["VOXSTREAM_CHAOS_OUT", "VOXSTREAM_CHAOS"];

/// Set where subjects that failed are tried again.
const RETRY: &str = "VOXSTREAM_CHAOS_RETRY";

/// Is run in a process of its own.
#[test]
#[ignore = "a part of the other tests"]
fn child() {
    let [Ok(out), Ok(chaos)] = VARIABLES.map(std::env::var) else {
        return;
    };
    let mut run = Run::new(Path::new(&out)).with(chaos);
    run.options.resume = Path::new(&out).join("status.json").exists();
    run.options.retry_failed = std::env::var_os(RETRY).is_some();
    let code = code(&run.start());
    std::process::exit(i32::from(code));
}

/// The run in a process of its own.
fn process(out: &Path, chaos: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "chaos::process::child",
        "--exact",
        "--ignored",
        "--nocapture",
    ]);
    command.env(VARIABLES[0], out).env(VARIABLES[1], chaos);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Starts the run in a process; its exit code, `None` if it was aborted.
fn started(out: &Path, chaos: &str) -> Option<i32> {
    process(out, chaos).status().unwrap().code()
}

/// Goes on with the run, and tries subjects again that failed.
fn again(out: &Path, chaos: &str) -> Option<i32> {
    let mut command = process(out, chaos);
    command.env(RETRY, "yes").status().unwrap().code()
}

#[test]
fn a_subject_that_ends_the_process_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    Run::new(&whole).start().unwrap();
    let whole = said(&whole);
    for subject in ["phantom-000", "phantom-008"] {
        let out = folder.path().join(subject);
        let chaos = format!("{{ subjects: {{ {subject}: abort }} }}");
        let mut codes: Vec<Option<i32>> = (0..4).map(|_| started(&out, &chaos)).collect();
        assert_eq!(codes.pop().unwrap(), Some(1), "{subject}: {codes:?}");
        assert_eq!(codes, [None; 3], "{subject}");
        let found = said(&out);
        let cause = &found.causes[subject];
        assert!(
            cause.contains("the process ended 3 times in a row"),
            "{cause}"
        );
        assert_eq!(
            found.clone().without(subject),
            whole.clone().without(subject)
        );
        // It stays left out, and nothing is made again.
        assert_eq!(started(&out, &chaos), Some(1));
        assert_eq!(said(&out), found);
        // It may be tried again.
        assert_eq!(again(&out, &chaos), None);
    }
}
