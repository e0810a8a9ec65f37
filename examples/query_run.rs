//! How do I ask a run's tables in SQL?
//!
//! `cargo run --example query_run` prepares two phantoms into a temporary run folder and asks which
//! stage took how long. The same tables open in DuckDB, pandas and Polars.

use std::io::Write as _;
use voxstream::cli::open;
use voxstream::query::{Format, Session, print};
use voxstream::run::driver::{RunOptions, run};
use voxstream::spec::SourceFile;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = "name: small\nsource: { phantom: { subjects: 2, size: [24, 24, 24], modalities: [ct, mr], classes: 2 } }\n\
        stages: [orient: { to: LPS }, zscore: { modalities: [mr] }]\nsinks: { prepared: {} }\n";
    let (plan, cohort) = open(&SourceFile {
        name: "small.yaml".to_owned(),
        text: text.to_owned(),
    })?;
    let folder = std::env::temp_dir().join(format!("voxstream-query-run-{}", std::process::id()));
    run(
        plan,
        cohort,
        &RunOptions {
            out: Some(folder.clone()),
            ..RunOptions::default()
        },
    )?;
    let session = Session::open(&folder)?;
    let batches = session.sql("select node, rows, bytes from edges order by node")?;
    let mut out = std::io::stdout();
    print(&batches, Format::Table, &mut out)?;
    out.flush()?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
