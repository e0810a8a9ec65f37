//! The fingerprint of a data set in words.

use super::line;
use crate::cli::stdout;
use crate::error::Error;
use crate::init::fingerprint::summary::describe;
use crate::init::look;
use crate::run::chain::causes;
use crate::store;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Returns `true` if a path names a data set: a folder, or a table.
pub fn is_data_set(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    // What cannot be asked is read as a file, which says why it cannot.
    store::is_dir(path).unwrap_or(false) || ending.is_some_and(|e| e == "csv" || e == "tsv")
}

/// Describes the fingerprint of each data set on `out`; with `keep` that of the only one is kept there.
///
/// **Returns** how many failed. **Errors** if `out` or the fingerprint cannot be written, or if several
/// fingerprints would go into one folder.
pub fn data_sets(
    sets: &[PathBuf],
    sample: usize,
    keep: Option<&Path>,
    out: &mut dyn Write,
) -> Result<usize, Error> {
    if keep.is_some() && sets.len() != 1 {
        return Err(Error::run(format!(
            "`--fingerprint` keeps one data set, found {}; name one folder or table",
            sets.len()
        )));
    }
    let mut failed = 0;
    for path in sets {
        writeln!(out, "{}", path.display()).map_err(stdout)?;
        match look(path, sample) {
            Ok((layout, print)) => {
                describe(&layout, &print, out).map_err(stdout)?;
                if let Some(folder) = keep {
                    print.write(folder)?;
                }
            }
            Err(error) => {
                failed += 1;
                line(out, "error", &causes(&error)).map_err(stdout)?;
            }
        }
    }
    Ok(failed)
}
