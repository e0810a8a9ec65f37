//! The draws of one recorded row, for a chain that replays it.

use crate::plan::Step;
use crate::stage::StageError;
use crate::volume::{Row, row::DrawRecord};

/// The row of a partner that a record names: its subject, the row it is mixed into, and the sample
/// numbers of that row behind the steps so far.
pub type RecordedPartner<'a> = &'a dyn Fn(&str, &Row, &[u32]) -> Result<Row, StageError>;

/// What was drawn for a row that is made again.
#[derive(Clone, Copy)]
pub struct Recorded<'a> {
    /// The draws, in the order of the steps.
    pub draws: &'a [DrawRecord],
    /// Makes the rows of partners; `None` where no step mixes rows.
    pub partner: Option<RecordedPartner<'a>>,
}

impl Recorded<'_> {
    /// What a step drew; `None` if its probability skipped it.
    fn draw_of(&self, step: &Step) -> Option<&DrawRecord> {
        self.draws.iter().find(|record| record.stage == step.path)
    }

    /// The rows that a step makes of a row, with the recorded draw.
    ///
    /// **Errors** if the record does not fit the step, a partner cannot be made, or the step fails.
    pub(super) fn rows(
        &self,
        step: &Step,
        row: Row,
        trace: &[u32],
    ) -> Result<Vec<Row>, StageError> {
        let record = self.draw_of(step);
        if step.stage.mixing().is_none() {
            return (step.stage).rerun(&step.path, record.map(|r| &r.draw), row);
        }
        let mut row = row;
        row.history.push(step.path.clone());
        let Some(record) = record else {
            return Ok(vec![row]);
        };
        let (Some(partner), Some(subject)) = (self.partner, record.draw["partner"].as_str()) else {
            return Err(StageError::input(
                "the recorded draw names no partner, or no other subject is at hand here",
            ));
        };
        let partner = partner(subject, &row, trace)?;
        row.draws.push(record.clone());
        let mut row = step.stage.replay_mix(&record.draw, row, &partner)?;
        row.attribute_warnings(&step.path);
        Ok(vec![row])
    }
}
