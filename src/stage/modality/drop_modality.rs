//! Takes modalities away, so that a network learns to do without.

use crate::draw::{SampleRng, check_probability};
use crate::stage::{Augment, EdgeSchema, Effect, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Takes modalities of a row away at random, as if the subject never had them.
///
/// **Law** every modality that is present is taken with its own probability, independent of the
/// others, in an order that is drawn too; what would leave fewer than `keep` stays. Labels stay.
/// Behind this step rows of a batch may differ in their modalities; each pattern is a batch of its
/// own in training. **Source** modality dropout: Neverova et al., IEEE Trans. PAMI 38 (2016).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DropModality {
    /// Probability of each modality on its own.
    pub p: f64,
    /// Probabilities of single modalities, instead of `p`.
    pub each: BTreeMap<String, f64>,
    /// Modalities that stay at least, from 1; a row that arrives with fewer keeps them all.
    pub keep: usize,
}

impl Default for DropModality {
    fn default() -> Self {
        Self {
            p: 0.5,
            each: BTreeMap::new(),
            keep: 1,
        }
    }
}

/// Which modalities are taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropDraw {
    /// Modalities, in the order of the row.
    pub dropped: Vec<String>,
}

impl DropModality {
    fn probability(&self, modality: &str) -> f64 {
        self.each.get(modality).copied().unwrap_or(self.p)
    }
}

impl Augment for DropModality {
    const NAME: &'static str = "drop_modality";
    const EXAMPLE: &'static str = "{ p: 0.3, keep: 1 }";
    type Draw = DropDraw;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        check_probability(self.p)?;
        for (modality, p) in &self.each {
            check_probability(*p).map_err(|problem| format!("`each.{modality}`: {problem}"))?;
        }
        let named: Vec<String> = self.each.keys().cloned().collect();
        input.check_modalities(Some(&named))?;
        let count = input.images().count();
        if self.keep == 0 || self.keep > count.max(1) {
            return Err(format!(
                "`keep` is {}, and {count} modalities arrive; expected at least 1 and at most as many as arrive",
                self.keep
            ));
        }
        Ok(input.clone())
    }

    fn effect(&self) -> Effect {
        Effect::RowLevel
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<DropDraw> {
        // Missing modalities draw too, so that leaving one out changes no other's chance.
        let taken: Vec<bool> = row
            .images
            .iter()
            .map(|image| rng.chance(self.probability(&image.name)))
            .collect();
        let is_present = |i: &usize| row.images[*i].volume.is_some();
        let present = (0..taken.len()).filter(is_present).count();
        let order = rng.permutation(taken.len());
        let mut dropped: Vec<usize> = order
            .into_iter()
            .filter(|&i| taken[i] && is_present(&i))
            .take(present.saturating_sub(self.keep))
            .collect();
        dropped.sort_unstable();
        let dropped: Vec<String> = dropped
            .into_iter()
            .map(|i| row.images[i].name.clone())
            .collect();
        (!dropped.is_empty()).then_some(DropDraw { dropped })
    }

    fn apply(&self, draw: &DropDraw, mut row: Row) -> Result<Row, StageError> {
        for name in &draw.dropped {
            let image = row.images.iter_mut().find(|c| &c.name == name);
            if image.and_then(|c| c.volume.take()).is_none() {
                return Err(StageError::input(format!(
                    "the draw takes modality `{name}` away, which this row lacks; replay it on the row it was made for"
                )));
            }
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::DrawKey;
    use crate::stage::intensity::tests::row_of;
    use crate::volume::Channel;

    fn row() -> Row {
        let mut row = row_of(&[1.0, 2.0]);
        for name in ["mr", "pet"] {
            let volume = row.images[0].volume.clone();
            row.images.push(Channel {
                name: name.into(),
                volume,
            });
        }
        row
    }

    fn dropped(stage: &DropModality, row: &Row, sample: u32) -> Vec<String> {
        let key = DrawKey {
            seed: 3,
            epoch: 0,
            subject: "one",
            sample,
        };
        let draw = stage.draw(&mut key.rng("drop_modality"), row, 0);
        draw.map_or_else(Vec::new, |d| d.dropped)
    }

    #[test]
    fn modalities_go_with_their_probabilities_until_enough_are_left() {
        let stage = DropModality {
            p: 0.2,
            each: [("pet".to_owned(), 0.6)].into(),
            keep: 1,
        };
        let n = 4000;
        let draws: Vec<_> = (0..n).map(|i| dropped(&stage, &row(), i)).collect();
        let share = |name: &str| {
            draws.iter().filter(|d| d.iter().any(|m| m == name)).count() as f64 / f64::from(n)
        };
        // All three fall together with 0.2 * 0.2 * 0.6; then one of them stays, each as often.
        let spared = 0.024 / 3.0;
        for (name, p) in [("ct", 0.2), ("mr", 0.2), ("pet", 0.6)] {
            let expected = p - spared;
            let margin = 4.0 * (expected * (1.0 - expected) / f64::from(n)).sqrt();
            assert!(
                (share(name) - expected).abs() < margin,
                "{name} {}",
                share(name)
            );
        }
        assert!(draws.iter().all(|d| d.len() < 3) && draws.iter().any(|d| d.len() == 2));
    }

    #[test]
    fn what_is_missing_counts_for_nothing_and_few_are_kept() {
        let stage = DropModality {
            p: 1.0,
            keep: 2,
            ..DropModality::default()
        };
        let mut row = row();
        assert_eq!(dropped(&stage, &row, 0).len(), 1);
        row.images[1].volume = None;
        assert!(dropped(&stage, &row, 0).is_empty());
        let draw = DropDraw {
            dropped: vec!["mr".into()],
        };
        let error = stage.apply(&draw, row).unwrap_err().to_string();
        assert!(error.contains("`mr`"), "{error}");
    }
}
