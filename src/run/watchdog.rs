//! Says which node waits for whom when nothing has moved for a while.

use super::counters::{Counters, NodeCounts};
use crate::spec::counted;
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time without progress after which every node's state is reported.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Watches the counters of a run; dropping it ends the watch.
#[derive(Debug)]
pub struct Watchdog {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches from now on, and tells what it sees on the log.
    ///
    /// **Errors** when the system starts no thread.
    pub fn start(counters: Counters, patience: Duration) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                watch(&counters, patience, &stopped, |text| {
                    tracing::warn!("{text}")
                })
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The watch ends when nobody can call it any more.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn watch(counters: &Counters, patience: Duration, stopped: &Receiver<()>, tell: impl Fn(String)) {
    let (mut last, mut since) = (moved(&counters.snapshot()), Instant::now());
    while stopped.recv_timeout(patience / 10) == Err(RecvTimeoutError::Timeout) {
        let nodes = counters.snapshot();
        let now = moved(&nodes);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() >= patience {
            tell(report(&nodes, since.elapsed()));
            since = Instant::now();
        }
    }
}

/// What changes whenever any node passes a row on.
fn moved(nodes: &[NodeCounts]) -> Vec<(u64, u64)> {
    nodes.iter().map(|n| (n.rows, n.failures)).collect()
}

/// Every node's state, one line each; those that waited longest for room are named.
fn report(nodes: &[NodeCounts], idle: Duration) -> String {
    let mut text = format!(
        "no row has moved for {:.0} s; a long step, or a stuck one:",
        idle.as_secs_f64()
    );
    for n in nodes {
        let state = if n.blocked > n.starved && n.blocked > n.busy {
            "  [backpressure]"
        } else {
            ""
        };
        write!(
            text,
            "\n  {}: {}, {} failed; busy {:.1} s, waited {:.1} s for input and {:.1} s for room{state}",
            n.node,
            counted(n.rows, "row"),
            n.failures,
            n.busy.as_secs_f64(),
            n.starved.as_secs_f64(),
            n.blocked.as_secs_f64()
        )
        .expect("a string takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_standstill_is_told_with_every_node_and_movement_is_not() {
        let counters = Counters::default();
        counters.node("source").passed(3, 100);
        counters.node("patch").blocked(Duration::from_secs(9));
        let told = Mutex::new(Vec::new());
        let (stop, stopped) = sync_channel(0);
        std::thread::scope(|scope| {
            let (counters, told) = (&counters, &told);
            let watching = scope.spawn(move || {
                watch(counters, Duration::from_millis(40), &stopped, |text| {
                    told.lock().unwrap().push(text);
                });
            });
            while told.lock().unwrap().is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
            drop(stop);
            watching.join().unwrap();
        });
        let told = told.into_inner().unwrap();
        assert!(told[0].contains("source: 3 rows"), "{}", told[0]);
        assert!(told[0].contains("patch: 0 rows") && told[0].contains("[backpressure]"));
    }
}
