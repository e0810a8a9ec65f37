//! What a log of attempts says, and what follows from it.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A line of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// An attempt at a subject begins.
    Begins(String),
    /// It ended.
    Ended(String),
    /// Until it begins again, another is under way that it needs.
    Pauses(String),
    /// The user ends the process: what is under way now, or begins later, is not suspected.
    Stopped,
    /// In so many attempts in a row at a subject the process had ended when this log was begun.
    Suspected(String, u32),
}

impl Line {
    pub(super) fn text(&self) -> String {
        let text = serde_json::to_string(self).expect("a line is plain data");
        format!("{text}\n")
    }
}

/// What an earlier log says of subjects that are suspected.
pub(super) fn known(suspected: &BTreeMap<String, u32>) -> String {
    let line = |(subject, count): (&String, &u32)| Line::Suspected(subject.clone(), *count).text();
    suspected.iter().map(line).collect()
}

/// What a log says.
#[derive(Debug, Default)]
struct Said {
    /// Counts of suspected subjects at which no attempt has ended since.
    counts: BTreeMap<String, u32>,
    /// Subjects that are worked on.
    open: BTreeSet<String>,
    /// Whether the user ended the process.
    stopped: bool,
}

fn read(log: &[u8]) -> Said {
    let mut said = Said::default();
    let Said {
        counts,
        open,
        stopped,
    } = &mut said;
    // The last line may be cut off.
    let lines = log.split(|byte| *byte == b'\n');
    for line in lines.filter_map(|line| serde_json::from_slice(line).ok()) {
        match line {
            Line::Suspected(subject, count) => {
                counts.insert(subject, count);
            }
            Line::Begins(subject) => {
                if !*stopped {
                    open.insert(subject);
                }
            }
            Line::Stopped => {
                *stopped = true;
                open.clear();
            }
            Line::Ended(subject) => {
                counts.remove(&subject);
                open.remove(&subject);
            }
            Line::Pauses(subject) => {
                open.remove(&subject);
            }
        }
    }
    said
}

/// Subjects in attempts at which the process ended, and how often in a row.
pub(super) fn suspected(log: &[u8]) -> BTreeMap<String, u32> {
    let Said {
        mut counts, open, ..
    } = read(log);
    for subject in open {
        *counts.entry(subject).or_default() += 1;
    }
    counts
}

/// A log that says the same, without the attempts that ended.
pub(super) fn shortened(log: &[u8]) -> String {
    let said = read(log);
    let stopped = said.stopped.then_some(Line::Stopped);
    let open = said.open.into_iter().map(Line::Begins);
    let lines = open.chain(stopped).map(|line| line.text());
    known(&said.counts) + &lines.collect::<String>()
}
