//! What every tracker is told, and how figures are called.

use crate::error::Error;
use crate::sink::MetricRow;
use std::time::{SystemTime, UNIX_EPOCH};

/// One program's way to be told.
pub(super) trait Tracker: Send {
    /// Reports rows that were recorded since the last call.
    ///
    /// **Errors** if they cannot be written.
    fn write(&mut self, rows: &[MetricRow]) -> Result<(), Error>;

    /// Says how the training ended.
    ///
    /// **Errors** if that cannot be written.
    fn end(&mut self, is_finished: bool) -> Result<(), Error>;
}

/// What a figure is called: `train/loss`, `validation/dice/ct/liver`.
///
/// A name of several parts is a path in MLflow's store, so a `/` within a part becomes `_`, and a part that
/// would lead to another folder gets one in front.
pub(super) fn tag(row: &MetricRow) -> String {
    let parts = [
        Some(&row.split),
        Some(&row.name),
        row.modality.as_ref(),
        row.class.as_ref(),
        row.subject_id.as_ref(),
    ];
    let parts = parts.into_iter().flatten().map(|part| match part.as_str() {
        "" | "." | ".." => format!("_{part}"),
        part => part.replace('/', "_"),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Seconds since 1970; 0 if the clock stands before.
pub(super) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::tag;
    use crate::sink::MetricRow;

    #[test]
    fn a_figure_is_called_by_what_it_belongs_to() {
        let mut row = MetricRow {
            step: 1,
            epoch: 0,
            split: "validation".to_owned(),
            subject_id: None,
            modality: None,
            class: None,
            name: "dice".to_owned(),
            value: 1.0,
            unit: "1".to_owned(),
        };
        assert_eq!(tag(&row), "validation/dice");
        row.class = Some("liver".to_owned());
        assert_eq!(tag(&row), "validation/dice/liver");
        row.modality = Some("ct".to_owned());
        assert_eq!(tag(&row), "validation/dice/ct/liver");
        row.class = Some("liver/left".to_owned());
        assert_eq!(tag(&row), "validation/dice/ct/liver_left");
        row.class = Some("..".to_owned());
        assert_eq!(tag(&row), "validation/dice/ct/_..");
    }
}
