//! What the library reports while it works, as records of Python's logger `voxstream`.
//!
//! Worker threads never wait for the GIL: events lie in a queue until a call of this package takes them.

use pyo3::prelude::*;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Events that wait at most; older ones are dropped.
const MOST: usize = 1000;

/// Python's level and the text of each event.
static WAITING: Mutex<VecDeque<(u8, String)>> = Mutex::new(VecDeque::new());

struct Events;

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::INFO || !event.metadata().target().starts_with("voxstream") {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == MOST {
            waiting.pop_front();
        }
        let level = match level {
            Level::ERROR => 40,
            Level::WARN => 30,
            _ => 20,
        };
        waiting.push_back((level, format!("{}{}", text.message, text.fields)));
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Collects events from now on; another subscriber of the process keeps them to itself.
pub(crate) fn start() {
    tracing_subscriber::registry().with(Events).try_init().ok();
}

/// Hands the events that wait to `logging.getLogger("voxstream")`.
///
/// **Errors** those of handlers that the user installed.
pub(crate) fn log(py: Python<'_>) -> PyResult<()> {
    let waiting = std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
    if waiting.is_empty() {
        return Ok(());
    }
    let logger = py
        .import("logging")?
        .call_method1("getLogger", ("voxstream",))?;
    for (level, text) in waiting {
        logger.call_method1("log", (level, "%s", text))?;
    }
    Ok(())
}
