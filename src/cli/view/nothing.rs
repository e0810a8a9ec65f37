//! Why a folder has no predictions to show.

use crate::cli::{planned, read};
use crate::error::Error;
use crate::run::folder::{Progress, STATUS, progress};
use crate::sink::PredictionRow;
use crate::sink::TableRow as _;
use crate::store;
use std::path::{Path, PathBuf};

/// Folders between a folder of runs and a run: `runs/NAME/GROUP/fold-0`.
const DEPTH: usize = 4;

/// Runs that are named.
const SHOWN: usize = 5;

/// The error for a folder without predictions, by what the folder is.
///
/// **Errors** if the folder cannot be read.
pub(super) fn why(folder: &Path) -> Result<Error, Error> {
    let place = folder.display();
    let keep = "`sinks: { predictions: { parquet: true } }`";
    Ok(Error::run(match progress(folder)? {
        None => match runs(folder).as_slice() {
            [] => format!(
                "{place}: no predictions as Parquet; run the pipeline with {keep}, or name a pipeline file"
            ),
            runs => {
                let names: Vec<String> = (runs.iter().take(SHOWN))
                    .map(|run| {
                        run.strip_prefix(folder)
                            .unwrap_or(run)
                            .display()
                            .to_string()
                    })
                    .collect();
                format!(
                    "{place} is no run, but holds {}: {}{}; name one of them",
                    match runs.len() {
                        1 => "one".to_owned(),
                        count => format!("{count} runs"),
                    },
                    names.join(", "),
                    if runs.len() > SHOWN { ", …" } else { "" }
                )
            }
        },
        Some(Progress::Started) if keeps(folder) => format!(
            "{place}: the run has written no predictions yet, as it is under way or was stopped; go on with it by `voxstream run FILE --resume --out {place}`"
        ),
        Some(_) if keeps(folder) => format!(
            "{place}: the run keeps predictions as Parquet, but {} is empty; the tables `failures` and `subjects` say who was predicted",
            folder.join(PredictionRow::TABLE.name).display()
        ),
        Some(_) => format!(
            "{place}: the run kept no predictions as Parquet; run its pipeline with {keep}, or name a pipeline file"
        ),
    }))
}

/// Returns `true` if the pipeline of a run keeps predictions as Parquet.
fn keeps(run: &Path) -> bool {
    let plan = read(&run.join("pipeline.yaml"), &[]).and_then(|file| planned(&file));
    plan.is_ok_and(|plan| {
        let sinks = plan.pipeline.sinks;
        sinks.predictions.is_some_and(|formats| formats.parquet)
    })
}

/// Folders of runs below a folder; none of a store, which would have to be listed.
fn runs(folder: &Path) -> Vec<PathBuf> {
    if store::is_url(folder) {
        return Vec::new();
    }
    let walk = walkdir::WalkDir::new(folder)
        .max_depth(DEPTH)
        .sort_by_file_name();
    let files = walk
        .into_iter()
        .flatten()
        .filter(|e| e.file_name() == STATUS);
    files
        .filter_map(|file| file.path().parent().map(Path::to_path_buf))
        .collect()
}
