//! `convert`: weights of a public PyTorch model as safetensors of this crate.

use super::say;
use crate::error::Error;
use crate::nn::convert::{convert as turn, read_pth};
use crate::nn::network::NetworkSpec;
use crate::nn::tensor_file::write_tensors;
use std::collections::HashMap;
use std::error::Error as _;
use std::io::Write;
use std::path::Path;

/// Reads `file`, writes `to`, and says what became of the tensors.
///
/// The file's metadata says how to build the network (`network`, as in YAML but as JSON), for how
/// many classes (`classes`), and which file it came from (`source`).
///
/// **Errors** when the file is no PyTorch file, belongs to no known model, or cannot be written.
pub fn convert(
    file: &Path,
    to: &Path,
    key: Option<&str>,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let refuse = |e: &dyn std::error::Error| {
        let cause = e.source().map(|c| format!(": {c}")).unwrap_or_default();
        Error::run(format!("{e}{cause}"))
    };
    let source = read_pth(file, key).map_err(|e| refuse(&e))?;
    let converted = turn(&source).map_err(|e| refuse(&e))?;
    let spec = NetworkSpec::Cmc(converted.network.clone());
    let json = serde_json::to_string(&spec).map_err(|e| refuse(&e))?;
    let mut metadata = HashMap::from([
        ("network".to_owned(), json.clone()),
        ("source".to_owned(), file.display().to_string()),
    ]);
    if let Some(classes) = converted.classes {
        metadata.insert("classes".to_owned(), classes.to_string());
    }
    write_tensors(to, &converted.tensors, &metadata).map_err(|e| {
        let cause = e.source().map(|c| format!(": {c}")).unwrap_or_default();
        Error::run(format!("{e}{cause}"))
    })?;
    let values: usize = converted.tensors.iter().map(|(_, t)| t.elem_count()).sum();
    let mut text = format!(
        "{}: {} tensors, {:.2} M values\nnetwork: {json}\n",
        to.display(),
        converted.tensors.len(),
        values as f64 / 1e6
    );
    if !converted.dropped.is_empty() {
        text += &format!(
            "left out, because a norm with the batch's statistics removes them or never reads them: {} tensors\n",
            converted.dropped.len()
        );
    }
    if !converted.ignored.is_empty() {
        text += &format!("no part of the network: {}\n", converted.ignored.join(", "));
    }
    if !converted.missing.is_empty() {
        text += &format!(
            "not in the source, to be trained from the start: {}\n",
            converted.missing.join(", ")
        );
    }
    say(out, &text)
}
