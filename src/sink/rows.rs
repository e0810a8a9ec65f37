//! The output tables, each defined once: Rust row, columns, units, documentation.

use super::table::{ColumnDef, TableDef};
use super::{SinkError, cell, cell::Cell};
use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A row of an output table.
pub trait TableRow: Sized {
    /// The table.
    const TABLE: &'static TableDef;
    /// Rows as one record batch with the table's schema.
    ///
    /// **Errors** only where a volume is too large for Parquet.
    fn batch(rows: &[Self]) -> Result<RecordBatch, SinkError>;
    /// Rows of a record batch.
    ///
    /// **Errors** name the column that is absent or of another type.
    fn read(batch: &RecordBatch) -> Result<Vec<Self>, SinkError>;
}

/// Whether the word `volatile` stands behind a column.
macro_rules! volatile {
    () => {
        false
    };
    (volatile) => {
        true
    };
}

/// Defines a table and its row: fields are `/// meaning`, `name: type => "unit"`, and `volatile`
/// behind the unit where a value depends on who did the work and when.
macro_rules! tables {
    ($(
        $(#[doc = $table_doc:literal])+
        #[derive($($derive:ident),+)]
        $row:ident => $table:ident $name:literal version $version:literal {
            $($(#[doc = $doc:literal])+ $column:ident: $type:ty => $unit:literal $($volatile:ident)?,)+
        }
    )+) => {$(
        $(#[doc = $table_doc])+
        #[derive($($derive),+)]
        pub struct $row {
            $($(#[doc = $doc])+ pub $column: $type,)+
        }

        $(#[doc = $table_doc])+
        pub const $table: TableDef = TableDef {
            name: $name,
            version: $version,
            doc: concat!($($table_doc),+).trim_ascii(),
            columns: &[$(ColumnDef {
                name: stringify!($column),
                dtype: <$type as Cell>::TYPE,
                nullable: <$type as Cell>::NULLABLE,
                unit: $unit,
                volatile: volatile!($($volatile)?),
                doc: concat!($($doc),+).trim_ascii(),
            }),+],
        };

        impl TableRow for $row {
            const TABLE: &'static TableDef = &$table;

            fn batch(rows: &[Self]) -> Result<RecordBatch, SinkError> {
                let columns = vec![$(<$type as Cell>::array(rows.iter().map(|r| &r.$column))?),+];
                Ok(RecordBatch::try_new($table.arrow_schema(), columns)
                    .expect("the columns are built from the schema"))
            }

            fn read(batch: &RecordBatch) -> Result<Vec<Self>, SinkError> {
                $(let $column = cell::column::<$type>(batch, stringify!($column))?;)+
                (0..batch.num_rows())
                    .map(|i| Ok(Self { $($column: <$type as Cell>::value($column, i)?,)+ }))
                    .collect()
            }
        }
    )+};
}

mod fingerprint;
mod label_map;
mod part;
mod view;

pub use fingerprint::{FINGERPRINT, FINGERPRINT_CLASSES, FingerprintClassRow, FingerprintRow};
pub use label_map::{PREDICTIONS, PSEUDO_LABELS, PredictionRow, PseudoLabelRow};
pub use part::{PARTS, PartRow};
pub use view::{VIEWS, ViewRow};

tables! {
    /// One row a subject of the cohort: what it is, and how its preparation went.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    SubjectRow => SUBJECTS "subjects" version 2 {
        /// The subject's id, unique in the cohort.
        subject_id: String => "",
        /// The patient that the subject shows; its id where the source names no patient.
        patient: String => "",
        /// What the placeholders of the source's paths stand for, by name, such as `session`.
        entities: BTreeMap<String, String> => "",
        /// Name of the cohort.
        cohort: String => "",
        /// Part of the cohort: train, validation or test.
        split: String => "",
        /// Whether training learns from its labels. Subjects that validate and test are scored against theirs all the same.
        labelled: bool => "",
        /// Modalities present, in the order of the source.
        modalities: Vec<String> => "",
        /// Voxels along x of the first image present, as stored.
        shape_x: i32 => "voxels",
        /// Voxels along y of the first image present, as stored.
        shape_y: i32 => "voxels",
        /// Voxels along z of the first image present, as stored.
        shape_z: i32 => "voxels",
        /// Distance of voxel centres along x of the first image present.
        spacing_x_mm: f64 => "mm",
        /// Distance of voxel centres along y of the first image present.
        spacing_y_mm: f64 => "mm",
        /// Distance of voxel centres along z of the first image present.
        spacing_z_mm: f64 => "mm",
        /// Directions in which x, y and z of the first image grow, such as RAS or LPI.
        orientation: String => "",
        /// BLAKE3 over path, size and modification time of each source file of the subject (of an object in a store:
        /// URL, size and version) and over how its labels are read. The content of the files is not in it.
        digest: String => "",
        /// Voxels along x after preparation; null before it or where it failed.
        prepared_shape_x: Option<i32> => "voxels",
        /// Voxels along y after preparation; null before it or where it failed.
        prepared_shape_y: Option<i32> => "voxels",
        /// Voxels along z after preparation; null before it or where it failed.
        prepared_shape_z: Option<i32> => "voxels",
        /// Time to read and prepare the subject; null where it was not done or came from a cache.
        seconds: Option<f64> => "s" volatile,
        /// Bytes of all voxels as read.
        bytes: i64 => "bytes",
        /// ok; failed: then the table of failures holds the cause; left_out: a step dropped it.
        status: String => "",
    }

    /// One row a figure that a step measured of an image: noise, percentiles and so on.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    QualityRow => QUALITY "quality" version 1 {
        /// The subject's id.
        subject_id: String => "",
        /// Sample of the subject, from 0; above it where a step made several rows of one.
        sample: i32 => "",
        /// How many steps of the preparation came before, so that two measurements are told apart.
        step: i32 => "steps",
        /// The modality.
        modality: String => "",
        /// What was measured: mean, sd, min, max, `p<percentile>`, nan_share, foreground_share, noise_sd,
        /// snr or entropy_bits.
        name: String => "",
        /// The figure, in the units the image had then.
        value: f64 => "",
    }

    /// One row a number measured: losses, scores and schedules over the steps of training.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    MetricRow => METRICS "metrics" version 1 {
        /// Optimiser steps done, from 0.
        step: i64 => "steps",
        /// Pass over the data, from 0.
        epoch: i64 => "epochs",
        /// Part of the cohort it was measured on: train, validation or test.
        split: String => "",
        /// The subject, where the number belongs to one.
        subject_id: Option<String> => "",
        /// The modality (prediction head), where the number belongs to one.
        modality: Option<String> => "",
        /// The class or region, where the number belongs to one.
        class: Option<String> => "",
        /// What was measured: loss (total), `loss_<term>`, dice, mean_dice (over heads and classes; over
        /// heads and regions where there are any), lr (learning rate) and so on.
        name: String => "",
        /// The number; its unit stands beside it.
        value: f64 => "",
        /// Unit of the value; 1 for ratios and losses.
        unit: String => "",
    }

    /// One row a subject, prediction head and class or region: agreement of prediction and truth.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    ScoreRow => SCORES "scores" version 3 {
        /// The subject's id.
        subject_id: String => "",
        /// Part of the cohort: train, validation or test.
        split: String => "",
        /// Weights the prediction was made with: best (on validation), last, or ensemble.
        checkpoint: String => "",
        /// Modality whose prediction head made the label map.
        modality: String => "",
        /// Class number in the label map; of a region, which is a union of classes, -1, -2 and so on: first those of
        /// `train.regions` in the order in which they are painted, then those of `score.regions`. `where class_id > 0` selects classes,
        /// `where class_id < 0` regions.
        class_id: i32 => "",
        /// Name of the class or region; no region is named as a class.
        class: String => "",
        /// Dice coefficient 2|P∩T| / (|P| + |T|) over the whole volume; null where the class is in
        /// neither prediction nor truth, 0 where it is in one of them only.
        dice: Option<f64> => "1",
        /// Volume of the class in the truth.
        truth_ml: f64 => "ml",
        /// Volume of the class in the prediction.
        predicted_ml: f64 => "ml",
        /// Voxels of the class in the truth.
        truth_voxels: i64 => "voxels",
        /// Voxels of the class in the prediction.
        predicted_voxels: i64 => "voxels",
        /// `true` if the class is in the truth and not in the prediction: its distances are null (unless
        /// `score.missed_distance` is `image_diagonal`), so an average of them leaves it out. Count it
        /// beside them: `select avg(hd95_mm), count(*) filter (where missed) from scores`.
        missed: bool => "",
        /// Relative difference of the volumes, (predicted - truth) / truth; null where the truth is empty.
        volume_difference: Option<f64> => "1",
        /// 95th percentile of the distances between the surfaces, weighted by area, the larger of both
        /// directions (surface-distance); null where not wanted, or where the class is in neither of
        /// prediction and truth; where it is in one of them, as `score.missed_distance` says.
        hd95_mm: Option<f64> => "mm",
        /// The same over border voxels, unweighted (MONAI); nulls likewise.
        hd95_monai_mm: Option<f64> => "mm",
        /// Over border voxels of both directions together (MedPy); nulls likewise.
        hd95_medpy_mm: Option<f64> => "mm",
        /// Mean distance of both surfaces to each other, weighted by area; nulls likewise.
        assd_mm: Option<f64> => "mm",
        /// Normalised surface Dice, one value a tolerance: share of both surfaces that lies within it of
        /// the other; 0 where the class is in one of prediction and truth only, empty where not
        /// wanted or where it is in neither.
        nsd: Vec<f32> => "1",
        /// Tolerances of the normalised surface Dice.
        nsd_tolerance_mm: Vec<f32> => "mm",
        /// Lesion-wise F1: connected components of the truth found, of the prediction invented; null
        /// where not wanted or where there are none.
        lesion_f1: Option<f64> => "1",
        /// Connected components of the class in the truth; null where not counted.
        truth_lesions: Option<i64> => "lesions",
        /// Components of the truth that the prediction touches; null where not counted.
        found_lesions: Option<i64> => "lesions",
        /// Components of the prediction that touch none of the truth; null where not counted.
        invented_lesions: Option<i64> => "lesions",
    }

    /// One row a prediction head and class, or region of a network that has regions: whether predictions
    /// keep its largest component alone.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    PostprocessingRow => POSTPROCESSING "postprocessing" version 1 {
        /// Modality whose prediction head makes the label map.
        modality: String => "",
        /// Class number in the label map; of regions -1, -2 and so on, as in `scores`.
        class_id: i32 => "",
        /// Name of the class or region.
        class: String => "",
        /// Validation subjects with a Dice of the class.
        subjects: i64 => "subjects",
        /// Of these, subjects in which the class has more than one component.
        changed_subjects: i64 => "subjects",
        /// Mean Dice with all components.
        dice: f64 => "1",
        /// Mean Dice with the largest component alone.
        largest_dice: f64 => "1",
        /// Whether predictions keep the largest component alone: it raises the mean Dice.
        keep_largest: bool => "",
    }

    /// One row a node of the running graph: what flowed out of it and whom it waited for.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    EdgeRow => EDGES "edges" version 1 {
        /// Stage path in the pipeline, such as `stages[1].resample`.
        node: String => "",
        /// Rows sent on.
        rows: i64 => "rows",
        /// Bytes of voxels sent on.
        bytes: i64 => "bytes",
        /// Time spent working, summed over workers.
        busy_seconds: f64 => "s" volatile,
        /// Time spent waiting for input, summed over workers.
        starved_seconds: f64 => "s" volatile,
        /// Time spent waiting for room downstream, summed over workers.
        blocked_seconds: f64 => "s" volatile,
        /// Rows that failed here.
        failures: i64 => "rows",
    }

    /// One row a subject that failed; the run went on without it.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    FailureRow => FAILURES "failures" version 1 {
        /// The subject's id.
        subject_id: String => "",
        /// Stage path in the pipeline, or source.
        stage: String => "",
        /// The whole chain of causes.
        cause: String => "",
        /// The file at fault, where one is known.
        file: Option<String> => "",
    }

    /// One row a warning: input that is suspicious and was used all the same. A subject is warned
    /// about once for each stage, modality and kind, whatever the number of epochs and workers.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    WarningRow => WARNINGS "warnings" version 1 {
        /// The subject's id; null for the run or the cohort as a whole.
        subject_id: Option<String> => "",
        /// Stage path in the pipeline, or source, train.classes, train or score.
        stage: String => "",
        /// The modality, `label` or `label.<modality>`; null for the whole subject.
        modality: Option<String> => "",
        /// Kind of the warning: header, geometry, source, label, constant_image, not_finite,
        /// no_foreground, constant_foreground, untrained_class, unscored_validation, damaged_entry or absent_modality.
        kind: String => "",
        /// What was found, and what it means.
        message: String => "",
    }
}

#[cfg(test)]
mod tests;
