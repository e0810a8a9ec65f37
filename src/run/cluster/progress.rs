//! What executors have done so far: one line for each, from the commit records.

use crate::run::display::screen;
use crate::sink::PartRow;
use crate::spec::counted;
use bytesize::ByteSize;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Instant;

/// What one executor has done.
#[derive(Debug, Default)]
struct Done {
    parts: u64,
    subjects: i64,
    failures: i64,
    bytes: i64,
    line: Option<ProgressBar>,
}

impl Done {
    fn text(&self, seconds: f64) -> String {
        let bytes = u64::try_from(self.bytes).unwrap_or(0);
        format!(
            "{}, {} ({:.1}/s), {} failed, {}",
            counted(self.parts, "part"),
            counted(self.subjects, "subject"),
            self.subjects as f64 / seconds.max(1e-3),
            self.failures,
            ByteSize::b(bytes)
        )
    }
}

/// The lines of a run.
pub(super) struct Progress {
    drawn: bool,
    start: Instant,
    executors: BTreeMap<String, Done>,
}

impl Progress {
    /// No line yet; lines are redrawn where somebody watches.
    pub(super) fn new(drawn: bool) -> Self {
        Self {
            drawn,
            start: Instant::now(),
            executors: BTreeMap::new(),
        }
    }

    /// Counts a part.
    pub(super) fn add(&mut self, row: &PartRow) {
        let seconds = self.start.elapsed().as_secs_f64();
        let done = self.executors.entry(row.host.clone()).or_default();
        done.parts += 1;
        done.subjects += row.subjects;
        done.failures += row.failures;
        done.bytes += row.bytes;
        if self.drawn {
            let text = done.text(seconds);
            let line = done.line.get_or_insert_with(|| line(&row.host));
            line.set_message(text);
        }
    }

    /// Removes the lines and reports each once.
    pub(super) fn finish(self) {
        let seconds = self.start.elapsed().as_secs_f64();
        for (executor, done) in self.executors {
            if let Some(line) = &done.line {
                line.finish_and_clear();
            }
            tracing::info!(%executor, "{}", done.text(seconds));
        }
    }
}

fn line(executor: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>24}  {msg}");
    let style = style.expect("the template is a constant");
    let line = ProgressBar::no_length().with_style(style);
    screen().add(line.with_prefix(executor.to_owned()))
}
