//! `verify` and `gc`: whether a run folder holds what its commit records say, and nothing else.

use super::file::checked_path;
use super::{say, stdout};
use crate::error::Error;
use crate::run::folder::{STATUS, is_in_parts, note_incomplete, presence};
use crate::run::lease::hold;
use crate::sink::Ledger;
use crate::sink::parts::{Fault, verify as check, verify_unrecorded};
use crate::spec::{agreeing, counted};
use crate::store;
use crate::train::checkpoint;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// Checks every file of a run: those that commit records name by their digests, checkpoints by the digests beside
/// them, other tables and volumes by the checksums that they carry; and that a finished run has every file that it
/// had at its end. With `drop`, removes the parts that are damaged, so that a resumed run writes them again. Returns
/// the exit code: 1 if a file is damaged or missing.
///
/// **Errors** if the folder holds no run, or with `drop` if another process runs it.
pub(super) fn verify(run: &Path, drop: bool, out: &mut dyn Write) -> Result<u8, Error> {
    let ledger = opened(run)?;
    let (parts, in_parts) = (ledger.parts().len(), is_in_parts(run));
    let (files, faults) = check(run)?;
    for Fault {
        parts,
        file,
        problem,
    } in &faults
    {
        let whose = match &parts[..] {
            [part] => part.clone(),
            parts => counted(parts.len(), "part"),
        };
        writeln!(out, "{file} ({whose}): {problem}").map_err(stdout)?;
    }
    let (others, mut lost) = verify_unrecorded(run, parts > 0)?;
    let (of_checkpoints, damaged) = checkpoint::verify(&run.join("checkpoints"))?;
    let others = others + of_checkpoints;
    lost.extend(damaged);
    let presence = presence(run)?;
    // A file of a checkpoint that is gone is no damage.
    let absent = |path: &Path| presence.missing.iter().any(|name| path == run.join(name));
    lost.retain(|(path, _)| !absent(path));
    for (path, problem) in &lost {
        let file = path.strip_prefix(run).unwrap_or(path);
        writeln!(out, "{}: {problem}", file.display()).map_err(stdout)?;
    }
    for name in &presence.missing {
        writeln!(out, "{name}: missing").map_err(stdout)?;
    }
    let unnamed = ledger.unnamed(in_parts)?;
    for path in &unnamed {
        let file = path.strip_prefix(run).unwrap_or(path);
        writeln!(out, "{}: no commit record names it", file.display()).map_err(stdout)?;
    }
    if !unnamed.is_empty() {
        let text = format!(
            "{} that no commit record names: if no process runs the run, `voxstream gc {}` removes what an interrupted start left\n",
            counted(unnamed.len(), "file"),
            run.display()
        );
        say(out, &text)?;
    }
    if faults.is_empty() && lost.is_empty() && presence.missing.is_empty() {
        let of_parts = match parts {
            0 => String::new(),
            parts => format!(
                "{} of {} {} as committed; ",
                counted(files, "file"),
                counted(parts, "part"),
                agreeing(files, "is", "are")
            ),
        };
        let end = match presence.is_finished {
            true => "none is missing",
            false => "the run is not finished",
        };
        let text = format!(
            "ok: {of_parts}{} without a commit record (tables, volumes, files of checkpoints) can be read; {end}\n",
            counted(others, "file")
        );
        return say(out, &text);
    }
    if !lost.is_empty() {
        let text = format!(
            "{} of {} that {} to no part {} damaged: restore {} from a copy, or run the pipeline into another folder\n",
            lost.len(),
            counted(others, "file"),
            agreeing(others, "belongs", "belong"),
            agreeing(lost.len(), "is", "are"),
            agreeing(lost.len(), "it", "them"),
        );
        say(out, &text)?;
    }
    if !presence.missing.is_empty() {
        let count = presence.missing.len();
        let again = match in_parts && presence.is_finished {
            true => "write what the run still makes again with `run … --resume`",
            false => "run the pipeline into another folder",
        };
        let text = format!(
            "{} {} missing: restore {} from a copy, or {again}\n",
            counted(count, "file"),
            agreeing(count, "is", "are"),
            agreeing(count, "it", "them"),
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
            remove_parts(run, &damaged, presence.is_finished)?;
            "they were removed; `run … --resume` writes them again".to_owned()
        }
        false => format!(
            "remove them with `voxstream verify --drop {}`, then write them again with `run … --resume`",
            run.display()
        ),
    };
    let text = format!(
        "{} of {}, in {} of {}, {} damaged or missing: {what}\n",
        faults.len(),
        counted(files, "file"),
        damaged.len(),
        counted(parts, "part"),
        agreeing(faults.len(), "is", "are"),
    );
    say(out, &text).map(|_| 1)
}

/// Removes parts of a run, which then is no finished one any more.
fn remove_parts(run: &Path, damaged: &BTreeSet<&str>, is_finished: bool) -> Result<(), Error> {
    let _held = hold(run)?;
    let mut ledger = opened(run)?;
    if is_finished {
        note_incomplete(run)?;
    }
    let kept = ledger.parts().into_iter().map(|row| row.part.clone());
    let kept = kept
        .filter(|part| !damaged.contains(part.as_str()))
        .collect();
    Ok(ledger.retain(&kept)?)
}

/// Removes what no commit record of a run names: drafts, and files of parts that were not committed.
///
/// **Errors** if the folder holds no run, another process runs it, or a file cannot be removed.
pub(super) fn gc(run: &Path, out: &mut dyn Write) -> Result<u8, Error> {
    // Before it is held: the lock is a file, which a folder that is no run is to be spared.
    opened(run)?;
    let _held = hold(run)?;
    let removed = opened(run)?.sweep(is_in_parts(run))?;
    say(out, &format!("{} removed\n", counted(removed, "file")))
}

/// The commit records of a run.
fn opened(run: &Path) -> Result<Ledger, Error> {
    checked_path(run)?;
    if !store::is_url(run) && !run.is_dir() {
        return Err(Error::run(format!(
            "{}: there is no such folder; give the folder of a run, such as runs/<name>/<stamp>",
            run.display()
        )));
    }
    let ledger = Ledger::open(run)?;
    let status = run.join(STATUS);
    let is_run = || {
        store::exists(&status).map_err(|source| Error::Io {
            path: status.clone(),
            action: "looking for the run",
            source,
        })
    };
    if ledger.parts().is_empty() && !is_run()? {
        return Err(Error::run(format!(
            "{}: no run (no status.json, no parts); give the folder of a run, such as runs/<name>/<stamp>",
            run.display()
        )));
    }
    Ok(ledger)
}
