//! Who may write a run: one process at a time, by a lock on a local folder, by a lease in a store.
//!
//! A lease is the object `.lease` in the run's folder. It is created only where there is none, and renewed
//! by its holder every `RENEWED`. One that was not renewed for `EXPIRES`, by the clock of the store, or
//! whose holder was a process of this machine that is gone, may be taken over by replacing the very version
//! that was looked at. So of two processes one gets it, whatever their clocks say.

use crate::error::Error;
use crate::store::{self, Version};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two renewals.
const RENEWED: Duration = Duration::from_secs(30);
/// Age from which a lease counts as abandoned.
const EXPIRES: Duration = Duration::from_secs(180);
/// Name of a lease.
const LEASE: &str = ".lease";
/// The file that a process locks on this machine.
const LOCK: &str = ".lock";
/// Name of the object by which the clock of a store is read.
const CLOCK: &str = ".lease-clock";

/// The right to write a run, until it is dropped.
#[derive(Debug, Clone)]
pub struct Held {
    right: Right,
}

/// The lock of a local folder, or the lease of one in a store.
#[derive(Debug, Clone)]
enum Right {
    Lock { _file: Arc<File> },
    Lease(Arc<Lease>),
}

impl Held {
    /// Returns `false` if another process took the lease over, or may have, because this one did not renew it
    /// in time.
    pub fn is_held(&self) -> bool {
        match &self.right {
            Right::Lock { .. } => true,
            Right::Lease(lease) => lease.state.is_held(),
        }
    }
}

/// Takes the right to write a run for the life of the result.
///
/// **Errors** if another process has it, or the folder or store refuses.
pub fn hold(run: &Path) -> Result<Held, Error> {
    let right = match store::is_url(run) {
        true => Right::Lease(Arc::new(Lease::take(run)?)),
        false => Right::Lock { _file: lock(run)? },
    };
    Ok(Held { right })
}

/// Locks a local run folder for the life of this process.
fn lock(folder: &Path) -> Result<Arc<File>, Error> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(Error::io(&path, "creating the lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Arc::new(file)),
        Err(TryLockError::WouldBlock) => Err(Error::run(format!(
            "{}: another process is running this run; wait for its end, or choose another `--out`",
            folder.display()
        ))),
        // Some network file systems know no locks; the run is as safe there as its author is careful.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(folder = %folder.display(), %error, "the run folder cannot be locked");
            Ok(Arc::new(file))
        }
    }
}

/// Returns `true` if a process on this machine is running the run in a local folder, as far as its lock says.
pub fn is_running(run: &Path) -> bool {
    let Ok(file) = File::open(run.join(LOCK)) else {
        return false;
    };
    match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        // A file system without locks does not say; who asks finds out by waiting.
        Err(TryLockError::Error(_)) => true,
    }
}

/// What a lease says.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
struct Holder {
    host: String,
    process: u32,
    /// When the lease was taken, by the clock of the holder; for people.
    since: String,
    /// How often it was renewed.
    renewed: u64,
}

impl Holder {
    fn new() -> Self {
        Self {
            host: sysinfo::System::host_name().unwrap_or_default(),
            process: std::process::id(),
            since: chrono::Local::now().to_rfc3339(),
            renewed: 0,
        }
    }

    fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a holder is plain data")
    }

    /// Returns `true` if a lease is one that this holder wrote.
    fn wrote(&self, text: &[u8]) -> bool {
        let found = serde_json::from_slice::<Self>(text);
        found.is_ok_and(|found| {
            (&found.host, found.process, &found.since) == (&self.host, self.process, &self.since)
        })
    }

    /// Returns `true` if the holder was a process of this machine that is gone.
    fn is_gone(&self) -> bool {
        let here = sysinfo::System::host_name().unwrap_or_default();
        if here.is_empty() || self.host != here {
            return false;
        }
        let process = sysinfo::Pid::from_u32(self.process);
        // What cannot be known counts as alive: time tells.
        let Ok(mut system) = sysinfo::System::new() else {
            return false;
        };
        system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[process]), true);
        system.process(process).is_none()
    }
}

/// State of a lease.
#[derive(Debug)]
struct State {
    lost: AtomicBool,
    renewed: Mutex<Instant>,
}

impl State {
    fn is_held(&self) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        // With a renewal to spare: a commit takes its time.
        !self.lost.load(Ordering::Relaxed) && renewed.elapsed() < EXPIRES - RENEWED
    }

    /// Notes a renewal that was asked for at an instant.
    fn renew(&self, asked: Instant) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }
}

/// Returns `true` if a file is one by which a run is held, or was.
pub(super) fn is_of_lease(path: &Path) -> bool {
    [LEASE, LOCK, CLOCK].iter().any(|name| path.ends_with(name))
}

/// A lease, renewed by a thread until it is dropped.
#[derive(Debug)]
struct Lease {
    path: PathBuf,
    state: Arc<State>,
    stop: Mutex<Option<Sender<()>>>,
    renewing: Mutex<Option<JoinHandle<()>>>,
}

impl Lease {
    fn take(run: &Path) -> Result<Self, Error> {
        let path = run.join(LEASE);
        let holder = Holder::new();
        let version = match store::create(&path, &holder.text()) {
            Ok(version) => version,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => take_over(run, &path, &holder)?,
            Err(e) => return Err(Error::io(&path, "taking the lease")(e)),
        };
        let (stop, stopped) = channel();
        let state = Arc::new(State {
            lost: AtomicBool::new(false),
            renewed: Mutex::new(Instant::now()),
        });
        let (place, standing) = (path.clone(), Arc::clone(&state));
        let renew = move || {
            let (mut version, mut holder) = (version, holder);
            while stopped.recv_timeout(RENEWED) == Err(RecvTimeoutError::Timeout) {
                holder.renewed += 1;
                let asked = Instant::now();
                match store::replace(&place, &version, &holder.text()) {
                    Ok(renewed) => {
                        version = renewed;
                        standing.renew(asked);
                    }
                    Err(e) if e.kind() == ErrorKind::InvalidData => {
                        // The answer to an earlier renewal may have been lost.
                        if let Ok((known, text)) = read(&place)
                            && holder.wrote(&text)
                        {
                            version = known;
                            standing.renew(asked);
                            continue;
                        }
                        tracing::error!(lease = %place.display(), "another process has taken the lease of this run");
                        standing.lost.store(true, Ordering::Relaxed);
                        return;
                    }
                    Err(e) => {
                        tracing::warn!(lease = %place.display(), reason = %e, "the lease was not renewed");
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("lease".to_owned());
        let renewing = thread
            .spawn(renew)
            .map_err(Error::io(&path, "renewing the lease"))?;
        Ok(Self {
            path,
            state,
            stop: Mutex::new(Some(stop)),
            renewing: Mutex::new(Some(renewing)),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let inner = |e: PoisonError<_>| e.into_inner();
        drop(self.stop.lock().unwrap_or_else(inner).take());
        let renewing = self.renewing.lock();
        if let Some(thread) = renewing.unwrap_or_else(PoisonError::into_inner).take() {
            thread.join().ok();
        }
        if !self.state.lost.load(Ordering::Relaxed)
            && let Err(e) = store::remove(&self.path)
        {
            tracing::warn!(lease = %self.path.display(), reason = %e, "the lease was not removed; it expires");
        }
    }
}

/// Takes over an abandoned lease.
///
/// **Errors** if somebody does, or another process was faster.
fn take_over(run: &Path, path: &Path, holder: &Holder) -> Result<Version, Error> {
    let refused = |who: &str| {
        Error::run(format!(
            "{}: another process is running this run ({who}); wait for its end, or choose another `--out`",
            run.display()
        ))
    };
    let (known, text) = match read(path) {
        Ok(found) => found,
        // It was given back meanwhile.
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return store::create(path, &holder.text()).map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => refused("it was faster"),
                _ => Error::io(path, "taking the lease")(e),
            });
        }
        Err(e) => return Err(Error::io(path, "reading the lease")(e)),
    };
    // The answer to our own first request was lost: it is ours.
    if holder.wrote(&text) {
        return Ok(known);
    }
    let other: Option<Holder> = serde_json::from_slice(&text).ok();
    let age = age(run, &known).map_err(Error::io(path, "reading the clock of the store"))?;
    let is_gone = other.as_ref().is_some_and(Holder::is_gone);
    if age < EXPIRES && !is_gone {
        let who = other.map_or_else(
            || "its lease cannot be read".to_owned(),
            |other| format!("process {} on {}", other.process, other.host),
        );
        let rest = (EXPIRES - age).as_secs() + 1;
        return Err(refused(&format!(
            "{who}, lease renewed {} s ago; if it is gone, the run can be taken over in {rest} s",
            age.as_secs()
        )));
    }
    store::replace(path, &known, &holder.text()).map_err(|e| match e.kind() {
        ErrorKind::InvalidData => refused("it was faster"),
        _ => Error::io(path, "taking the lease over")(e),
    })
}

/// A lease and its version. Who replaces that version replaces what was read, or a later one that is refused.
fn read(path: &Path) -> std::io::Result<(Version, Vec<u8>)> {
    let known = store::metadata(path)?;
    Ok((known, store::read(path)?))
}

/// How long ago an object was written, by the clock of its store.
fn age(run: &Path, known: &Version) -> std::io::Result<Duration> {
    let clock = run.join(CLOCK);
    store::write(&clock, b"")?;
    let now = store::metadata(&clock)?.changed_nanos;
    store::remove(&clock)?;
    Ok(Duration::from_nanos(
        now.saturating_sub(known.changed_nanos),
    ))
}
