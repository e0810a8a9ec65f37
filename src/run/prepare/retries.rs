//! Reads a subject again where the system failed for a reason that may pass within seconds.

use crate::run::cancelled::CANCELLED;
use crate::store::StoreError;
use std::error::Error;
use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a subject is read again if the pipeline does not say.
pub(super) const RETRIES: u32 = 3;
/// First pause, ms; each further one is twice as long.
const FIRST_MS: u64 = 100;
/// Longest pause, ms.
const LONGEST_MS: u64 = 5_000;
/// Errors of Linux that network file systems and full tables of open files give, and that have no
/// [`ErrorKind`]: EIO, ENFILE, EMFILE, EREMOTEIO.
const PASSING: [i32; 4] = [5, 23, 24, 121];

/// Calls `read`, and again up to `retries` times after growing pauses while its error may pass. Stores have
/// a patience of their own, so what they report is not tried again.
///
/// **Errors** the last one.
pub(super) fn retried<T, E: Error + 'static>(
    subject: &str,
    retries: u32,
    mut read: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut attempt = 0;
    loop {
        let error = match read() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if attempt == retries || !passes(&error) || CANCELLED.load(Ordering::Relaxed) {
            return Err(error);
        }
        let pause = pause(subject, attempt);
        tracing::warn!(
            %subject, reason = %crate::sink::causes(&error), pause_ms = pause.as_millis() as u64,
            "reading failed; trying again"
        );
        std::thread::sleep(pause);
        attempt += 1;
    }
}

/// Returns `true` if the system failed for a reason that is neither in the file nor a rule.
fn passes(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            let of_store = io.get_ref().is_some_and(|inner| inner.is::<StoreError>());
            let number = io.raw_os_error().is_some_and(|n| PASSING.contains(&n));
            return !of_store && (number || passing_kind(io.kind()));
        }
        next = error.source();
    }
    false
}

fn passing_kind(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::ResourceBusy
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
    )
}

/// Shortened by up to a half, differently for every subject, so that workers do not return at once.
fn pause(subject: &str, attempt: u32) -> Duration {
    let whole = (FIRST_MS << attempt.min(10)).min(LONGEST_MS);
    let share = u64::from(blake3::hash(subject.as_bytes()).as_bytes()[0]);
    Duration::from_millis(whole - whole * share / 512)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::VolumeError;

    fn error(source: std::io::Error) -> VolumeError {
        VolumeError::Io {
            path: "ct.nii".into(),
            action: "reading",
            source,
        }
    }

    /// How often it is read, and whether it succeeds the `succeeds`-th time.
    fn tried(retries: u32, succeeds: u32, source: impl Fn() -> std::io::Error) -> (u32, bool) {
        let mut times = 0;
        let read = retried("s", retries, || {
            times += 1;
            if times == succeeds {
                return Ok(());
            }
            Err(error(source()))
        });
        (times, read.is_ok())
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        let eio = || std::io::Error::from_raw_os_error(5);
        assert_eq!(tried(2, 2, eio), (2, true));
        assert_eq!(tried(1, 9, eio), (2, false));
        assert_eq!(tried(0, 9, eio), (1, false));
        assert_eq!(tried(1, 2, || ErrorKind::TimedOut.into()), (2, true));
    }

    #[test]
    fn what_is_in_the_file_or_a_rule_is_not() {
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::PermissionDenied,
            ErrorKind::InvalidData,
            ErrorKind::UnexpectedEof,
        ] {
            assert_eq!(tried(3, 9, || kind.into()), (1, false), "{kind}");
        }
        let pauses: Vec<u64> = (0..8).map(|n| pause("s", n).as_millis() as u64).collect();
        assert!(pauses.is_sorted() && pauses[0] >= 50 && pauses[7] <= LONGEST_MS);
    }
}
