//! The tables of label maps.

use super::*;
use crate::volume::Volume;

tables! {
    /// One row a subject, head and drawing: a label map that training took for true, or that a prediction made to be
    /// taken for true, with the confidence of every voxel.
    #[derive(Debug, Clone)]
    PseudoLabelRow => PSEUDO_LABELS "pseudo_labels" version 1 {
        /// The subject's id.
        subject_id: String => "",
        /// Pass over the data in which it was drawn, from 0; 0 in a prediction.
        epoch: i64 => "epochs",
        /// Modality whose prediction head drew it.
        modality: String => "",
        /// Optimiser steps the teacher had seen; of an ensemble the most.
        teacher_step: i64 => "steps",
        /// Class numbers.
        label: Volume => "",
        /// Probability of the class drawn as u8: stored 0 is 0, stored 255 is 1.
        confidence: Option<Volume> => "1",
        /// Confidence a voxel needed to be kept, one value a class.
        thresholds: Vec<f32> => "1",
        /// Share of the voxels of a class that were kept, one value a class.
        kept_fraction: Vec<f32> => "1",
    }

    /// One row a subject and prediction head: the label map predicted.
    #[derive(Debug, Clone)]
    PredictionRow => PREDICTIONS "predictions" version 1 {
        /// The subject's id.
        subject_id: String => "",
        /// Part of the cohort: train, validation or test.
        split: String => "",
        /// Pass over the data after which it was made, from 0.
        epoch: i64 => "epochs",
        /// Modality whose prediction head made it.
        modality: String => "",
        /// Weights it was made with: best (on validation) or last.
        checkpoint: String => "",
        /// Class numbers.
        label: Volume => "",
    }
}
