//! Panics of a subject's work become that subject's failure.
//!
//! A panic is an error of this program, but it concerns one subject: the run names the subject, the
//! stage and the text of the panic in `failures`, and continues. [`guarded`] surrounds every step,
//! every read and every write of a subject; [`crate::run::ordered`] surrounds whole jobs.

use super::failure::Failure;
use crate::error::Error;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

thread_local! {
    /// How many guards surround the work of this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Text and place of the last panic below a guard of this thread.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Beginning of the cause of a failure that is this program's fault.
const INTERNAL: &str = "internal error: ";

/// A panic that was caught: its text, and its file and line if they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    text: String,
}

impl std::fmt::Display for Panic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{INTERNAL}{}; this is a fault of voxstream, not of the data: please report this text together with the pipeline file",
            self.text
        )
    }
}

impl std::error::Error for Panic {}

impl From<Panic> for Error {
    fn from(panic: Panic) -> Self {
        Self::Panic {
            text: panic.to_string(),
        }
    }
}

impl Panic {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = LAST.take().unwrap_or_else(|| text_of(payload).to_owned());
        Self { text }
    }
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text")
}

/// Calls `work`; a panic in it is returned and not printed.
///
/// The first call replaces the process's panic hook. The new hook records panics below a guard, and
/// those of pool threads, which arrive at the thread that waits for them; it passes all others to
/// the hook that was there.
///
/// **Errors** if `work` panics.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !record(info) {
                earlier(info);
            }
        }));
    });
    DEPTH.set(DEPTH.get() + 1);
    // A subject's work shares caches and counters behind locks that take over what a panic left.
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|payload| Panic::new(&*payload))
}

/// Records a panic that a guard will report; returns `true` if there is such a guard.
fn record(info: &PanicHookInfo<'_>) -> bool {
    let guarded = DEPTH.get() > 0;
    if !guarded && rayon::current_thread_index().is_none() {
        return false;
    }
    let text = text_of(info.payload());
    let text = match info.location() {
        Some(place) => format!("{text} ({}:{})", place.file(), place.line()),
        None => text.to_owned(),
    };
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::debug!(panic = %text, %backtrace, "caught a panic");
    if guarded {
        LAST.set(Some(text));
    }
    true
}

/// Calls `work` on behalf of a subject in a stage.
///
/// **Errors** the failure of `work`, or one with the text of its panic.
pub fn guarded<T>(
    subject: &str,
    stage: &str,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    match caught(work) {
        Ok(result) => result,
        Err(panic) => Err(Failure::new(subject, stage, panic.to_string())),
    }
}

/// Calls `write`, which keeps what belongs to one subject. A panic, and volumes that no file may
/// hold, are that subject's failure.
///
/// **Errors** as `write`, if the disk or the run is at fault.
pub fn written<T>(
    subject: &str,
    stage: &str,
    write: impl FnOnce() -> Result<T, Error>,
) -> Result<Result<T, Failure>, Error> {
    match caught(write) {
        Ok(Ok(done)) => Ok(Ok(done)),
        Ok(Err(Error::Sink(e))) if e.is_of_one_subject() => {
            Ok(Err(Failure::from_error(subject, stage, &e)))
        }
        Ok(Err(e)) => Err(e),
        Err(panic) => Ok(Err(Failure::new(subject, stage, panic.to_string()))),
    }
}

impl Failure {
    /// Returns `true` if the failure is an error of this program and not of the subject's data.
    pub fn is_internal(&self) -> bool {
        self.cause.starts_with(INTERNAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure_with_text_and_place() {
        let failed: Result<(), Failure> = guarded("s1", "stages[2].zscore", || panic!("index 7"));
        let failure = failed.unwrap_err();
        assert_eq!(
            (&*failure.subject, &*failure.stage),
            ("s1", "stages[2].zscore")
        );
        assert!(
            failure
                .cause
                .starts_with("internal error: index 7 (src/run/guard.rs:"),
            "{}",
            failure.cause
        );
        assert!(failure.is_internal() && !Failure::new("s1", "source", "no file").is_internal());
        assert_eq!(guarded("s1", "source", || Ok(3)), Ok(3));
    }

    #[test]
    fn the_inner_guard_names_the_stage() {
        let failed: Result<(), Failure> =
            guarded("s1", "outer", || guarded("s1", "inner", || panic!("{}", 1)));
        assert_eq!(failed.unwrap_err().stage, "inner");
    }

    #[test]
    fn a_panic_of_a_pool_thread_is_caught_where_it_is_waited_for() {
        use rayon::prelude::*;
        let panic = caught(|| {
            (0..64u32)
                .into_par_iter()
                .for_each(|i| assert!(i != 40, "forty"))
        });
        assert!(panic.unwrap_err().to_string().contains("forty"));
    }
}
