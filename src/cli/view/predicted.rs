//! The page of a run: its predictions against the truth, the worst first.

use super::args::{MEMORY, ViewArgs};
use super::nothing;
use super::subject::{choose, legend, unknown_subject};
use super::unscored;
use crate::cli::{open, read};
use crate::error::Error;
use crate::metric::mean;
use crate::plan::Plan;
use crate::run::chain::causes;
use crate::run::counters::Counters;
use crate::run::folder;
use crate::run::prepare::Preparer;
use crate::sink::prepared::file_stem;
use crate::sink::{Ledger, PredictionRow, ScoreRow, TableRow as _, read_run_table, read_table};
use crate::spec::{SourceFile, counted};
use crate::store;
use crate::view::errors::{CONFUSED, Case, INVENTED, MISSED};
use crate::view::{Band, Page};
use crate::volume::{Channel, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Subjects shown where none is named, each by its worst slice.
const SUBJECTS: usize = 6;
/// Slices shown of a subject that is named.
const SLICES: usize = 8;
/// Pixels of one picture.
const WIDTH: usize = 260;

/// The page of a run folder, and a name for its file.
///
/// **Errors** if the folder kept no predictions, its cohort is not to be had any more, or the
/// subject is unknown.
pub(super) fn page(args: &ViewArgs) -> Result<(Page, String), Error> {
    refuse_options(args)?;
    let run = &args.target;
    let kept = kept(run)?;
    let file = pipeline_of(run, &args.set)?;
    let (plan, cohort) = open(&file)?;
    let scores: Vec<ScoreRow> = read_run_table(run)?;
    let mut ids: Vec<(f64, &str)> = (cohort.subjects().iter())
        .filter(|s| kept.contains_key(&file_stem(&s.id)))
        .map(|s| (dice(&scores, &s.id).unwrap_or(f64::INFINITY), &*s.id))
        .collect();
    ids.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    let shown: Vec<String> = match &args.subject {
        Some(id) if ids.iter().any(|(_, known)| known == id) => vec![id.clone()],
        Some(id) => {
            let ids: Vec<&str> = ids.iter().map(|(_, id)| *id).collect();
            return Err(unknown_subject(id, &ids));
        }
        None => ids
            .iter()
            .take(SUBJECTS)
            .map(|(_, id)| (*id).to_owned())
            .collect(),
    };
    if shown.is_empty() {
        return Err(Error::run(format!(
            "{}: no subject of the pipeline's cohort has a prediction here",
            run.display()
        )));
    }
    let has_truth = !scores.is_empty();
    let order = match has_truth {
        true => "the lowest Dice first, each by its worst slice",
        false => "without scores, each by the slice with most predicted voxels",
    };
    let mut page = Page {
        title: match &args.subject {
            Some(id) if !has_truth => {
                format!("{}: {id}, the largest slices first", plan.pipeline.name)
            }
            Some(id) => format!("{}: {id}, the worst slices first", plan.pipeline.name),
            None => format!(
                "{}: {} of {}, {order}",
                plan.pipeline.name,
                shown.len(),
                counted(ids.len(), "subject")
            ),
        },
        lines: vec![run.display().to_string()],
        legend: vec![
            ("error: missed".to_owned(), MISSED),
            ("error: invented".to_owned(), INVENTED),
            ("error: another class".to_owned(), CONFUSED),
        ],
        bands: Vec::new(),
    };
    let plan = Arc::new(plan.unoptimized());
    let memory = plan.pipeline.memory.unwrap_or(MEMORY);
    let preparer = Preparer::new(&plan, Arc::from(cohort), memory, &Counters::default())?;
    let most = if args.subject.is_some() { SLICES } else { 1 };
    let mut classes = BTreeSet::new();
    for id in &shown {
        let bands = subject(
            &kept[&file_stem(id)],
            &preparer,
            id,
            most,
            (&scores, &mut classes),
        )?;
        page.bands.extend(bands);
    }
    page.lines
        .push("contours: truth and prediction by class; errors: filled".to_owned());
    legend_behind(&mut page, &plan, &classes);
    let name = match shown.as_slice() {
        [one] if args.subject.is_some() => format!("{}-{one}-predicted", plan.pipeline.name),
        _ => format!("{}-predicted", plan.pipeline.name),
    };
    Ok((page, name))
}

/// Classes by the names of `train.classes`: predictions are numbered as training is.
fn legend_behind(page: &mut Page, plan: &Plan, classes: &BTreeSet<u16>) {
    let names = plan
        .pipeline
        .train
        .as_ref()
        .map(|(train, _)| &train.classes);
    match names {
        Some(names) => {
            for class in classes {
                let name = names.get(usize::from(*class)).cloned();
                let name = name.unwrap_or_else(|| format!("class {class}"));
                let colour = crate::view::contour::colour(*class);
                page.legend.extend(colour.map(|colour| (name, colour)));
            }
        }
        None => legend(page, plan, classes),
    }
}

fn refuse_options(args: &ViewArgs) -> Result<(), Error> {
    match (&args.stage, args.seed) {
        (None, None) => Ok(()),
        _ => Err(Error::run(format!(
            "{} is a run folder: its predictions have no step and no seed; leave out `--stage` and `--seed`, or name a pipeline file",
            args.target.display()
        ))),
    }
}

/// Files with predictions by the file stem of their subject; those of the best checkpoint where
/// there are several. The file of a part holds several subjects.
pub(in crate::cli) fn kept(run: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let (table, mut kept) = (PredictionRow::TABLE.name, BTreeMap::new());
    for (predictions, subjects) in Ledger::open(run)?.files_with_subjects(table)? {
        let stems = subjects.iter().map(|subject| file_stem(subject));
        kept.extend(stems.map(|stem| (stem, predictions.clone())));
    }
    let folder = run.join(table);
    // In the folders of checkpoints; `best` is read before `last`, and stays.
    for path in below(&folder)? {
        let is_table = path.extension().is_some_and(|e| e == "parquet");
        if let (true, Some(stem)) = (is_table, path.file_stem()) {
            let stem = stem.to_string_lossy().into_owned();
            kept.entry(stem).or_insert(path);
        }
    }
    match kept.is_empty() {
        false => Ok(kept),
        true => Err(nothing::why(run)?),
    }
}

/// Files in the folders below a folder, in order.
fn below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if store::is_url(folder) {
        let objects = store::walk(folder).map_err(unreadable(folder))?;
        let deep = objects.into_iter().filter(|(path, _)| path.contains('/'));
        return Ok(deep.map(|(path, _)| folder.join(path)).collect());
    }
    let files = walkdir::WalkDir::new(folder)
        .min_depth(2)
        .sort_by_file_name();
    let entries = files.into_iter().flatten();
    Ok(entries.map(walkdir::DirEntry::into_path).collect())
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io {
        path: path.to_owned(),
        action: "looking for predictions",
        source,
    }
}

/// The pipeline as it ran, looked at from the folder of the file it was read from.
pub(in crate::cli) fn pipeline_of(run: &Path, set: &[String]) -> Result<SourceFile, Error> {
    let copy = read(&run.join("pipeline.yaml"), set)?;
    let origin = folder::origin(run)?;
    Ok(match origin {
        Some(path) => SourceFile {
            name: path.display().to_string(),
            ..copy
        },
        None => copy,
    })
}

/// Mean Dice of a subject over heads and classes.
fn dice(scores: &[ScoreRow], subject: &str) -> Option<f64> {
    let own = scores
        .iter()
        .filter(|s| s.subject_id == subject && s.class_id > 0);
    mean(own.map(|s| s.dice))
}

/// What a head predicted for a subject, with what it is looked at beside.
pub(in crate::cli) struct HeadCase {
    /// The head: a modality, or `joint`.
    pub(in crate::cli) head: String,
    /// The head's image as stored, else the first one; `None` if the subject has none.
    pub(in crate::cli) image: Option<Volume>,
    /// The truth; `None` if the subject has none.
    pub(in crate::cli) truth: Option<Volume>,
    /// The prediction.
    pub(in crate::cli) prediction: Volume,
}

/// Every prediction of a subject in a file, in the file's order.
///
/// **Errors** if the subject is unknown or cannot be read.
pub(in crate::cli) fn cases(
    predictions: &Path,
    preparer: &Preparer,
    id: &str,
) -> Result<Vec<HeadCase>, Error> {
    let cohort = preparer.cohort();
    let index = choose(&**cohort, Some(id))?;
    let record = preparer.subject(index);
    let failed = |e: &dyn std::error::Error| Error::run(format!("{id}: {}", causes(e)));
    let row = cohort.load(record).map_err(|e| failed(&e))?;
    let truth = cohort.load_labels(record).map_err(|e| failed(&e))?;
    let truth = preparer
        .relabelled(index, truth)
        .map_err(|f| Error::run(format!("{id}: {}: {}", f.stage, f.cause)))?;
    let mut predictions: Vec<PredictionRow> = read_table(predictions)?;
    predictions.retain(|row| row.subject_id == id);
    let case = |prediction: PredictionRow| {
        let head = prediction.modality;
        let channel = row.images.iter().find(|c| c.name == head);
        let image = channel.and_then(|c| c.volume.as_ref());
        HeadCase {
            image: image.or(row.first_image().map(|(_, v)| v)).cloned(),
            truth: truth_of(&truth, &head).cloned(),
            prediction: prediction.label,
            head,
        }
    };
    Ok(predictions.into_iter().map(case).collect())
}

/// The worst slices of a subject, one band a slice and head.
fn subject(
    predictions: &Path,
    preparer: &Preparer,
    id: &str,
    most: usize,
    (scores, classes): (&[ScoreRow], &mut BTreeSet<u16>),
) -> Result<Vec<Band>, Error> {
    let cohort = preparer.cohort();
    let record = preparer.subject(choose(&**cohort, Some(id))?);
    let mut bands = Vec::new();
    let mut cases = cases(predictions, preparer, id)?;
    // The worst head first, as of subjects.
    let own = |head: &str| {
        let rows = scores.iter().filter(|s| s.modality == head).cloned();
        dice(&rows.collect::<Vec<_>>(), id).unwrap_or(f64::INFINITY)
    };
    cases.sort_by(|a, b| own(&a.head).total_cmp(&own(&b.head)));
    let heads = if most == 1 { 1 } else { cases.len() };
    for found in cases.iter().take(heads) {
        let head = &found.head;
        let title = format!("{id} ({}), head {head}", record.split.name());
        let (Some(image), Some(truth)) = (&found.image, &found.truth) else {
            let volumes = (found.image.as_ref(), &found.prediction);
            bands.extend(unscored::bands(volumes, &title, (most, WIDTH), classes));
            continue;
        };
        let case = Case {
            image,
            truth,
            prediction: &found.prediction,
        };
        let slices = case.slices();
        let count = slices.len();
        let wrong = slices.iter().filter(|s| s.wrong > 0).count();
        for slice in slices.into_iter().take(most.min(wrong.max(1))) {
            let picture = case.draw(slice.slice, WIDTH);
            classes.extend(&picture.classes);
            let dice = slice
                .dice()
                .map_or_else(|| "undefined".to_owned(), |d| format!("{d:.3}"));
            bands.push(Band {
                title: format!("{title}: axial slice {} of {count}", slice.slice + 1),
                lines: vec![format!(
                    "{} voxels wrong; truth {}, prediction {} voxels; Dice of the slice {dice}{}",
                    slice.wrong,
                    slice.truth,
                    slice.predicted,
                    subject_dice(scores, id, head)
                )],
                warnings: Vec::new(),
                pictures: vec![picture.canvas],
            });
        }
    }
    Ok(bands)
}

fn subject_dice(scores: &[ScoreRow], id: &str, head: &str) -> String {
    let rows = scores.iter().filter(|s| s.modality == head).cloned();
    let dice = dice(&rows.collect::<Vec<_>>(), id);
    dice.map_or_else(String::new, |d| format!(", mean of the subject {d:.3}"))
}

/// The truth for a head: its own, or the one for all.
fn truth_of<'a>(truth: &'a [Channel], head: &str) -> Option<&'a Volume> {
    let own = truth.iter().find(|c| c.name == head);
    let own = own.or_else(|| truth.iter().find(|c| c.name.is_empty() || head == "joint"));
    own.and_then(|c| c.volume.as_ref())
}
