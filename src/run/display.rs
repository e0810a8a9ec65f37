//! What a run is doing, on the terminal: one redrawn line a node, and who waits for whom.
//!
//! Nodes count by themselves; a thread of its own reads the counters a few times a second, so that
//! nothing is added to the work. Log lines go through [`Aside`], which keeps both apart.

use super::counters::{Counters, NodeCounts};
use bytesize::ByteSize;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two drawings.
const PERIOD: Duration = Duration::from_millis(250);

/// All lines that are redrawn, bars included; empty where stderr is no terminal.
pub fn screen() -> &'static MultiProgress {
    static SCREEN: OnceLock<MultiProgress> = OnceLock::new();
    SCREEN.get_or_init(MultiProgress::new)
}

/// Standard error for log lines, which stand above the redrawn ones.
#[derive(Debug, Clone, Copy)]
pub struct Aside;

impl Write for Aside {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        screen().suspend(|| std::io::stderr().write(text))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Draws the nodes of a run; dropping it removes the lines.
#[derive(Debug)]
pub struct Display {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    /// Draws from now on.
    ///
    /// **Errors** when the system starts no thread.
    pub fn start(counters: Counters) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("display".to_owned())
            .spawn(move || {
                let (mut bars, mut before) = (Vec::new(), Vec::new());
                let mut since = Instant::now();
                while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                    let nodes = counters.snapshot();
                    draw(&mut bars, &nodes, &before, since.elapsed());
                    (before, since) = (nodes, Instant::now());
                }
                bars.iter().for_each(ProgressBar::finish_and_clear);
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // The thread ends when nobody can call it any more.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn draw(bars: &mut Vec<ProgressBar>, nodes: &[NodeCounts], before: &[NodeCounts], time: Duration) {
    for (i, node) in nodes.iter().enumerate() {
        if i == bars.len() {
            let style = ProgressStyle::with_template("{wide_msg}");
            let bar = ProgressBar::new(1).with_style(style.expect("the template is a constant"));
            bars.push(screen().insert(i, bar));
        }
        // Nodes keep their places.
        bars[i].set_message(node_line(node, before.get(i), time));
    }
}

/// A node's line: what left it so far, and what its threads did since it was drawn last.
/// `time` is that between both.
pub fn node_line(now: &NodeCounts, before: Option<&NodeCounts>, time: Duration) -> String {
    let since = |of: fn(&NodeCounts) -> Duration| {
        let spent = of(now).saturating_sub(before.map(of).unwrap_or_default());
        spent.as_secs_f64() / time.as_secs_f64().max(1e-3)
    };
    let (busy, starved, blocked) = (
        since(|n| n.busy),
        since(|n| n.starved),
        since(|n| n.blocked),
    );
    let state = if blocked > busy && blocked > starved {
        "[backpressure]"
    } else if starved > busy {
        "waits for input"
    } else {
        ""
    };
    let failed = match now.failures {
        0 => String::new(),
        failures => format!("{failures} failed  "),
    };
    let bytes = ByteSize::b(now.bytes).to_string();
    format!(
        "{:<48} {:>8} rows {bytes:>10}  busy {busy:4.2}  {failed}{state}",
        now.node, now.rows
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(busy: f64, starved: f64, blocked: f64) -> NodeCounts {
        NodeCounts {
            node: "views.shared[0].patch".to_owned(),
            rows: 12,
            bytes: 3 << 20,
            busy: Duration::from_secs_f64(busy),
            starved: Duration::from_secs_f64(starved),
            blocked: Duration::from_secs_f64(blocked),
            failures: 0,
        }
    }

    #[test]
    fn a_line_tells_the_last_moment_and_names_backpressure() {
        let (before, second) = (counts(5.0, 1.0, 0.0), Duration::from_secs(1));
        let busy = node_line(&counts(5.9, 1.1, 0.0), Some(&before), second);
        assert!(busy.starts_with("views.shared[0].patch "), "{busy}");
        assert!(
            busy.contains("12 rows") && busy.contains("3.0 MiB"),
            "{busy}"
        );
        assert!(busy.trim_end().ends_with("busy 0.90"), "{busy}");
        let blocked = node_line(&counts(5.1, 1.0, 0.9), Some(&before), second);
        assert!(blocked.ends_with("[backpressure]"), "{blocked}");
        let starved = node_line(&counts(5.1, 1.9, 0.0), Some(&before), second);
        assert!(starved.ends_with("waits for input"), "{starved}");
    }

    #[test]
    fn a_display_ends_when_it_is_dropped() {
        let counters = Counters::default();
        counters.node("source").passed(1, 1);
        let display = Display::start(counters).unwrap();
        std::thread::sleep(2 * PERIOD);
        drop(display);
    }
}
