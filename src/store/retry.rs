//! Tries again what may pass.

use super::ObjectUrl;
use super::error::{StoreError, may_pass};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// First pause, ms; each further one is twice as long.
const FIRST_MS: u64 = 100;
/// Longest pause, ms.
const LONGEST_MS: u64 = 10_000;
/// A fault is reported once this many attempts failed.
const QUIET_ATTEMPTS: u32 = 3;
/// Seconds after which a fault that may pass has not.
const PATIENCE_SECONDS: u64 = 120;
/// The variable that sets another number of seconds.
const VARIABLE: &str = "VOXSTREAM_STORE_PATIENCE";

/// Milliseconds that [`set_patience`] set; `u64::MAX`: those of the environment.
static SET_MS: AtomicU64 = AtomicU64::new(u64::MAX);

/// How long a request is tried again before its fault is an error: 120 seconds, or as many as the
/// environment variable `VOXSTREAM_STORE_PATIENCE` says.
pub fn patience() -> Duration {
    match SET_MS.load(Ordering::Relaxed) {
        u64::MAX => {
            let set = std::env::var(VARIABLE).ok();
            let seconds = set.and_then(|text| text.trim().parse().ok());
            Duration::from_secs(seconds.unwrap_or(PATIENCE_SECONDS))
        }
        ms => Duration::from_millis(ms),
    }
}

/// Sets [`patience`] for the process, whatever the environment says.
pub fn set_patience(patience: Duration) {
    let ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX - 1);
    SET_MS.store(ms.min(u64::MAX - 1), Ordering::Relaxed);
}

/// Stores for which patience has run out; the next requests to them are tried once, so that a store that
/// is away costs a cohort its patience once and not once a file.
static AWAY: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Repeats a request until it succeeds, fails for good, or [`patience`] is over.
///
/// Pauses double from a tenth of a second to ten; each is shortened by up to a half, differently for
/// every object, so that many workers do not return at once.
pub(super) fn retried<T>(
    url: &ObjectUrl,
    mut request: impl FnMut() -> Result<T, object_store::Error>,
) -> io::Result<T> {
    let start = Instant::now();
    let mut attempt = 0;
    loop {
        let cause = match request() {
            Ok(value) => {
                away().remove(&url.root());
                return Ok(value);
            }
            Err(cause) => cause,
        };
        let error = StoreError::from_cause(url, &cause);
        if !may_pass(&cause) {
            return Err(error.into());
        }
        let pause = pause(url, attempt);
        if start.elapsed() + pause > patience() || away().contains(&url.root()) {
            away().insert(url.root());
            return Err(error.into());
        }
        attempt += 1;
        if attempt == QUIET_ATTEMPTS {
            tracing::warn!(object = %url, reason = %error, "the store fails; trying again");
        }
        std::thread::sleep(pause);
    }
}

fn away() -> MutexGuard<'static, BTreeSet<String>> {
    AWAY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pause(url: &ObjectUrl, attempt: u32) -> Duration {
    let whole = (FIRST_MS << attempt.min(10)).min(LONGEST_MS);
    let mut hasher = blake3::Hasher::new();
    hasher.update(url.to_string().as_bytes());
    hasher.update(&attempt.to_le_bytes());
    let share = u64::from(hasher.finalize().as_bytes()[0]);
    Duration::from_millis(whole - whole * share / 512)
}
