//! The logs that are open in this process, and the end that its user asks for: whatever ends the process then, no
//! subject is suspected for it.

use super::file::FileLog;
use super::object::ObjectLog;
use crate::run::cancelled::CANCELLED;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How long the notes may take: a store that does not answer must not keep a second signal waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where attempts are written down.
#[derive(Debug)]
pub(super) enum Log {
    File(Mutex<FileLog>),
    Object(Box<Mutex<ObjectLog>>),
}

pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The logs of the runs that are under way in this process.
static LOGS: Mutex<Vec<Weak<Log>>> = Mutex::new(Vec::new());

/// Has a log note the end that a user asks for.
pub(super) fn register(log: &Arc<Log>) {
    let mut logs = lock(&LOGS);
    logs.retain(|log| log.strong_count() > 0);
    logs.push(Arc::downgrade(log));
}

/// Asks the runs of this process to end behind the step that they are in, and has them note that no subject is at
/// fault if the process ends before. Returns `true` if they were asked before.
pub fn cancel() -> bool {
    let again = CANCELLED.swap(true, Ordering::Relaxed);
    if !again {
        stopped();
    }
    again
}

/// Notes in the logs of this process that its user ends it; returns once it is noted, or after two seconds.
fn stopped() {
    let logs: Vec<Arc<Log>> = lock(&LOGS).iter().filter_map(Weak::upgrade).collect();
    if logs.is_empty() {
        return;
    }
    let (sender, noted) = channel();
    let note = move || {
        logs.iter().for_each(|log| log.stop());
        sender.send(()).ok();
    };
    let started = thread::Builder::new()
        .name("stopped".to_owned())
        .spawn(note);
    match started {
        Ok(_) => drop(noted.recv_timeout(PATIENCE)),
        Err(e) => tracing::debug!(reason = %e, "the end that was asked for was not written down"),
    }
}

impl Log {
    /// Notes that the user ends the process: attempts that are open or begin later are not suspected.
    pub(super) fn stop(&self) {
        match self {
            Self::File(log) => lock(log).stop(),
            Self::Object(log) => lock(log).stop(),
        }
    }
}
