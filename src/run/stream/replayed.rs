//! One view again, with the draws that were recorded of it.

use super::super::chain::{MixMode, Traced};
use super::super::failure::Failure;
use super::super::partner::{Making, Peers};
use super::super::prepare::Reading;
use super::super::recorded::Recorded;
use super::viewer::{Viewer, placed};
use crate::volume::{Row, row::DrawRecord};

/// A view as it was recorded.
#[derive(Debug, Clone, Copy)]
pub struct RecordedView<'a> {
    /// Position of the subject in the cohort.
    pub subject: usize,
    /// Pass over the data in which it was drawn.
    pub epoch: u64,
    /// Sample of the subject in this pass.
    pub sample: u32,
    /// `weak`, `strong` or `strong.<name>`.
    pub view: &'a str,
    /// What was drawn.
    pub draws: &'a [DrawRecord],
}

impl Viewer {
    /// Makes a view again from its recorded draws, by the passes in which the view was made; `None` if the
    /// steps make no such sample of the subject now.
    ///
    /// The partner of a mixing step is the recorded subject; its own draws are made from their keys.
    ///
    /// **Errors** the subject's failure; an unknown view and a record that does not fit a step are one.
    pub fn replayed(&self, view: RecordedView<'_>) -> Result<Option<Row>, Failure> {
        // How often the subject came before in the epoch is in the sample's number.
        let first = match self.samples_per_subject {
            Some(samples) => view.sample / samples.max(1),
            None => 0,
        };
        for turn in first..=view.sample {
            let made = self.preparer.with_prepared(
                view.subject,
                view.epoch,
                Reading::Parts,
                |mut row| {
                    row.sample = turn;
                    self.replayed_of(row, view, turn)
                },
            )?;
            let Some(mut rows) = made else {
                return Ok(None);
            };
            if let Some(at) = rows.iter().position(|row| row.sample == view.sample) {
                return Ok(Some(rows.swap_remove(at)));
            }
            if rows.iter().any(|row| row.sample > view.sample) {
                break;
            }
        }
        Ok(None)
    }

    /// The rows that the chains make of a prepared row with the recorded draws.
    fn replayed_of(
        &self,
        row: Row,
        view: RecordedView<'_>,
        turn: u32,
    ) -> Result<Vec<Row>, Failure> {
        let strong = self.strong.iter().find(|(name, _)| name == view.view);
        let chain = match (strong, view.view) {
            (Some((_, chain)), _) => chain,
            (None, "weak") => &self.weak,
            (None, name) => {
                let known: Vec<&str> = self.strong.iter().map(|(name, _)| &**name).collect();
                let cause = format!(
                    "the pipeline has no view `{name}`; its views are weak, {}",
                    known.join(", ")
                );
                return Err(Failure::new(&row.subject, "views", cause));
            }
        };
        // The record names partners, so nobody is drawn from.
        let peers = Peers::new(&[], &[]);
        let making = |route| Making {
            preparer: &self.preparer,
            peers: &peers,
            seed: self.seed,
            subject: view.subject,
            turn,
            route,
        };
        let (all, rest) = (
            0..self.shared.steps().len(),
            self.common..chain.steps().len(),
        );
        let mut route = vec![(&self.shared, all.clone()), (&self.weak, 0..self.common)];
        let partners = making(route.clone());
        let partner = |id: &str, row: &Row, trace: &[u32]| partners.named(id, row, trace);
        let recorded = Recorded {
            draws: view.draws,
            partner: Some(&partner),
        };
        let way = MixMode::Recorded(&recorded);
        let mut both = Vec::new();
        for row in self.shared.run_traced(Traced::new(row), all, way)? {
            both.extend(self.weak.run_traced(row, 0..self.common, way)?);
        }
        route.push((chain, rest.clone()));
        let partners = making(route);
        let partner = |id: &str, row: &Row, trace: &[u32]| partners.named(id, row, trace);
        let recorded = Recorded {
            draws: view.draws,
            partner: Some(&partner),
        };
        let mut rows = Vec::new();
        for row in both {
            rows.extend(chain.run_traced(row, rest.clone(), MixMode::Recorded(&recorded))?);
        }
        let named = rows.into_iter().map(|Traced { mut row, .. }| {
            view.view.clone_into(&mut row.view);
            // The rows that are returned must not be read for the first time later.
            row.check_bytes();
            row.draws.extend(strong.map(|(name, _)| placed(name)));
            row
        });
        Ok(named.collect())
    }
}
