//! What ran: pipeline, versions, digests, machine.

use super::run::Run;
use serde_json::Value;

/// Facts by name, in the order in which they are shown.
pub(super) fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let parsed = |text: &Option<String>| -> Value {
        let text = text.as_deref().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    };
    let (plan, status) = (parsed(&run.plan), parsed(&run.status));
    let mut facts = Vec::new();
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    add("pipeline", text(&plan["name"]));
    add("pipeline file", text(&status["pipeline"]));
    add("seed", plan["seed"].as_u64().map(|s| s.to_string()));
    add("fold", plan["fold"].as_u64().map(|f| f.to_string()));
    add(
        "voxstream",
        text(&status["version"]).or(text(&plan["version"])),
    );
    add("started", text(&status["started"]));
    let starts = status["starts"].as_u64().filter(|n| *n > 1);
    add("starts", starts.map(|n| format!("{n}: it was resumed")));
    add("progress", text(&status["progress"]));
    let machine = &status["machine"];
    add("machine", text(&machine["host"]));
    let cores = machine["cores"].as_u64();
    let processor = text(&machine["processor"]);
    add(
        "processor",
        processor
            .zip(cores)
            .map(|(name, n)| format!("{name}, {n} cores")),
    );
    let memory = machine["memory_bytes"].as_u64();
    add("memory", memory.map(|b| bytesize::ByteSize(b).to_string()));
    add("device", text(&machine["device"]));
    add(
        "pipeline digest",
        run.pipeline
            .as_ref()
            .map(|p| short(blake3::hash(p.as_bytes()))),
    );
    if !run.subjects.is_empty() {
        let mut hasher = blake3::Hasher::new();
        let mut all: Vec<(&str, &str)> = (run.subjects.iter())
            .map(|s| (s.subject_id.as_str(), s.digest.as_str()))
            .collect();
        all.sort_unstable();
        for (subject, digest) in all {
            hasher.update(subject.as_bytes()).update(&[0]);
            hasher.update(digest.as_bytes()).update(&[0]);
        }
        add("data digest", Some(short(hasher.finalize())));
    }
    facts
}

/// The first 16 digits of a digest.
fn short(digest: blake3::Hash) -> String {
    format!("BLAKE3 {}", &digest.to_hex()[..16])
}
