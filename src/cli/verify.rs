//! `verify` and `gc`: whether a run folder holds what its commit records say, and nothing else.

use super::file::checked_path;
use super::{say, stdout};
use crate::error::Error;
use crate::run::folder::{InParts, STATUS, committed};
use crate::run::lease::hold;
use crate::sink::parts::{DamagedRecord, Fault, verify as check, verify_unrecorded};
use crate::sink::{Ledger, causes};
use crate::store;
use crate::train::checkpoint;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// Parts without a commit record that are named.
const NAMED: usize = 5;

/// Checks every file of a run: those that commit records name by their digests, checkpoints by the digests beside
/// them, other tables and volumes by the checksums that they carry. With `drop`, removes the parts that are
/// damaged, so that a resumed run writes them again. Returns the exit code: 1 if a file is damaged, or a run that
/// is finished has lost commit records.
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
    let unrecorded = unrecorded(run, &ledger).unwrap_or_else(|e| {
        lost.push((run.join(STATUS), causes(&e)));
        None
    });
    for (path, problem) in &lost {
        let file = path.strip_prefix(run).unwrap_or(path);
        writeln!(out, "{}: {problem}", file.display()).map_err(stdout)?;
    }
    if let Some(text) = &unrecorded {
        say(out, &format!("{text}: `run … --resume` makes them again\n"))?;
    }
    if faults.is_empty() && lost.is_empty() && unrecorded.is_none() {
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

/// Says of a run that is finished how many of its parts have no commit record any more; `None` if all have.
///
/// **Errors** if `status.json` cannot be read.
fn unrecorded(run: &Path, ledger: &Ledger) -> Result<Option<String>, Error> {
    let Some(InParts { parts, subjects }) = committed(run)? else {
        return Ok(None);
    };
    let (found, damaged) = (ledger.parts(), ledger.damaged());
    // Which parts the index names is not known where it cannot be read.
    let is_known = !damaged.iter().any(DamagedRecord::is_index);
    let absent = parts.saturating_sub((found.len() + damaged.len()) as u64);
    if absent == 0 || !is_known {
        return Ok(None);
    }
    let left: u64 = found.iter().map(|row| row.subjects.unsigned_abs()).sum();
    let names = left_without_record(ledger)?;
    let named = match &names[..] {
        [] => String::new(),
        [all @ ..] if all.len() <= NAMED => format!(" ({})", all.join(", ")),
        [first @ .., _] => format!(" ({} …)", first[..NAMED].join(", ")),
    };
    Ok(Some(format!(
        "{absent} of {parts} parts have no commit record any more{named}, so {} of {subjects} subjects are in no part that can be read",
        subjects.saturating_sub(left)
    )))
}

/// Names of parts that have files and no commit record.
fn left_without_record(ledger: &Ledger) -> Result<Vec<String>, Error> {
    let left = ledger.left_behind()?;
    let stems = left.iter().filter_map(|path| path.file_stem()?.to_str());
    let names: BTreeSet<&str> = stems.filter(|stem| stem.starts_with("part-")).collect();
    let damaged: BTreeSet<&str> = ledger.damaged().iter().map(|r| &*r.part).collect();
    Ok(names
        .difference(&damaged)
        .map(|n| (*n).to_owned())
        .collect())
}

/// Removes what no commit record of a run names: drafts, and files of parts that were not committed. Names each.
///
/// **Errors** if the folder holds no run in parts, another process runs it, or a file cannot be
/// removed.
pub(super) fn gc(run: &Path, out: &mut dyn Write) -> Result<u8, Error> {
    checked_path(run)?;
    let _held = hold(run)?;
    opened(run)?;
    // Files of a part whose record cannot be read are not for this command to remove.
    let ledger = Ledger::open(run)?;
    if let Some(text) = unrecorded(run, &ledger)? {
        say(out, &format!("{text}; their files are removed\n"))?;
    }
    let removed = ledger.sweep()?;
    for path in &removed {
        let file = path.strip_prefix(run).unwrap_or(path);
        writeln!(
            out,
            "{}: no commit record names it; removed",
            file.display()
        )
        .map_err(stdout)?;
    }
    say(out, &format!("{} files removed\n", removed.len()))
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
