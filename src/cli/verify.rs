//! `verify` and `gc`: whether a run folder holds what its commit records say, and nothing else.

use super::file::checked_path;
use super::{say, stdout};
use crate::error::Error;
use crate::run::folder::{
    InParts, Presence, STATUS, committed, is_in_parts, note_incomplete, presence,
};
use crate::run::lease::hold;
use crate::sink::parts::{DamagedRecord, Fault, verify as check, verify_unrecorded};
use crate::sink::{Ledger, causes};
use crate::spec::{agreeing, counted};
use crate::store;
use crate::train::checkpoint;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// Parts without a commit record that are named.
const NAMED: usize = 5;

/// Checks every file of a run: those that commit records name by their digests, checkpoints by the digests beside
/// them, other tables and volumes by the checksums that they carry; and that a finished run has every file and every
/// part that it had at its end, as they were. With `drop`, removes the parts that are damaged, so that a resumed run writes them
/// again. Returns the exit code: 1 if a file is damaged or missing.
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
    let presence = presence(run)?;
    // A file of a checkpoint that is gone is missing, and not damaged as well.
    let absent = |path: &Path| presence.missing.iter().any(|name| path == run.join(name));
    lost.retain(|(path, _)| !absent(path));
    for path in presence.changed.iter().map(|name| run.join(name)) {
        // One that cannot be read is told with the reason.
        if lost.iter().all(|(known, _)| *known != path) {
            lost.push((path, "is not what it was when the run ended".to_owned()));
        }
    }
    for (path, problem) in &lost {
        let file = path.strip_prefix(run).unwrap_or(path);
        writeln!(out, "{}: {problem}", file.display()).map_err(stdout)?;
    }
    for name in &presence.missing {
        writeln!(out, "{name}: missing").map_err(stdout)?;
    }
    if let Some(text) = &unrecorded {
        say(out, &format!("{text}: `run … --resume` makes them again\n"))?;
    } else if ledger.damaged().is_empty() {
        tell_unnamed(run, &ledger, out)?;
    }
    let is_whole = presence.missing.is_empty() && unrecorded.is_none();
    if faults.is_empty() && lost.is_empty() && is_whole {
        let text = all_there((files, parts), others, presence.is_finished);
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
        say(out, &not_there(run, &presence))?;
    }
    if faults.is_empty() {
        return Ok(1);
    }
    let damaged = faults.iter().flat_map(|fault| &fault.parts);
    let damaged: BTreeSet<&str> = damaged.map(String::as_str).collect();
    let what = match drop {
        true => {
            if presence.is_finished {
                note_incomplete(run)?;
            }
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
        "{} of {}, in {} of {}, {} damaged or missing: {what}\n",
        faults.len(),
        counted(files, "file"),
        damaged.len(),
        counted(parts, "part"),
        agreeing(faults.len(), "is", "are"),
    );
    say(out, &text).map(|_| 1)
}

/// What is said of a run that is as it was: files and parts that records name, and other files.
fn all_there((files, parts): (usize, usize), others: usize, is_finished: bool) -> String {
    let of_parts = match parts {
        0 => String::new(),
        parts => format!(
            "{} of {} {} as committed; ",
            counted(files, "file"),
            counted(parts, "part"),
            agreeing(files, "is", "are")
        ),
    };
    let end = match is_finished {
        true => "none is missing",
        false => "the run is not finished",
    };
    format!(
        "ok: {of_parts}{} without a commit record (tables, volumes, files of checkpoints) can be read; {end}\n",
        counted(others, "file")
    )
}

/// What is to be done about files that a run had when it was finished.
fn not_there(run: &Path, presence: &Presence) -> String {
    let count = presence.missing.len();
    let again = match is_in_parts(run) && presence.is_finished {
        true => "write what the run still makes again with `run … --resume`",
        false => "run the pipeline into another folder",
    };
    format!(
        "{} {} missing: restore {} from a copy, or {again}\n",
        counted(count, "file"),
        agreeing(count, "is", "are"),
        agreeing(count, "it", "them"),
    )
}

/// Names files that no commit record names.
fn tell_unnamed(run: &Path, ledger: &Ledger, out: &mut dyn Write) -> Result<(), Error> {
    let unnamed = ledger.unnamed(is_in_parts(run))?;
    for path in &unnamed {
        let file = path.strip_prefix(run).unwrap_or(path);
        writeln!(out, "{}: no commit record names it", file.display()).map_err(stdout)?;
    }
    if unnamed.is_empty() {
        return Ok(());
    }
    let text = format!(
        "{} that no commit record names: if no process runs the run, `voxstream gc {}` removes what an interrupted start left\n",
        counted(unnamed.len(), "file"),
        run.display()
    );
    say(out, &text).map(drop)
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
        all if all.len() <= NAMED => format!(" ({})", all.join(", ")),
        [first @ .., _] => format!(" ({} …)", first[..NAMED].join(", ")),
    };
    Ok(Some(format!(
        "{absent} of {parts} parts {} no commit record any more{named}, so {} of {subjects} subjects are in no part that can be read",
        agreeing(absent as usize, "has", "have"),
        subjects.saturating_sub(left)
    )))
}

/// Names of parts that have files and no commit record.
fn left_without_record(ledger: &Ledger) -> Result<Vec<String>, Error> {
    let left = ledger.unnamed(false)?;
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
/// **Errors** if the folder holds no run, another process runs it, or a file cannot be removed.
pub(super) fn gc(run: &Path, out: &mut dyn Write) -> Result<u8, Error> {
    // Before it is held: the lock is a file, which a folder that is no run is to be spared.
    opened(run)?;
    let _held = hold(run)?;
    // Files of a part whose record cannot be read are not for this command to remove.
    let ledger = Ledger::open(run)?;
    if let Some(text) = unrecorded(run, &ledger)? {
        say(out, &format!("{text}; their files are removed\n"))?;
    }
    let removed = ledger.sweep(is_in_parts(run))?;
    for path in &removed {
        let file = path.strip_prefix(run).unwrap_or(path);
        writeln!(
            out,
            "{}: no commit record names it; removed",
            file.display()
        )
        .map_err(stdout)?;
    }
    say(
        out,
        &format!("{} removed\n", counted(removed.len(), "file")),
    )
}

/// The commit records of a run, as far as they can be read.
fn opened(run: &Path) -> Result<Ledger, Error> {
    checked_path(run)?;
    if !store::is_url(run) && !run.is_dir() {
        return Err(Error::run(format!(
            "{}: there is no such folder; give the folder of a run, such as runs/<name>/<stamp>",
            run.display()
        )));
    }
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
