//! Merging the tables of many parts: each row is there exactly once, wherever a process ends.

use super::*;
use crate::sink::parts::merge::Merged;
use std::sync::OnceLock;

/// Files of a folder, tables and records alike.
fn files(run: &Path) -> Vec<PathBuf> {
    let below = walkdir::WalkDir::new(run).sort_by_file_name().into_iter();
    let entries = below.map(|entry| entry.unwrap().into_path());
    entries.filter(|path| path.is_file()).collect()
}

/// What readers see: ids, failures, names of the parts; the parts are whole, and no file is damaged.
fn seen(run: &Path) -> (Vec<String>, Vec<FailureRow>, Vec<String>) {
    let ledger = Ledger::open(run).unwrap();
    let (_, faults) = verify(run).unwrap();
    assert_eq!(faults, []);
    let mut parts: Vec<String> = (ledger.read::<PartRow>().unwrap().into_iter())
        .map(|row| row.part)
        .collect();
    parts.sort();
    let mut whole: Vec<String> = (ledger.whole_parts().iter())
        .map(|row| row.part.clone())
        .collect();
    whole.sort();
    assert_eq!(parts, whole);
    assert_eq!(ledger.parts().len(), parts.len());
    (ids(&ledger), ledger.read().unwrap(), parts)
}

fn digest(i: usize) -> String {
    blake3::hash(&i.to_le_bytes()).to_hex().to_string()
}

/// A run of 100 parts of three subjects, the last of which failed; each has a file of a table with volumes.
fn run(folder: &Path) -> Ledger {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = tempfile::tempdir().unwrap();
        make(made.path());
        made
    });
    copied(made.path(), folder);
    Ledger::open(folder).unwrap()
}

fn make(folder: &Path) {
    let mut ledger = Ledger::open(folder).unwrap();
    fs::create_dir_all(folder.join("prepared")).unwrap();
    for i in 0..100 {
        let own = ["a", "b", "c"].map(|s| format!("s{i:03}{s}"));
        let digest = digest(i);
        let name = part_name(&own[0], &digest);
        let mut writer = PartWriter::new(folder, &name, &digest, &attempt());
        for id in &own {
            let failed = id.ends_with('c').then(|| failure(id));
            writer.add(subject(id), Vec::new(), Vec::new(), failed);
        }
        let volumes = format!("prepared/{name}.parquet");
        write_table(&folder.join(&volumes), &[failure(&name)]).unwrap();
        writer.add_file(volumes.into());
        writer.commit(&mut ledger).unwrap();
    }
}

/// Copies a run, as it is when a process ends.
fn copied(run: &Path, to: &Path) {
    for file in files(run) {
        let copy = to.join(file.strip_prefix(run).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, copy).unwrap();
    }
}

#[test]
fn many_parts_share_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut ledger = run(path);
    let before = seen(path);
    assert_eq!((before.0.len(), before.1.len()), (300, 100));
    assert_eq!(ledger.compact().unwrap(), 198);
    assert_eq!(seen(path), before);
    assert_eq!(ids(&ledger), before.0, "the ledger knows, too");
    // Records and small tables in one file each; volumes stay as they are.
    assert_eq!(files(path).len(), 3 + 100);
    let prepared = Ledger::open(path)
        .unwrap()
        .files_with_subjects("prepared")
        .unwrap();
    assert_eq!(prepared.len(), 100);
    assert_eq!(prepared[7].1, ["s007a", "s007b", "s007c"]);
    assert_eq!(
        (ledger.compact().unwrap(), ledger.sweep(true).unwrap().len()),
        (0, 0)
    );
}

#[test]
fn few_parts_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    for i in 0..64 {
        commit(&mut ledger, &[&format!("s{i:02}")], &digest(i));
    }
    assert_eq!(ledger.compact().unwrap(), 0);
    assert_eq!(files(folder.path()).len(), 3 * 64);
}

#[test]
fn a_process_may_end_behind_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut ledger = run(path);
    let before = seen(path);
    let check = |left: bool| {
        let killed = tempfile::tempdir().unwrap();
        copied(path, killed.path());
        assert_eq!(seen(killed.path()), before);
        // Who goes on removes what was left, and merges what was not merged.
        let mut again = Ledger::open(killed.path()).unwrap();
        assert_eq!(!again.sweep(true).unwrap().is_empty(), left);
        assert_eq!(seen(killed.path()), before);
        again.compact().unwrap();
        assert_eq!(seen(killed.path()), before);
        assert_eq!(files(killed.path()).len(), 3 + 100);
    };
    let merged = ledger.write_merged().unwrap().unwrap();
    check(true);
    ledger.write_index(&merged).unwrap();
    check(true);
    // Each removal in turn: first the records, then the files.
    let records = merged.rows.iter().map(|row| ledger.record(&row.part));
    let replaced = merged.replaced.iter().map(|file| path.join(file));
    let gone: Vec<PathBuf> = records.chain(replaced).collect();
    for (i, file) in gone.iter().enumerate() {
        if i % 120 == 0 {
            check(true);
        }
        fs::remove_file(file).unwrap();
    }
    ledger.remove_replaced(&merged).unwrap();
    check(false);
}

#[test]
fn a_merged_part_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut ledger = run(path);
    ledger.compact().unwrap();
    let before = seen(path);
    let again = |ledger: &mut Ledger, digest: &str| {
        ledger.retire("s017a", "s017c").unwrap();
        assert_eq!(seen(path).0.len(), 297);
        commit(ledger, &["s017a", "s017b", "s017c"], digest)
    };
    // Under its own name, as after a failure that may pass, then under another.
    let name = again(&mut ledger, &digest(17));
    assert_eq!(seen(path), before);
    let other = again(&mut ledger, &digest(1700));
    let found = seen(path);
    assert_eq!(
        (&found.0, &found.1),
        (&before.0, &before.1),
        "in the same order"
    );
    assert!(found.2.contains(&other) && !found.2.contains(&name));
    // A part in a place where none was.
    ledger.retire("s050x", "s050z").unwrap();
    commit(&mut ledger, &["s050x", "s050z"], &digest(5000));
    let mut sorted = seen(path).0;
    assert_eq!(sorted.len(), 302);
    sorted.sort();
    assert_eq!(seen(path).0, sorted);
    // The cohort lost subjects.
    let kept = seen(path)
        .2
        .into_iter()
        .filter(|part| part < &"part-s090".to_owned());
    let kept: BTreeSet<String> = kept.collect();
    ledger.retain(&kept).unwrap();
    assert_eq!(seen(path).0, sorted[..272]);
    assert_eq!(ledger.sweep(true).unwrap().len(), 0);
    ledger.retain(&BTreeSet::new()).unwrap();
    assert_eq!(files(path), Vec::<PathBuf>::new());
}

#[test]
fn a_process_may_end_while_a_merged_part_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut ledger = run(path);
    ledger.compact().unwrap();
    let (before, _, parts) = seen(path);
    let part = parts[17].clone();
    let rows = ledger.pieces().remove(0);
    let mut merged = Merged::default();
    merged.add(path, &rows[..17], true).unwrap();
    merged.add(path, &rows[18..], true).unwrap();
    merged.gone.insert(part.clone());
    assert_eq!(seen(path).0, before, "the index does not say so yet");
    ledger.write_index(&merged).unwrap();
    let without: Vec<String> = (before.iter())
        .filter(|id| !id.starts_with("s017"))
        .cloned()
        .collect();
    assert_eq!(seen(path).0, without);
    // The files of before, and those with volumes of the part that is gone.
    assert_eq!(Ledger::open(path).unwrap().sweep(true).unwrap().len(), 3);
    assert_eq!(seen(path).0, without);
}

#[test]
fn a_ledger_from_before_reads_the_merged_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = run(folder.path());
    let before = Ledger::open(folder.path()).unwrap();
    ledger.compact().unwrap();
    assert_eq!(ids(&before).len(), 300);
}

#[test]
fn a_merge_that_fails_leaves_the_tables_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut ledger = run(path);
    let before = seen(path);
    let index = ledger.record(INDEX);
    fs::create_dir(&index).unwrap();
    let error = causes(&ledger.compact().unwrap_err());
    assert!(error.contains("merged.parquet"), "{error}");
    assert_eq!(ids(&ledger), before.0);
    fs::remove_dir(&index).unwrap();
    assert_eq!(ledger.sweep(true).unwrap().len(), 2);
    assert_eq!(seen(path), before);
    assert_eq!(ledger.compact().unwrap(), 198);
    assert_eq!(seen(path), before);
}

#[test]
fn what_is_merged_while_it_is_checked_is_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = run(folder.path());
    let before = Ledger::open(folder.path()).unwrap();
    ledger.compact().unwrap();
    let (_, faults) = verify::checked(before).unwrap();
    assert_eq!(faults, []);
}

#[test]
fn a_damaged_file_concerns_every_part_that_shares_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = run(folder.path());
    ledger.compact().unwrap();
    let file = ledger.files("failures").remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (count, faults) = verify(folder.path()).unwrap();
    assert_eq!((count, faults.len()), (102, 1));
    assert_eq!(faults[0].parts.len(), 100);
    assert!(faults[0].problem.contains("digest"));
    // Without the parts there is nothing to be read of it.
    ledger.retain(&BTreeSet::new()).unwrap();
    assert!(Ledger::open(folder.path()).unwrap().parts().is_empty());
}
