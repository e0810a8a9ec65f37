//! Writes the table `edges` while a run is under way, and answers who looks at its rows.

use super::counters::Counters;
use super::tables::edge_rows;
use super::tap::Requests;
use crate::sink::{EdgeRow, TableRow as _, write_table};
use crate::store;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two writes.
pub(super) const PERIOD: Duration = Duration::from_secs(3);
/// Time between two looks at what a tap has caught.
const TAPPED: Duration = Duration::from_millis(200);

/// Writes the counters of a run every few seconds until it is dropped.
#[derive(Debug)]
pub(super) struct Live {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Writes into a run folder from now on, the first time after a period, and serves requests of
    /// `voxstream tap` there, which are noticed as often.
    ///
    /// **Errors** when the system starts no thread.
    pub(super) fn start(counters: Counters, run: PathBuf) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("live".to_owned())
            .spawn(move || {
                let path = run.join(EdgeRow::TABLE.file_name());
                // A store has no requests: `tap` follows runs on this machine.
                let mut taps =
                    (!store::is_url(&run)).then(|| Requests::new(&run, counters.clone()));
                let (mut written, mut wait) = (Instant::now(), PERIOD);
                while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                    wait = match taps.as_mut().map(Requests::serve) {
                        Some(Ok(true)) => TAPPED,
                        Some(Err(reason)) => {
                            tracing::debug!(%reason, "a request for rows could not be served yet");
                            PERIOD
                        }
                        Some(Ok(false)) | None => PERIOD,
                    };
                    if written.elapsed() < PERIOD {
                        continue;
                    }
                    written = Instant::now();
                    if let Err(reason) = write_table(&path, &edge_rows(&counters)) {
                        // The last write, at the end of the run, reports it as an error.
                        tracing::debug!(%reason, "the table of edges could not be written yet");
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // The thread ends when nobody can call it any more.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{EdgeRow, read_table};

    #[test]
    fn counters_can_be_read_before_the_run_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edges.parquet");
        let counters = Counters::default();
        counters.node("source").passed(3, 12);
        let live = Live::start(counters, folder.path().to_owned()).unwrap();
        std::thread::sleep(PERIOD + Duration::from_millis(1500));
        let rows: Vec<EdgeRow> = read_table(&path).unwrap();
        assert_eq!((rows[0].node.as_str(), rows[0].rows), ("source", 3));
        drop(live);
    }
}
