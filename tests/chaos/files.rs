//! Files of a cohort that vanish, change or cannot be read for a while; clocks that jump.

use super::*;
use std::sync::Mutex;
use std::time::SystemTime;
use voxstream::source::{SubjectRecord, VolumeHeader};
use voxstream::volume::{Grid, Volume, VolumeError, nifti};

/// Writes a subject of one image.
fn add(data: &Path, id: &str, seed: usize) {
    let path = data.join(id).join("ct.nii");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let grid = Grid::with_spacing([10; 3], [1.0; 3]).unwrap();
    let voxels: Vec<i16> = (0..1000).map(|i| (i * (seed + 3) % 251) as i16).collect();
    let volume = Volume::from_vec(voxels, grid).unwrap();
    nifti::write(&path, &volume, None).unwrap();
}

/// Nine subjects in files.
pub(super) fn cohort() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (0..9).for_each(|i| add(&data, &format!("s{i}"), i));
    (folder, data)
}

#[test]
fn a_file_vanishes_in_mid_run() {
    for last in ["s4", "s8"] {
        let (folder, data) = cohort();
        let [out, whole, once] = ["out", "whole", "once"].map(|name| folder.path().join(name));
        Run::new(&whole).of_files(&data).start().unwrap();
        let whole = said(&whole);
        let (file, away) = (
            data.join(last).join("ct.nii"),
            folder.path().join("away.nii"),
        );
        let chaos = format!(
            "{{ subjects: {{ s0: move }}, paths: [{}, {}], once: {} }}",
            file.display(),
            away.display(),
            once.display()
        );
        let run = |workers| {
            let mut run = Run::new(&out).of_files(&data).with(chaos.clone());
            run.options.workers = Some(workers);
            run
        };
        let done = run(1).start();
        assert_eq!(code(&done), 1, "{done:?}");
        let found = said(&out);
        let cause = &found.causes[last];
        assert!(
            cause.starts_with("source: ") && cause.contains("ct.nii"),
            "{cause}"
        );
        assert_eq!(found.without(last), whole.clone().without(last));
        // It is back, with the size and the time it had.
        std::fs::rename(&away, &file).unwrap();
        let again = run(2).resumed().start();
        assert_eq!(code(&again), 0, "{again:?}");
        assert_eq!(said(&out), whole);
    }
}

#[test]
fn a_file_changes_in_mid_run() {
    let (folder, data) = cohort();
    let [out, fresh, once] = ["out", "fresh", "once"].map(|name| folder.path().join(name));
    let [from, to] = ["s1", "s8"].map(|id| data.join(id).join("ct.nii"));
    let chaos = format!(
        "{{ subjects: {{ s0: copy }}, paths: [{}, {}], once: {} }}",
        from.display(),
        to.display(),
        once.display()
    );
    let run = |out: &Path| Run::new(out).of_files(&data).with(chaos.clone());
    let done = run(&out).start();
    assert!(code(&done) <= 1, "{done:?}");
    assert_eq!(said(&out).subjects.len(), 9);
    // Whatever was read of it, the next start makes it again if it was not what is there now.
    let again = run(&out).resumed().start();
    assert_eq!(code(&again), 0, "{again:?}");
    run(&fresh).start().unwrap();
    assert_eq!(said(&out), said(&fresh));
}

#[test]
fn clocks_jump_between_starts() {
    let (folder, data) = cohort();
    let out = folder.path().join("out");
    let run = || Run::new(&out).of_files(&data);
    run().start().unwrap();
    let commits = || {
        let parts = Ledger::open(&out).unwrap();
        let parts = parts.parts().into_iter();
        parts
            .map(|row| (row.part.clone(), row.committed.clone()))
            .collect::<Vec<_>>()
    };
    let (before, whole) = (commits(), said(&out));
    let decades = Duration::from_secs(30 * 365 * 86_400);
    for time in [
        SystemTime::now() + decades,
        SystemTime::UNIX_EPOCH + decades / 30,
    ] {
        for entry in walkdir::WalkDir::new(&out) {
            let path = entry.unwrap().into_path();
            if path.is_file() {
                let file = std::fs::File::options().append(true).open(path).unwrap();
                file.set_modified(time).unwrap();
            }
        }
        assert_eq!(code(&run().resumed().start()), 0);
        assert_eq!(commits(), before, "what is committed is kept");
        assert_eq!(said(&out), whole);
    }
    // Inputs from the future are inputs like others.
    add(&data, "s4", 40);
    let file = data.join("s4/ct.nii");
    let file = std::fs::File::options().append(true).open(file).unwrap();
    file.set_modified(SystemTime::now() + decades).unwrap();
    assert_eq!(code(&run().resumed().start()), 0);
    assert_ne!(said(&out).subjects["s4"], whole.subjects["s4"]);
    assert_eq!(said(&out).without("s4"), whole.without("s4"));
}

/// A cohort whose files the system refuses to read some times.
struct Refused {
    cohort: Box<dyn Cohort>,
    /// Error of the system, and how often it still comes, by subject.
    left: Mutex<BTreeMap<String, (i32, u32)>>,
}

impl Refused {
    fn refuse(&self, subject: &SubjectRecord) -> Result<(), VolumeError> {
        let mut left = self.left.lock().unwrap();
        match left.get_mut(&subject.id) {
            Some((number, times)) if *times > 0 => {
                *times -= 1;
                Err(VolumeError::Io {
                    path: subject.id.clone().into(),
                    action: "reading",
                    source: std::io::Error::from_raw_os_error(*number),
                })
            }
            _ => Ok(()),
        }
    }
}

impl Cohort for Refused {
    fn modalities(&self) -> &[String] {
        self.cohort.modalities()
    }
    fn label_names(&self) -> &[String] {
        self.cohort.label_names()
    }
    fn subjects(&self) -> &[SubjectRecord] {
        self.cohort.subjects()
    }
    fn load(&self, subject: &SubjectRecord) -> Result<Row, VolumeError> {
        self.refuse(subject)?;
        self.cohort.load(subject)
    }
    fn load_labels(&self, subject: &SubjectRecord) -> Result<Vec<Channel>, VolumeError> {
        self.cohort.load_labels(subject)
    }
    fn headers(&self, subject: &SubjectRecord) -> Result<Vec<VolumeHeader>, VolumeError> {
        self.cohort.headers(subject)
    }
    fn digest(&self, subject: &SubjectRecord) -> Result<String, VolumeError> {
        self.cohort.digest(subject)
    }
}

/// EIO passes, EACCES does not.
const EIO: i32 = 5;
const EACCES: i32 = 13;

#[test]
fn files_that_cannot_be_read_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let [out, whole] = ["out", "whole"].map(|name| folder.path().join(name));
    Run::new(&whole).start().unwrap();
    let whole = said(&whole);
    let faults = [
        ("phantom-000", EIO, 2),
        ("phantom-003", EIO, u32::MAX),
        ("phantom-008", EACCES, u32::MAX),
    ];
    let done = Run::new(&out).start_with(move |cohort| {
        let left = faults.map(|(id, number, times)| (id.to_owned(), (number, times)));
        let left = Mutex::new(left.into());
        Box::new(Refused { cohort, left })
    });
    assert_eq!(code(&done), 1, "{done:?}");
    let found = said(&out);
    let failed: Vec<&str> = found.causes.keys().map(String::as_str).collect();
    assert_eq!(failed, ["phantom-003", "phantom-008"]);
    let others = |said: Said| said.without("phantom-003").without("phantom-008");
    assert_eq!(others(found), others(whole.clone()));
    // Permission is given back, the disk answers: what failed is made again.
    assert_eq!(code(&Run::new(&out).resumed().start()), 0);
    assert_eq!(said(&out), whole);
}
