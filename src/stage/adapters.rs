//! Steps of every kind behind one interface: what a plan holds.

use super::{AnyStage, Augment, EdgeSchema, Effect, Order, Stage, StageError, SubjectFacts};
use crate::draw::DrawKey;
use crate::volume::{Row, row::DrawRecord};
use serde::Serialize;

pub(super) fn json<T: Serialize>(parameters: &T) -> serde_json::Value {
    serde_json::to_value(parameters).expect("parameters are plain data")
}

fn no_draw(name: &str) -> StageError {
    StageError::input(format!(
        "`{name}` draws nothing; there is nothing to replay"
    ))
}

/// A [`Stage`] with its type erased.
pub struct MapStage<S>(pub S);

impl<S: Stage> AnyStage for MapStage<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }
    fn to_json(&self) -> serde_json::Value {
        json(&self.0)
    }
    fn is_random(&self) -> bool {
        false
    }
    fn effect(&self) -> Option<Effect> {
        Some(self.0.effect()).filter(|e| *e != Effect::RowLevel)
    }
    fn relabels(&self) -> bool {
        self.0.relabels()
    }
    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.0.check(input)
    }
    fn run(&self, path: &str, _seed: u64, row: Row) -> Result<Vec<Row>, StageError> {
        let mut rows = self.0.map(row)?;
        for row in &mut rows {
            row.history.push(path.to_owned());
            row.attribute_warnings(path);
        }
        Ok(rows)
    }
    fn replay(&self, _draw: &serde_json::Value, _row: Row) -> Result<Row, StageError> {
        Err(no_draw(S::NAME))
    }
}

/// An [`Augment`] with its type erased.
pub struct AugmentStage<A>(pub A);

impl<A: Augment> AnyStage for AugmentStage<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }
    fn to_json(&self) -> serde_json::Value {
        json(&self.0)
    }
    fn is_random(&self) -> bool {
        true
    }
    fn effect(&self) -> Option<Effect> {
        Some(self.0.effect()).filter(|e| *e != Effect::RowLevel)
    }
    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.0.check(input)
    }
    fn run(&self, path: &str, seed: u64, row: Row) -> Result<Vec<Row>, StageError> {
        let samples = self.0.samples(&row);
        (0..samples)
            .map(|i| {
                let mut row = row.clone();
                row.sample = row.sample * samples + i;
                let key = DrawKey {
                    seed,
                    epoch: row.epoch,
                    subject: &row.subject,
                    sample: row.sample,
                };
                let draw = self.0.draw(&mut key.rng(path), &row, i);
                row.history.push(path.to_owned());
                let Some(draw) = draw else { return Ok(row) };
                row.draws.push(DrawRecord {
                    stage: path.to_owned(),
                    draw: json(&draw),
                });
                let mut row = self.0.apply(&draw, row)?;
                row.attribute_warnings(path);
                Ok(row)
            })
            .collect()
    }
    fn replay(&self, draw: &serde_json::Value, row: Row) -> Result<Row, StageError> {
        let draw = serde_json::from_value(draw.clone())
            .map_err(|e| StageError::input(format!("this is no draw of `{}`: {e}", A::NAME)))?;
        self.0.apply(&draw, row)
    }
    fn rerun(
        &self,
        path: &str,
        draw: Option<&serde_json::Value>,
        row: Row,
    ) -> Result<Vec<Row>, StageError> {
        let samples = self.0.samples(&row);
        let one = |i| {
            let mut row = row.clone();
            row.sample = row.sample * samples + i;
            row.history.push(path.to_owned());
            let Some(draw) = draw else { return Ok(row) };
            row.draws.push(DrawRecord {
                stage: path.to_owned(),
                draw: draw.clone(),
            });
            let mut row = self.replay(draw, row)?;
            row.attribute_warnings(path);
            Ok(row)
        };
        (0..samples).map(one).collect()
    }
}

/// An [`Order`] with its type erased; rows pass through.
pub struct OrderStage<O>(pub O);

impl<O: Order> AnyStage for OrderStage<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }
    fn to_json(&self) -> serde_json::Value {
        json(&self.0)
    }
    fn is_random(&self) -> bool {
        false
    }
    fn effect(&self) -> Option<Effect> {
        None
    }
    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        Ok(input.clone())
    }
    fn run(&self, path: &str, _seed: u64, mut row: Row) -> Result<Vec<Row>, StageError> {
        row.history.push(path.to_owned());
        Ok(vec![row])
    }
    fn replay(&self, _draw: &serde_json::Value, _row: Row) -> Result<Row, StageError> {
        Err(no_draw(O::NAME))
    }
    fn order(
        &self,
        path: &str,
        seed: u64,
        epoch: u64,
        subjects: &mut [usize],
        facts: &[SubjectFacts],
    ) {
        let key = DrawKey {
            seed,
            epoch,
            subject: "",
            sample: 0,
        };
        self.0.order(&mut key.rng(path), subjects, facts);
    }
}
