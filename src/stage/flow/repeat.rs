//! Makes several rows of one.

use crate::stage::{EdgeSchema, Effect, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Gives each row on several times, each with a sample number of its own.
///
/// What later steps draw depends on the sample number, so `repeat` and then `flip` makes rows that
/// are flipped differently, while the subject is read and prepared once. Voxels are shared.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Rows made of each row, at least 1.
    pub times: NonZeroU32,
}

impl Stage for Repeat {
    const NAME: &'static str = "repeat";
    const EXAMPLE: &'static str = "{ times: 4 }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let mut output = input.clone();
        if let Some(rows) = input.rows_per_subject {
            let many = rows.checked_mul(self.times.get()).ok_or_else(|| {
                format!(
                    "{rows} rows arrive of a subject, and `times` is {}; that is more than a sample number can count, write a smaller number",
                    self.times
                )
            })?;
            output.rows_per_subject = Some(many);
        }
        Ok(output)
    }

    fn effect(&self) -> Effect {
        Effect::RowLevel
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        let times = self.times.get();
        let first = row.sample.checked_mul(times);
        let Some(first) = first.filter(|first| first.checked_add(times - 1).is_some()) else {
            return Err(StageError::input(format!(
                "sample {} times {times} is no sample number any more; write a smaller `times`",
                row.sample
            )));
        };
        let numbered = |i| Row {
            sample: first + i,
            ..row.clone()
        };
        Ok((0..times).map(numbered).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::intensity::tests::row_of;

    #[test]
    fn samples_are_numbered_and_voxels_shared() {
        let repeat = Repeat {
            times: NonZeroU32::new(3).unwrap(),
        };
        let mut row = row_of(&[1.0]);
        row.sample = 2;
        let rows = repeat.map(row.clone()).unwrap();
        let samples: Vec<u32> = rows.iter().map(|r| r.sample).collect();
        assert_eq!(samples, [6, 7, 8]);
        let place = |row: &Row| row.images[0].volume.as_ref().unwrap().buffer().as_ptr();
        assert!(rows.iter().all(|r| place(r) == place(&row)));
        row.sample = u32::MAX / 2;
        assert!(repeat.map(row).is_err());
    }
}
