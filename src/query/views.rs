//! Ready-made questions: views over the tables of all runs.
//!
//! **Order** Every view ends with `order by`, and a statement that selects columns, filters or limits keeps
//! this order: the session is told not to drop the order of subqueries. Joins, groups and windows make an order
//! of their own, so views that rank their rows have the column `rank`.

/// A view.
#[derive(Debug)]
pub(super) struct View {
    /// Name in SQL.
    pub(super) name: &'static str,
    /// Meaning: one row a what.
    pub(super) doc: &'static str,
    /// Tables without which the view does not exist; one of them is enough.
    pub(super) needs: &'static [&'static str],
    /// The question; tables are those of the schema `every_run`, where each has the columns of the run.
    pub(super) sql: &'static str,
    /// Columns behind those of the run: name, unit, meaning.
    pub(super) columns: &'static [(&'static str, &'static str, &'static str)],
}

/// Every view.
pub(super) const VIEWS: [View; 7] = [
    View {
        name: "leaderboard",
        doc: "One row a run, split and checkpoint: its mean scores, the best run first.",
        needs: &["scores"],
        sql: "with classes as (
  select run, pipeline, fold, seed, split, checkpoint, modality, class,
         avg(dice) as dice, avg(hd95_mm) as hd95_mm, avg(assd_mm) as assd_mm, count(*) filter (where missed) as missed
  from every_run.scores where class_id > 0
  group by run, pipeline, fold, seed, split, checkpoint, modality, class),
cases as (
  select run, split, checkpoint, count(distinct subject_id) as subjects
  from every_run.scores where class_id > 0 group by run, split, checkpoint),
means as (
  select run, pipeline, fold, seed, split, checkpoint, avg(dice) as mean_dice, min(dice) as worst_class_dice,
         avg(hd95_mm) as mean_hd95_mm, avg(assd_mm) as mean_assd_mm, sum(missed) as missed
  from classes group by run, pipeline, fold, seed, split, checkpoint),
regions as (
  select run, split, checkpoint, avg(dice) as mean_region_dice from (
    select run, split, checkpoint, modality, class, avg(dice) as dice
    from every_run.scores where class_id < 0 group by run, split, checkpoint, modality, class)
  group by run, split, checkpoint)
select m.run, m.pipeline, m.fold, m.seed, m.split, m.checkpoint,
       rank() over (partition by m.split, m.checkpoint order by m.mean_dice desc nulls last) as rank,
       c.subjects, m.mean_dice, m.worst_class_dice, m.mean_hd95_mm, m.mean_assd_mm, m.missed, r.mean_region_dice
from means m join cases c on m.run = c.run and m.split = c.split and m.checkpoint = c.checkpoint
left join regions r on m.run = r.run and m.split = r.split and m.checkpoint = r.checkpoint
order by m.split, m.checkpoint, rank, m.run",
        columns: &[
            ("split", "", "Part of the cohort: train, validation or test."),
            ("checkpoint", "", "Weights the predictions were made with: best, last or ensemble."),
            ("rank", "", "Place of the run by its mean Dice, 1 for the best, within split and checkpoint."),
            ("subjects", "subjects", "Subjects scored."),
            ("mean_dice", "1", "Mean Dice: over subjects for each modality and class, then over those."),
            ("worst_class_dice", "1", "Lowest mean Dice of a modality and class."),
            ("mean_hd95_mm", "mm", "Mean HD95 likewise; null where it was not wanted."),
            ("mean_assd_mm", "mm", "Mean ASSD likewise; null where it was not wanted."),
            ("missed", "", "Times a class of the truth was missed as a whole: its distances are null."),
            ("mean_region_dice", "1", "Mean Dice of regions (`train.regions`, `score.regions`) likewise, in no other column; null without regions."),
        ],
    },
    View {
        name: "worst_subjects",
        doc: "One row a subject and prediction head: its mean Dice and worst class, the lowest first.",
        needs: &["scores"],
        sql: "select run, pipeline, fold, seed, split, checkpoint,
       row_number() over (partition by run, split, checkpoint order by avg(dice) asc nulls last, subject_id, modality) as rank,
       subject_id, modality, avg(dice) as mean_dice, min(dice) as worst_dice,
       first_value(class order by dice asc nulls last, class) as worst_class,
       max(hd95_mm) as worst_hd95_mm, count(*) filter (where missed) as missed
from every_run.scores where class_id > 0
group by run, pipeline, fold, seed, split, checkpoint, subject_id, modality
order by run, split, checkpoint, rank",
        columns: &[
            ("split", "", "Part of the cohort: train, validation or test."),
            ("checkpoint", "", "Weights the prediction was made with: best, last or ensemble."),
            ("rank", "", "1 for the lowest mean Dice within run, split and checkpoint."),
            ("subject_id", "", "The subject's id."),
            ("modality", "", "Modality whose prediction head made the label map."),
            ("mean_dice", "1", "Mean Dice over classes."),
            ("worst_dice", "1", "Lowest Dice of a class."),
            ("worst_class", "", "The class with the lowest Dice."),
            ("worst_hd95_mm", "mm", "Largest HD95 of a class; null where it was not wanted."),
            ("missed", "classes", "Classes of the truth that were missed as a whole."),
        ],
    },
    View {
        name: "class_progress",
        doc: "One row a validation, modality and class or region: Dice over the steps of training.",
        needs: &["metrics"],
        sql: "with dice as (
  select run, pipeline, fold, seed, step, epoch, modality, class, avg(value) as dice
  from every_run.metrics where name = 'dice' and split = 'validation'
  group by run, pipeline, fold, seed, step, epoch, modality, class)
select run, pipeline, fold, seed, step, epoch, modality, class, dice,
       dice - lag(dice) over (partition by run, modality, class order by step) as change,
       max(dice) over (partition by run, modality, class order by step) as best_so_far
from dice order by run, modality, class, step",
        columns: &[
            ("step", "steps", "Optimiser steps done."),
            ("epoch", "epochs", "Pass over the data, from 0."),
            ("modality", "", "Modality (prediction head)."),
            ("class", "", "Class or region."),
            ("dice", "1", "Mean Dice over the validation subjects."),
            ("change", "1", "Difference to the validation before; null for the first."),
            ("best_so_far", "1", "Highest Dice of this class up to here."),
        ],
    },
    View {
        name: "pseudo_label_quality",
        doc: "One row a step and class: how many of the teacher's voxels were kept, from which confidence.",
        needs: &["metrics"],
        sql: "select run, pipeline, fold, seed, step, epoch, class,
       avg(value) filter (where name = 'kept_fraction') as kept_fraction,
       avg(value) filter (where name = 'threshold') as threshold
from every_run.metrics where name in ('kept_fraction', 'threshold') and split = 'train'
group by run, pipeline, fold, seed, step, epoch, class
order by run, step, class",
        columns: &[
            ("step", "steps", "Optimiser steps done."),
            ("epoch", "epochs", "Pass over the data, from 0."),
            ("class", "", "Class that the teacher predicted."),
            ("kept_fraction", "1", "Share of the voxels of the class that were kept; null where none was predicted."),
            ("threshold", "1", "Confidence a voxel needed to be kept."),
        ],
    },
    View {
        name: "stage_time",
        doc: "One row a node of the graph: its rates, and whether it worked or waited, the busiest first.",
        needs: &["edges"],
        sql: "select run, pipeline, fold, seed,
       row_number() over (partition by run order by busy_seconds desc, node) as rank, node, rows, bytes, failures, busy_seconds, starved_seconds, blocked_seconds,
       busy_seconds / nullif(sum(busy_seconds) over (partition by run), 0) as busy_share,
       rows / nullif(busy_seconds, 0) as rows_per_busy_second,
       bytes / 1e6 / nullif(busy_seconds, 0) as mb_per_busy_second,
       case when blocked_seconds > busy_seconds and blocked_seconds > starved_seconds then 'blocked'
            when starved_seconds > busy_seconds then 'starved' else 'busy' end as state
from every_run.edges order by run, rank",
        columns: &[
            ("rank", "", "1 for the node with most work within the run."),
            ("node", "", "Stage path in the pipeline, such as `stages[1].resample`."),
            ("rows", "rows", "Rows sent on."),
            ("bytes", "bytes", "Bytes of voxels sent on."),
            ("failures", "rows", "Rows that failed here."),
            ("busy_seconds", "s", "Time spent working, summed over workers."),
            ("starved_seconds", "s", "Time spent waiting for input, summed over workers."),
            ("blocked_seconds", "s", "Time spent waiting for room downstream, summed over workers."),
            ("busy_share", "1", "Share of the run's work."),
            ("rows_per_busy_second", "rows/s", "Rows a second of work."),
            ("mb_per_busy_second", "MB/s", "Megabytes (10^6) of voxels a second of work."),
            ("state", "", "What the node did most: busy, starved or blocked."),
        ],
    },
    View {
        name: "cohort",
        doc: "One row a subject and modality: what it is, what was measured of it, how it scored.",
        needs: &["subjects"],
        sql: "with measured as (
  select run, subject_id, modality,
         avg(value) filter (where name = 'mean') as mean, avg(value) filter (where name = 'sd') as sd,
         avg(value) filter (where name = 'min') as min, avg(value) filter (where name = 'max') as max,
         avg(value) filter (where name = 'snr') as snr, avg(value) filter (where name = 'noise_sd') as noise_sd,
         avg(value) filter (where name = 'entropy_bits') as entropy_bits,
         avg(value) filter (where name = 'foreground_share') as foreground_share,
         avg(value) filter (where name = 'nan_share') as nan_share
  from every_run.quality group by run, subject_id, modality),
scored as (
  select run, subject_id, modality, avg(dice) as mean_dice, min(dice) as worst_dice, max(hd95_mm) as worst_hd95_mm,
         count(*) filter (where missed) as missed
  from every_run.scores s where class_id > 0 and checkpoint in ('best', 'ensemble')
  group by run, subject_id, modality),
warned as (
  select run, subject_id, count(*) as warnings from every_run.warnings group by run, subject_id),
present as (
  select run, pipeline, fold, seed, subject_id, patient, split, labelled, status, orientation, shape_x, shape_y, shape_z,
         spacing_x_mm, spacing_y_mm, spacing_z_mm, unnest(modalities) as modality
  from every_run.subjects)
select p.run, p.pipeline, p.fold, p.seed, p.subject_id, p.patient, p.split, p.labelled, p.status, p.modality,
       p.orientation, p.shape_x, p.shape_y, p.shape_z, p.spacing_x_mm, p.spacing_y_mm, p.spacing_z_mm,
       m.mean, m.sd, m.min, m.max, m.snr, m.noise_sd, m.entropy_bits, m.foreground_share, m.nan_share,
       s.mean_dice, s.worst_dice, s.worst_hd95_mm, s.missed, coalesce(w.warnings, 0) as warnings, f.cause as failure
from present p
left join measured m on m.run = p.run and m.subject_id = p.subject_id and m.modality = p.modality
left join scored s on s.run = p.run and s.subject_id = p.subject_id and (s.modality = p.modality or s.modality = 'joint')
left join warned w on w.run = p.run and w.subject_id = p.subject_id
left join every_run.failures f on f.run = p.run and f.subject_id = p.subject_id
order by p.run, p.subject_id, p.modality",
        columns: &[
            ("subject_id", "", "The subject's id, unique in the cohort."),
            ("patient", "", "The patient that the subject shows."),
            ("split", "", "Part of the cohort: train, validation or test."),
            ("labelled", "", "Whether training learns from its labels."),
            ("status", "", "ok, failed or left_out."),
            ("modality", "", "A modality that is present."),
            ("orientation", "", "Directions in which x, y and z of the first image grow."),
            ("shape_x", "voxels", "Voxels along x of the first image, as stored."),
            ("shape_y", "voxels", "Voxels along y of the first image, as stored."),
            ("shape_z", "voxels", "Voxels along z of the first image, as stored."),
            ("spacing_x_mm", "mm", "Distance of voxel centres along x."),
            ("spacing_y_mm", "mm", "Distance of voxel centres along y."),
            ("spacing_z_mm", "mm", "Distance of voxel centres along z."),
            ("mean", "", "Mean of the image where the step `quality` measured it."),
            ("sd", "", "Standard deviation likewise."),
            ("min", "", "Smallest value likewise."),
            ("max", "", "Largest value likewise."),
            ("snr", "", "Signal-to-noise ratio likewise."),
            ("noise_sd", "", "Standard deviation of the noise likewise."),
            ("entropy_bits", "bits", "Entropy of the histogram likewise."),
            ("foreground_share", "1", "Share of the voxels that are foreground, likewise."),
            ("nan_share", "1", "Share of the voxels that are not finite, likewise."),
            ("mean_dice", "1", "Mean Dice over classes of the best checkpoint or the ensemble; null without scores."),
            ("worst_dice", "1", "Lowest Dice of a class likewise."),
            ("worst_hd95_mm", "mm", "Largest HD95 of a class likewise."),
            ("missed", "classes", "Classes of the truth that were missed as a whole."),
            ("warnings", "", "Warnings about the subject."),
            ("failure", "", "Why the subject failed; null if it did not."),
        ],
    },
    View {
        name: "cross_validation",
        doc: "One row a class or region of a cross-validation: mean and spread of its scores over the folds. `run` is the folder that holds them.",
        needs: &["scores"],
        sql: "with classes as (
  select run, pipeline, fold, seed, split, checkpoint, modality, class, class_id,
         avg(dice) as dice, avg(hd95_mm) as hd95_mm,
         count(distinct subject_id) as subjects, count(*) filter (where missed) as missed
  from every_run.scores where class_id <> 0 and fold is not null
  group by run, pipeline, fold, seed, split, checkpoint, modality, class, class_id),
per_fold as (
  select * from classes
  union all
  select run, pipeline, fold, seed, split, checkpoint, null, null, null,
         avg(dice), avg(hd95_mm), max(subjects), sum(missed)
  from classes where class_id > 0 group by run, pipeline, fold, seed, split, checkpoint),
grouped as (
  select coalesce(nullif(regexp_replace(run, '/?[^/]*$', ''), ''), '.') as of_group, * from per_fold)
select of_group as run, pipeline, cast(null as bigint) as fold, seed, split, checkpoint, modality, class,
       count(dice) as folds, sum(subjects) as subjects,
       avg(dice) as mean_dice, stddev_samp(dice) as sd_dice, min(dice) as worst_fold_dice, max(dice) as best_fold_dice,
       avg(hd95_mm) as mean_hd95_mm, stddev_samp(hd95_mm) as sd_hd95_mm, sum(missed) as missed
from grouped group by of_group, pipeline, seed, split, checkpoint, modality, class, class_id
order by of_group, pipeline, split, checkpoint, modality nulls last, class_id < 0 nulls last,
         case when class_id < 0 then -class_id else class_id end nulls last",
        columns: &[
            ("split", "", "Part of the cohort: validation, of which each fold has its own, or test, which they share."),
            ("checkpoint", "", "Weights the predictions were made with: best, last or ensemble."),
            ("modality", "", "Modality (prediction head); null for the mean over all."),
            ("class", "", "Class or region; null for the mean over all classes."),
            ("folds", "folds", "Folds with a Dice of the class."),
            ("subjects", "subjects", "Subjects scored, summed over folds."),
            ("mean_dice", "1", "Mean over folds of the mean Dice over subjects."),
            ("sd_dice", "1", "Standard deviation over folds (n - 1) of the mean Dice; null for one fold."),
            ("worst_fold_dice", "1", "Mean Dice of the worst fold."),
            ("best_fold_dice", "1", "Mean Dice of the best fold."),
            ("mean_hd95_mm", "mm", "Mean over folds of the mean HD95; null where it was not wanted."),
            ("sd_hd95_mm", "mm", "Standard deviation over folds (n - 1) of the mean HD95."),
            ("missed", "", "Times the class was missed as a whole, summed over folds."),
        ],
    },
];
