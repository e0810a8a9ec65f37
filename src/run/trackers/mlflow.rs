//! MLflow's file store: `mlflow ui --backend-store-uri PATH` shows the runs.
//!
//! ```text
//! PATH/<experiment>/meta.yaml
//! PATH/<experiment>/<run>/{meta.yaml, metrics/<name>, params/<name>, tags/<name>, artifacts/}
//! ```
//!
//! **Source** MLflow 3.17, `mlflow/store/tracking/file_store.py`: the fields of `meta.yaml`, and lines
//! `milliseconds value step` of a metric.

use super::super::context::RunContext;
use super::super::ledger::pipeline_alone;
use super::tracker::{Tracker, now, tag};
use crate::error::Error;
use crate::plan::explain;
use crate::sink::MetricRow;
use crate::sink::parquet::write_whole;
use crate::spec::node::Document;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Longest value of a parameter that MLflow takes.
const LONGEST: usize = 6000;

/// How a run stands, as MLflow numbers it.
#[derive(Debug, Clone, Copy)]
enum Status {
    Running = 1,
    Finished = 3,
    Failed = 4,
}

/// A run in MLflow's store.
pub(super) struct Mlflow {
    folder: PathBuf,
    experiment: String,
    id: String,
    name: String,
    start_ms: u64,
}

impl Mlflow {
    /// Begins the run in a store, in the experiment of this name, which is made where it is missing. A run
    /// that is resumed replaces what its earlier start reported.
    ///
    /// **Errors** if the store cannot be read or written.
    pub(super) fn start(store: &Path, experiment: &str, cx: &RunContext) -> Result<Self, Error> {
        let experiment = experiment_id(store, experiment)?;
        let id = blake3::hash(cx.folder.identity().as_bytes()).to_hex()[..32].to_owned();
        let folder = store.join(&experiment).join(&id);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::io(
                &folder,
                "replacing what an earlier start reported",
            ))?;
        }
        let artifacts = folder.join("artifacts");
        fs::create_dir_all(&artifacts).map_err(Error::io(&artifacts, "creating the folder"))?;
        let run = Self {
            folder,
            experiment,
            id,
            name: crate::query::own_name(&cx.folder.path),
            start_ms: milliseconds(),
        };
        run.note(Status::Running)?;
        for (name, value) in parameters(&pipeline_alone(&explain::json(&cx.plan))) {
            write_whole(&run.folder.join("params").join(name), value.as_bytes())?;
        }
        for (name, value) in [
            ("mlflow.runName", run.name.as_str()),
            ("mlflow.source.name", "voxstream"),
            ("mlflow.source.type", "LOCAL"),
            ("voxstream.folder", &cx.folder.path.display().to_string()),
            ("voxstream.version", env!("CARGO_PKG_VERSION")),
        ] {
            write_whole(&run.folder.join("tags").join(name), value.as_bytes())?;
        }
        Ok(run)
    }

    fn note(&self, status: Status) -> Result<(), Error> {
        let end = match status {
            Status::Running => "null".to_owned(),
            Status::Finished | Status::Failed => milliseconds().to_string(),
        };
        let text = |text: &str| Value::from(text).to_string();
        let artifacts = self.folder.join("artifacts").display().to_string();
        let meta = format!(
            "artifact_uri: {}\nend_time: {end}\nentry_point_name: ''\nexperiment_id: '{}'\nlifecycle_stage: active\nrun_id: {}\nrun_name: {}\nrun_uuid: {}\nsource_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: {}\nstatus: {}\ntags: []\nuser_id: ''\n",
            text(&artifacts),
            self.experiment,
            text(&self.id),
            text(&self.name),
            text(&self.id),
            self.start_ms,
            status as u8,
        );
        Ok(write_whole(
            &self.folder.join("meta.yaml"),
            meta.as_bytes(),
        )?)
    }
}

impl Tracker for Mlflow {
    fn write(&mut self, rows: &[MetricRow]) -> Result<(), Error> {
        let at = milliseconds();
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for row in rows {
            let lines = files.entry(plain(&tag(row))).or_default();
            writeln!(lines, "{at} {} {}", row.value, row.step).expect("a text can be written to");
        }
        for (name, lines) in files {
            let path = self.folder.join("metrics").join(name);
            let append = || {
                path.parent().map_or(Ok(()), fs::create_dir_all)?;
                let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
                file.write_all(lines.as_bytes())
            };
            append().map_err(Error::io(&path, "writing a metric"))?;
        }
        Ok(())
    }

    fn end(&mut self, is_finished: bool) -> Result<(), Error> {
        self.note(match is_finished {
            true => Status::Finished,
            false => Status::Failed,
        })
    }
}

fn milliseconds() -> u64 {
    (now() * 1000.0) as u64
}

/// A name with the characters that MLflow takes.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-. /".contains(c);
    let plain = name.chars().map(|c| if is_plain(c) { c } else { '_' });
    plain.collect()
}

/// The number of the experiment of this name: that of the store, or a new one made of the name.
fn experiment_id(store: &Path, name: &str) -> Result<String, Error> {
    fs::create_dir_all(store).map_err(Error::io(store, "creating the folder"))?;
    let listing = || Error::io(store, "listing the experiments");
    for entry in fs::read_dir(store).map_err(listing())? {
        let folder = entry.map_err(listing())?;
        let path = folder.path().join("meta.yaml");
        let meta = match fs::read_to_string(&path) {
            // What has none is no experiment, such as the registry of models.
            Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => {
                continue;
            }
            meta => meta.map_err(Error::io(&path, "reading the experiment's name"))?,
        };
        let document = Document::parse(&meta).map_err(|e| {
            let path = path.display();
            Error::run(format!(
                "{path}: {e}; it should describe an experiment of MLflow, move it away"
            ))
        })?;
        let name_of = document.root().get("name");
        let named = name_of.and_then(|name| name.read::<String>().ok());
        if named.as_deref() == Some(name) {
            return Ok(folder.file_name().to_string_lossy().into_owned());
        }
    }
    // MLflow numbers experiments by 18 digits at random; of the name, two runs that begin together agree.
    let digest = blake3::hash(name.as_bytes());
    let number = u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("eight bytes"));
    let id = format!("{:018}", number % 1_000_000_000_000_000_000);
    let folder = store.join(&id);
    let text = |text: &str| Value::from(text).to_string();
    let at = milliseconds();
    let meta = format!(
        "artifact_location: {}\ncreation_time: {at}\nexperiment_id: '{id}'\nlast_update_time: {at}\nlifecycle_stage: active\nname: {}\n",
        text(&folder.display().to_string()),
        text(name)
    );
    write_whole(&folder.join("meta.yaml"), meta.as_bytes())?;
    Ok(id)
}

/// What a plan says, as names with dots and texts; lists are one value. Texts that MLflow does not take
/// are left out.
fn parameters(plan: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    flatten(String::new(), plan, &mut found);
    found.retain(|(_, value)| !value.is_empty() && value.len() <= LONGEST);
    found
}

fn flatten(name: String, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let below = match name.is_empty() {
                    true => plain(key),
                    false => format!("{name}.{}", plain(key)),
                };
                flatten(below, value, into);
            }
        }
        Value::Null => {}
        Value::String(text) => into.push((name, text.clone())),
        other => into.push((name, other.to_string())),
    }
}
