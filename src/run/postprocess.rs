//! Post-processing chosen on the validation subjects, class by class, or region by region.

use super::context::RunContext;
use super::inference::Inference;
use crate::error::Error;
use crate::metric::Wanted;
use crate::sink::{PostprocessingRow, write_table};
use crate::train::checkpoint;
use crate::train::postprocessing::PostProcessing;
use crate::volume::Split;
use std::collections::BTreeMap;
use std::path::Path;

/// What a class or region scored on validation, with all components and with the largest alone.
#[derive(Default)]
struct Tried {
    /// As in the tables.
    number: i32,
    name: String,
    subjects: usize,
    changed: usize,
    all: f64,
    largest: f64,
}

/// Chooses the post-processing of the checkpoint `best`, whose network `inference` is, on all validation
/// subjects; notes it there and its reasons in the table `postprocessing`.
///
/// **Errors** when the run is stopped, or the choice cannot be written.
pub(super) fn choose_for(
    cx: &RunContext,
    inference: Inference<'_>,
    best: &Path,
) -> Result<PostProcessing, Error> {
    let validation = cx.subjects(|s| s.split == Split::Validation);
    if validation.is_empty() {
        return Ok(PostProcessing::NONE);
    }
    let (chosen, rows) = choose(cx, inference, &validation)?;
    write_table(&cx.folder.join("postprocessing.parquet"), &rows)?;
    checkpoint::note_postprocessing(best, &chosen)?;
    Ok(chosen)
}

/// Decides of which classes, or regions, a prediction keeps the largest component: those whose mean Dice
/// over `validation` it raises. Returns the choice, and its reasons as rows.
///
/// **Errors** when the run is stopped.
fn choose(
    cx: &RunContext,
    inference: Inference<'_>,
    validation: &[usize],
) -> Result<(PostProcessing, Vec<PostprocessingRow>), Error> {
    let trying = Inference {
        tries_largest: true,
        ..Inference::of(inference.first(), inference.window)
    };
    let mut tried: BTreeMap<(String, u32), Tried> = BTreeMap::new();
    let each = |_: &_, results: &[super::evaluate::HeadResult]| {
        for result in results {
            for cleaned in &result.cleaned {
                let (all, largest) = (&cleaned.all, &cleaned.largest);
                let (Some(before), Some(after)) = (all.dice, largest.dice) else {
                    continue;
                };
                let key = (result.head.clone(), cleaned.number.unsigned_abs());
                let class = tried.entry(key).or_default();
                class.number = cleaned.number;
                class.name.clone_from(&cleaned.name);
                class.subjects += 1;
                class.changed += usize::from(all.predicted_voxels != largest.predicted_voxels);
                class.all += before;
                class.largest += after;
            }
        }
        Ok(())
    };
    let wanted = Wanted::default();
    cx.evaluate(trying, &wanted, validation, "postprocess", each)?;
    let mut chosen = PostProcessing::default();
    let mut rows = Vec::with_capacity(tried.len());
    for ((head, place), tried) in tried {
        let n = tried.subjects as f64;
        let row = PostprocessingRow {
            modality: head,
            class_id: tried.number,
            class: tried.name,
            subjects: tried.subjects as i64,
            changed_subjects: tried.changed as i64,
            dice: tried.all / n,
            largest_dice: tried.largest / n,
            keep_largest: tried.largest > tried.all,
        };
        if row.keep_largest {
            tracing::info!(
                head = row.modality,
                class = row.class,
                dice = row.dice,
                largest_dice = row.largest_dice,
                "predictions keep the largest component"
            );
            let of_head = chosen.keep_largest.entry(row.modality.clone());
            of_head.or_default().insert(place as u16);
        }
        rows.push(row);
    }
    Ok((chosen, rows))
}
