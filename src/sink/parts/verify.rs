//! Checks the parts of a run against their commit records.

use super::writer::digest_of;
use super::{Ledger, PartFile, TABLES};
use crate::sink::parquet::schema_of;
use crate::sink::table::NAME_KEY;
use crate::sink::tables;
use crate::sink::{SinkError, causes};
use std::collections::BTreeMap;
use std::path::Path;

/// A file that is not what commit records say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The parts that have rows in it.
    pub parts: Vec<String>,
    /// The file, below the run folder.
    pub file: String,
    /// What was found, what was expected.
    pub problem: String,
}

/// Checks every file that a commit record names: size, digest, and the name and version of its
/// schema. Returns the number of files checked, and what is wrong.
///
/// **Errors** if the commit records cannot be read.
pub fn verify(run: &Path) -> Result<(usize, Vec<Fault>), SinkError> {
    let ledger = Ledger::open(run)?;
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let parts = ledger.parts();
    for row in &parts {
        for text in &row.files {
            files.entry(text).or_default().push(&row.part);
        }
    }
    let faults = files.iter().filter_map(|(text, parts)| {
        let (file, problem) = match PartFile::parse(text) {
            Some(file) => (file.path, problem(run, &file)),
            None => (
                *text,
                Some("the commit record names it in no form that is known".to_owned()),
            ),
        };
        Some(Fault {
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
            file: file.to_owned(),
            problem: problem?,
        })
    });
    let mut faults: Vec<Fault> = faults.collect();
    faults.sort_by(|a, b| (&a.parts, &a.file).cmp(&(&b.parts, &b.file)));
    Ok((files.len(), faults))
}

/// What is wrong with a file; `None` if it is what the record says.
fn problem(run: &Path, file: &PartFile<'_>) -> Option<String> {
    let path = run.join(file.path);
    let (digest, bytes) = match digest_of(&path) {
        Ok(found) => found,
        Err(e) => return Some(causes(&e)),
    };
    if bytes != file.bytes {
        return Some(format!("{bytes} bytes, {} were committed", file.bytes));
    }
    if digest != file.digest {
        return Some(format!("digest {digest}, {} was committed", file.digest));
    }
    let table = file.path.split('/').next().filter(|t| TABLES.contains(t))?;
    if !file.path.ends_with(".parquet") {
        return None;
    }
    match schema_of(&path) {
        Ok(schema) => {
            let name = schema.metadata().get(NAME_KEY).map(String::as_str);
            let known = tables::by_name(table).is_none() || name == Some(table);
            (!known).then(|| format!("table `{}`, expected `{table}`", name.unwrap_or("none")))
        }
        Err(e) => Some(causes(&e)),
    }
}
