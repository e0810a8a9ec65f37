//! `verify` and `gc`: whether a run folder holds what its commit records say, and nothing else.

use super::file::checked_path;
use super::{say, stdout};
use crate::error::Error;
use crate::run::folder::STATUS;
use crate::run::lease::hold;
use crate::sink::Ledger;
use crate::sink::parts::{Fault, verify as check, verify_unrecorded};
use crate::store;
use crate::train::checkpoint;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// Checks every file of a run: those that commit records name by their digests, checkpoints by the digests beside
/// them, other tables and volumes by the checksums that they carry. With `drop`, removes the parts that are
/// damaged, so that a resumed run writes them again. Returns the exit code: 1 if a file is damaged.
///
/// **Errors** if the folder holds no run, or with `drop` if another process runs it.
pub(super) fn verify(run: &Path, drop: bool, out: &mut dyn Write) -> Result<u8, Error> {
    opened(run)?;
    // What is judged is what is removed: nobody may merge parts or make them again in between.
    let _held = drop.then(|| hold(run)).transpose()?;
    let (files, faults) = check(run)?;
    let ledger = opened(run)?;
    let parts = ledger.parts().len() + ledger.damaged().len();
    for Fault {
        parts,
        file,
        problem,
    } in &faults
    {
        let whose = match &parts[..] {
            [part] => part.clone(),
            parts => format!("{} parts", parts.len()),
        };
        writeln!(out, "{file} ({whose}): {problem}").map_err(stdout)?;
    }
    let (others, mut lost) = verify_unrecorded(run, parts > 0)?;
    let (of_checkpoints, damaged) = checkpoint::verify(&run.join("checkpoints"))?;
    let others = others + of_checkpoints;
    lost.extend(damaged);
    for (path, problem) in &lost {
        let file = path.strip_prefix(run).unwrap_or(path);
        writeln!(out, "{}: {problem}", file.display()).map_err(stdout)?;
    }
    if faults.is_empty() && lost.is_empty() {
        let of_parts = match parts {
            0 => String::new(),
            parts => format!("{files} files of {parts} parts, "),
        };
        return say(out, &format!("ok: {of_parts}{others} other files\n"));
    }
    if !lost.is_empty() {
        let text = format!(
            "{} of {others} files that belong to no part are damaged: restore them from a copy, or run the pipeline into another folder\n",
            lost.len()
        );
        say(out, &text)?;
    }
    if faults.is_empty() {
        return Ok(1);
    }
    let damaged = faults.iter().flat_map(|fault| &fault.parts);
    let damaged: BTreeSet<&str> = damaged.map(String::as_str).collect();
    let what = match drop {
        true => {
            let mut ledger = ledger;
            ledger.drop_damaged()?;
            let kept = ledger.parts().into_iter().map(|row| row.part.clone());
            let kept = kept
                .filter(|part| !damaged.contains(part.as_str()))
                .collect();
            ledger.retain(&kept)?;
            "they were removed; `run … --resume` writes them again".to_owned()
        }
        false => format!(
            "remove them with `voxstream verify --drop {}`, then write them again with `run … --resume`",
            run.display()
        ),
    };
    let text = format!(
        "{} of {files} files, in {} of {parts} parts, are damaged: {what}\n",
        faults.len(),
        damaged.len()
    );
    say(out, &text).map(|_| 1)
}

/// Removes what no commit record of a run names: drafts, and files of parts that were not committed.
///
/// **Errors** if the folder holds no run in parts, another process runs it, or a file cannot be
/// removed.
pub(super) fn gc(run: &Path, out: &mut dyn Write) -> Result<u8, Error> {
    checked_path(run)?;
    let _held = hold(run)?;
    opened(run)?;
    // Files of a part whose record cannot be read are not for this command to remove.
    let ledger = Ledger::open(run)?;
    let removed = ledger.sweep()?;
    say(out, &format!("{removed} files removed\n"))
}

/// The commit records of a run, as far as they can be read.
fn opened(run: &Path) -> Result<Ledger, Error> {
    checked_path(run)?;
    let ledger = Ledger::survey(run)?;
    let status = run.join(STATUS);
    let is_run = || {
        store::exists(&status).map_err(|source| Error::Io {
            path: status.clone(),
            action: "looking for the run",
            source,
        })
    };
    if ledger.parts().is_empty() && ledger.damaged().is_empty() && !is_run()? {
        return Err(Error::run(format!(
            "{}: no run (no status.json, no parts); give the folder of a run, such as runs/<name>/<stamp>",
            run.display()
        )));
    }
    Ok(ledger)
}
