//! The end of a training: the best and the last checkpoint are scored.

use super::super::inference::Inference;
use super::super::postprocess::choose_for;
use super::super::pseudo_labels::Drawing;
use super::Training;
use crate::error::Error;
use crate::sink::{ScoreRow, write_table};
use crate::train::checkpoint;
use crate::train::postprocessing::PostProcessing;

impl Training<'_> {
    /// Scores the last and the best checkpoint, and draws the final pseudo-labels.
    pub(super) fn finish(&mut self, unlabelled: &[usize]) -> Result<(), Error> {
        let epoch = self.metrics.last().map_or(0, |m| m.epoch as u64);
        let step = self.trainers.first.step;
        let first = &self.trainers.first;
        if let (Some(teacher), Some(thresholds)) = (&first.teacher, &first.thresholds) {
            let thresholds = thresholds.current();
            let drawing = Drawing {
                epoch,
                step,
                thresholds,
            };
            (self.cx).draw_pseudo_labels(teacher, self.window, &drawing, unlabelled)?;
        }
        let best = checkpoint::best(&self.cx.folder.join("checkpoints"))?;
        let last_is_best = self.best.as_ref().is_some_and(|b| b.step == step);
        let last = self.trainers.first.predictor();
        let opened = match last_is_best {
            true => None,
            false => {
                let (model, _) = checkpoint::open(&best, &self.cx.device)?;
                // As it was validated.
                Some(model.with_precision(self.section.precision)?)
            }
        };
        let plain = Inference::of(opened.as_ref().unwrap_or(last), self.window);
        let postprocessing = match self.section.postprocess {
            true => choose_for(self.cx, plain, &best)?,
            false => PostProcessing::NONE,
        };
        let inference = Inference {
            postprocessing: &postprocessing,
            ..plain
        };
        let mut scores = self.cx.score(inference, epoch, "best")?;
        let of_last = if last_is_best {
            // One checkpoint is both: its scores are written under both names.
            let renamed = |s: &ScoreRow| ScoreRow {
                checkpoint: "last".to_owned(),
                ..s.clone()
            };
            scores.iter().map(renamed).collect()
        } else {
            self.cx
                .score(Inference::of(last, self.window), epoch, "last")?
        };
        scores.extend(of_last);
        self.write_metrics()?;
        write_table(&self.cx.folder.join("scores.parquet"), &scores)?;
        Ok(())
    }
}
