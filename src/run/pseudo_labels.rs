//! Pseudo-labels that are kept: of the unlabelled subjects at the end of a training, and of the subjects of a
//! run that predicts.

use super::context::RunContext;
use super::evaluate::HeadResult;
use super::inference::Inference;
use crate::error::Error;
use crate::metric::Wanted;
use crate::sink::{PseudoLabelRow, SinkError, write_table};
use crate::train::checkpoint::{self, State};
use crate::train::infer::Window;
use crate::train::model::Model;
use crate::train::objective::threshold::{ThresholdSpec, Thresholds};
use crate::volume::{Dtype, Grid, Scaling, Volume, VolumeError};
use serde_json::Value;
use std::path::Path;

/// By what pseudo-labels are drawn, beside the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Pass over the data, from 0.
    pub epoch: u64,
    /// Optimiser steps that the network has seen; of an ensemble the most.
    pub step: u64,
    /// Confidence from which a voxel is believed, one value a class.
    pub thresholds: Vec<f32>,
}

impl Drawing {
    /// How a prediction by these checkpoints draws: by the confidence that the pipeline fixes, else by what each
    /// class needed when their trainings ended, the mean over checkpoints.
    ///
    /// **Errors** if a checkpoint cannot be read, or neither says a confidence.
    pub fn of_checkpoints(
        folders: &[&Path],
        classes: usize,
        fixed: Option<&ThresholdSpec>,
    ) -> Result<Self, Error> {
        let states: Vec<State<Value>> = (folders.iter())
            .map(|folder| checkpoint::state(folder))
            .collect::<Result<_, _>>()?;
        let step = states.iter().map(|state| state.step).max().unwrap_or(0);
        if let Some(fixed) = fixed {
            let thresholds = Thresholds::new(fixed.clone(), classes).current();
            return Ok(Self {
                epoch: 0,
                step,
                thresholds,
            });
        }
        let mut thresholds = vec![0.0; classes];
        for (folder, state) in folders.iter().zip(&states) {
            let Some(own) = state.thresholds.as_ref().map(Thresholds::current) else {
                return Err(Error::run(format!(
                    "{}: was trained without pseudo-labels, so it does not say which confidence `sinks.pseudo_labels` needs; write `pseudo_label: {{ threshold: {{ fixed: 0.9 }} }}`",
                    folder.display()
                )));
            };
            let each = thresholds.iter_mut().zip(own);
            each.for_each(|(mean, own)| *mean += own / folders.len() as f32);
        }
        Ok(Self {
            epoch: 0,
            step,
            thresholds,
        })
    }

    /// The rows of a subject, one a head.
    ///
    /// **Errors** if confidence and label map of a head differ in size.
    pub fn rows(
        &self,
        subject: &str,
        results: &[HeadResult],
    ) -> Result<Vec<PseudoLabelRow>, SinkError> {
        results.iter().map(|r| self.row(subject, r)).collect()
    }

    fn row(&self, subject: &str, result: &HeadResult) -> Result<PseudoLabelRow, SinkError> {
        let classes = result.label.as_slice::<u8>().unwrap_or_default();
        let confidence = quantised(&result.confidence, result.label.grid())?;
        Ok(PseudoLabelRow {
            subject_id: subject.to_owned(),
            epoch: self.epoch as i64,
            modality: result.head.clone(),
            teacher_step: self.step as i64,
            kept_fraction: kept_fraction(classes, &result.confidence, &self.thresholds),
            label: result.label.clone(),
            confidence: Some(confidence),
            thresholds: self.thresholds.clone(),
        })
    }
}

impl RunContext {
    /// Draws the pseudo-labels of subjects and keeps them, where the pipeline asks for them.
    ///
    /// **Errors** when the run is stopped or an output cannot be written.
    pub fn draw_pseudo_labels(
        &self,
        teacher: &Model,
        window: Window,
        drawing: &Drawing,
        subjects: &[usize],
    ) -> Result<(), Error> {
        let Some(formats) = self.plan.pipeline.sinks.pseudo_labels.clone() else {
            return Ok(());
        };
        let part = format!("epoch-{}", drawing.epoch);
        self.evaluate(
            Inference::of(teacher, window),
            &Wanted::default(),
            subjects,
            "pseudo_label",
            |record, results| {
                let rows = drawing.rows(&record.id, results)?;
                let place = self.join_volume("pseudo_labels", &part, &record.id);
                if formats.parquet && !rows.is_empty() {
                    write_table(&place.with_added_extension("parquet"), &rows)?;
                }
                self.keep_nifti(&formats, &place, record, results).map(drop)
            },
        )
    }
}

/// Confidence as bytes: stored 255 stands for probability 1.
///
/// **Errors** when the values are not as many as the grid's voxels.
fn quantised(confidence: &[f32], grid: &Grid) -> Result<Volume, VolumeError> {
    let bytes: Vec<u8> = confidence
        .iter()
        .map(|p| (p.clamp(0.0, 1.0) * 255.0).round() as u8)
        .collect();
    Volume::try_new(
        bytes.into(),
        Dtype::U8,
        Scaling {
            slope: 1.0 / 255.0,
            intercept: 0.0,
        },
        *grid,
    )
}

/// For each class the fraction of its predicted voxels whose confidence reaches the class's threshold; 0 where
/// none was predicted.
fn kept_fraction(classes: &[u8], confidence: &[f32], thresholds: &[f32]) -> Vec<f32> {
    let mut counts = vec![(0u64, 0u64); thresholds.len()];
    for (&class, &p) in classes.iter().zip(confidence) {
        let count = &mut counts[usize::from(class)];
        count.1 += 1;
        count.0 += u64::from(p >= thresholds[usize::from(class)]);
    }
    let fraction = |(kept, all): (u64, u64)| {
        if all == 0 {
            0.0
        } else {
            kept as f32 / all as f32
        }
    };
    counts.into_iter().map(fraction).collect()
}
