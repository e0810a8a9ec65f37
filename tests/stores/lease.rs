//! One process at a time writes a run in a store.

use super::{bucket, objects};
use voxstream::run::lease::hold;
use voxstream::store;

#[test]
fn a_run_in_a_store_is_written_by_one_process() {
    let run = bucket("lease").join("run");
    let held = hold(&run).unwrap();
    let error = hold(&run).err().unwrap().to_string();
    assert!(
        error.contains("another process is running this run (process "),
        "{error}"
    );
    assert!(held.is_held());
    drop(held);
    assert!(objects(&run).is_empty());
    // A process of this machine that is gone holds nothing.
    let host = sysinfo::System::host_name().unwrap_or_default();
    let gone = format!(r#"{{"host":"{host}","process":4194303,"since":"","renewed":0}}"#);
    store::write(&run.join(".lease"), gone.as_bytes()).unwrap();
    drop(hold(&run).unwrap());
    // One of another machine is asked to prove itself by time.
    let other = r#"{"host":"elsewhere","process":1,"since":"","renewed":0}"#;
    store::write(&run.join(".lease"), other.as_bytes()).unwrap();
    let error = hold(&run).err().unwrap().to_string();
    assert!(error.contains("process 1 on elsewhere"), "{error}");
    assert!(error.contains("can be taken over in 1"), "{error}");
}
