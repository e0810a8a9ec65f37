//! Checks the parts of a run against their commit records.

use super::writer::digest_of;
use super::{Ledger, PartFile, RECORDS, TABLES};
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
/// schema; and the records themselves. Returns the number of files checked, and what is wrong.
///
/// A run under way merges files of parts and makes parts again, so what an earlier reading of the records
/// names is at fault only if a later one names it, too.
///
/// **Errors** if the folder cannot be read, or a commit record for another reason than damage.
pub fn verify(run: &Path) -> Result<(usize, Vec<Fault>), SinkError> {
    checked(Ledger::survey(run)?)
}

/// [`verify`], from records that were read before.
pub(super) fn checked(mut ledger: Ledger) -> Result<(usize, Vec<Fault>), SinkError> {
    // What a record says of a file, and what is wrong with the file.
    let mut judged: BTreeMap<String, Option<String>> = BTreeMap::new();
    loop {
        let mut is_in_doubt = false;
        for text in ledger.parts().iter().flat_map(|row| &row.files) {
            if !judged.contains_key(text) {
                let problem = problem_of(&ledger.folder, text);
                is_in_doubt |= problem.is_some();
                judged.insert(text.clone(), problem);
            }
        }
        if !is_in_doubt {
            return Ok(faults(&ledger, &judged));
        }
        ledger = Ledger::survey(&ledger.folder)?;
    }
}

/// What is at fault of the files that a ledger names, and of its records; and their number.
fn faults(ledger: &Ledger, judged: &BTreeMap<String, Option<String>>) -> (usize, Vec<Fault>) {
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let parts = ledger.parts();
    for row in &parts {
        for text in &row.files {
            files.entry(text).or_default().push(row.part.clone());
        }
    }
    let count = files.len() + ledger.damaged().len();
    let of_records = ledger.damaged().iter().map(|record| Fault {
        parts: vec![record.part.clone()],
        file: format!("{RECORDS}/{}.parquet", record.part),
        problem: match record.is_index() {
            true => format!(
                "the index of merged parts cannot be read: {}",
                record.problem
            ),
            false => format!("the commit record cannot be read: {}", record.problem),
        },
    });
    let mut faults: Vec<Fault> = of_records.collect();
    for (text, parts) in files {
        if let Some(Some(problem)) = judged.get(text) {
            let file = PartFile::parse(text).map_or(text, |file| file.path);
            faults.push(Fault {
                parts,
                file: file.to_owned(),
                problem: problem.clone(),
            });
        }
    }
    faults.sort_by(|a, b| (&a.parts, &a.file).cmp(&(&b.parts, &b.file)));
    (count, faults)
}

/// What is wrong with a file as a record names it.
fn problem_of(run: &Path, text: &str) -> Option<String> {
    match PartFile::parse(text) {
        Some(file) => problem(run, &file),
        None => Some("the commit record names it in no form that is known".to_owned()),
    }
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
