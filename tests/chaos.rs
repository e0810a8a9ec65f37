//! Faults in every phase of a run: nothing hangs, is lost or doubled, others are what they were without the
//! fault, and the exit code says what happened.

mod files;
mod process;
mod steps;
mod stores;
mod system;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;
use voxstream::error::Error;
use voxstream::plan::{compile, entry::StageEntry};
use voxstream::registry::STAGES;
use voxstream::run::context::cancel;
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::parts::verify;
use voxstream::sink::{FailureRow, Ledger, SubjectRow, read_prepared};
use voxstream::source::Cohort;
use voxstream::spec::SourceFile;
use voxstream::stage::{EdgeSchema, Stage, StageError};
use voxstream::volume::{Channel, Row, Volume};

/// What goes wrong with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Fault {
    None,
    /// The step refuses the subject.
    Error,
    /// It panics.
    Panic,
    /// It takes longer than the others.
    Delay,
    /// Its row has another column than it promised.
    WrongSchema,
    /// Its row has fewer voxels than its grid.
    ShortRow,
    /// It takes much more memory than anybody could know.
    Hog,
    /// It ends the process.
    Abort,
    /// The user ends the process while it is worked on, by Ctrl-C twice.
    Cancel,
    /// It moves a folder of the run away, and leaves a file in its place: both paths are given.
    Block,
    /// It moves a file of the cohort away: both paths are given.
    Move,
    /// It writes other bytes into a file of the cohort, a copy of another: both paths are given.
    Copy,
}

/// Does something wrong with the subjects that it names, or with a share of them that the seed draws.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Chaos {
    #[serde(default)]
    subjects: BTreeMap<String, Fault>,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default)]
    paths: Vec<PathBuf>,
    /// A file that is written by the first fault; while it is there, nothing else goes wrong.
    #[serde(default)]
    once: Option<PathBuf>,
}

/// Faults that a seed draws.
const DRAWN: [Fault; 8] = [
    Fault::None,
    Fault::None,
    Fault::Error,
    Fault::Panic,
    Fault::Delay,
    Fault::WrongSchema,
    Fault::ShortRow,
    Fault::Hog,
];

/// The fault that a seed draws for a subject.
fn drawn(seed: u64, subject: &str) -> Fault {
    let hash = blake3::hash(format!("{seed} {subject}").as_bytes());
    DRAWN[usize::from(hash.as_bytes()[0]) % DRAWN.len()]
}

impl Stage for Chaos {
    const NAME: &'static str = "chaos";
    const EXAMPLE: &'static str = "{}";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        Ok(input.clone())
    }

    fn map(&self, mut row: Row) -> Result<Vec<Row>, StageError> {
        let named = self.subjects.get(&row.subject).copied();
        let drawn = self.seed.map(|seed| drawn(seed, &row.subject));
        let mut fault = named.or(drawn).unwrap_or(Fault::None);
        if let (Some(once), true) = (&self.once, fault != Fault::None) {
            match once.exists() {
                true => fault = Fault::None,
                false => std::fs::write(once, b"").unwrap(),
            }
        }
        match fault {
            Fault::None => {}
            Fault::Error => return Err(StageError::input("refused by the test")),
            Fault::Panic => panic!("a panic of the test"),
            Fault::Delay => std::thread::sleep(Duration::from_millis(30)),
            Fault::WrongSchema => row.images.push(Channel {
                name: "other".to_owned(),
                volume: None,
            }),
            Fault::ShortRow => {
                let image = row.images[0].volume.take().expect("phantoms have images");
                row.images[0].volume = Some(Volume::from_vec(vec![0f32; 7], *image.grid())?);
            }
            Fault::Hog => drop(std::hint::black_box(vec![1u8; 64 << 20])),
            Fault::Abort => std::process::abort(),
            Fault::Cancel => {
                assert!(
                    !cancel() && cancel(),
                    "only the second signal ends the process"
                );
                std::process::exit(130);
            }
            Fault::Block => {
                std::fs::rename(&self.paths[0], &self.paths[1]).ok();
                std::fs::write(&self.paths[0], b"no folder").unwrap();
            }
            Fault::Move => std::fs::rename(&self.paths[0], &self.paths[1]).unwrap(),
            Fault::Copy => {
                std::fs::copy(&self.paths[0], &self.paths[1]).unwrap();
            }
        }
        Ok(vec![row])
    }
}

/// A run in a folder of its own.
struct Run {
    source: String,
    /// Arguments of the step `chaos`.
    chaos: String,
    /// Whether the step stands in the views, not in `stages`.
    in_views: bool,
    part_size: &'static str,
    /// Further sections, instead of the sinks of a preparation.
    more: Option<&'static str>,
    options: RunOptions,
}

/// Nine small phantoms.
const PHANTOMS: &str = "phantom: { subjects: 9, modalities: [ct], size: [16, 16, 16] }";

/// Eight phantoms with labels.
const LABELLED: &str = "phantom: { subjects: 8, modalities: [ct], classes: 2, size: [16, 16, 16], labelled: 3, validation: 1, test: 2 }";

const TRAINING: &str = "
train:
  classes: [background, a, b]
  network: { unet3d: { width: 4, depth: 2 } }
  objective: { supervised: {} }
  batch: { labelled: 1 }
  steps: 6
  validate: { every: 2 }
score: { splits: [test] }";

impl Run {
    fn new(out: &Path) -> Self {
        Self {
            source: PHANTOMS.to_owned(),
            chaos: "{}".to_owned(),
            in_views: false,
            part_size: "1MiB",
            more: None,
            options: RunOptions {
                out: Some(out.to_owned()),
                workers: Some(2),
                ..RunOptions::default()
            },
        }
    }

    fn with(self, chaos: impl Into<String>) -> Self {
        let chaos = chaos.into();
        Self { chaos, ..self }
    }

    fn of_files(self, folder: &Path) -> Self {
        let source = format!(
            "folders: {{ path: {}, images: '{{subject}}/{{modality}}.nii', modalities: [ct] }}",
            folder.display()
        );
        Self { source, ..self }
    }

    /// A training of a tiny network on eight phantoms.
    fn of_training(self) -> Self {
        Self {
            source: LABELLED.to_owned(),
            more: Some(TRAINING),
            ..self
        }
    }

    fn resumed(mut self) -> Self {
        self.options.resume = true;
        self
    }

    fn text(&self) -> String {
        let sinks = format!(
            "sinks: {{ prepared: {{ parquet: true }}, part_size: {} }}",
            self.part_size
        );
        let step = format!(", chaos: {}", self.chaos);
        let (in_stages, in_views) = match self.in_views {
            true => ("", &*step),
            false => (&*step, ""),
        };
        let views = match self.more {
            Some(_) => format!("views: {{ shared: [patch: {{ size: [16, 16, 16] }}{in_views}] }}"),
            None => String::new(),
        };
        format!(
            "name: chaos\nretries: 2\nsource: {{ {} }}\nstages: [zscore: {{}}{in_stages}]\n{views}\n{}\n",
            self.source,
            self.more.unwrap_or(&sinks)
        )
    }

    /// Runs it here; the cohort may be changed first.
    fn start_with(
        self,
        change: impl FnOnce(Box<dyn Cohort>) -> Box<dyn Cohort> + Send + 'static,
    ) -> Result<RunOutcome, Error> {
        let (sender, ended) = channel();
        let work = move || {
            let file = SourceFile {
                name: "chaos.yaml".into(),
                text: self.text(),
            };
            let own = [StageEntry::stage::<Chaos>()];
            let registry: Vec<StageEntry> = STAGES.iter().copied().chain(own).collect();
            let plan = compile(&file, &registry, None).unwrap_or_else(|errors| {
                panic!(
                    "{}",
                    errors.iter().map(|e| e.render(false)).collect::<String>()
                )
            });
            let source = &plan.pipeline.source;
            let cohort = source.open(Path::new("."), plan.pipeline.seed).unwrap();
            sender
                .send(run(plan, change(cohort), &self.options))
                .unwrap();
        };
        let thread = std::thread::Builder::new().name("chaos".to_owned());
        thread.spawn(work).unwrap();
        // Far beyond what any machine takes: what is found is a hang.
        ended
            .recv_timeout(Duration::from_secs(300))
            .expect("the run hangs or panics")
    }

    fn start(self) -> Result<RunOutcome, Error> {
        self.start_with(|cohort| cohort)
    }
}

/// Exit code of a run.
fn code(done: &Result<RunOutcome, Error>) -> u8 {
    match done {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => error.exit_code(),
    }
}

/// What a run says: status and digest of the voxels of every subject, and why others failed.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    subjects: BTreeMap<String, (String, Option<String>)>,
    causes: BTreeMap<String, String>,
}

/// Reads a run. Every subject has one row, every prepared one its voxels once, and no file is damaged.
fn said(out: &Path) -> Said {
    assert_eq!(verify(out).unwrap().1, []);
    let ledger = Ledger::open(out).unwrap();
    let mut prepared = BTreeMap::new();
    for file in ledger.files("prepared") {
        for row in read_prepared(&file).unwrap() {
            let voxels = row.images[0].volume.as_ref().unwrap();
            let digest = blake3::hash(voxels.buffer()).to_hex().to_string();
            let twice = prepared.insert(row.subject.clone(), digest);
            assert_eq!(twice, None, "{} was prepared twice", row.subject);
        }
    }
    let mut subjects = BTreeMap::new();
    for row in ledger.read::<SubjectRow>().unwrap() {
        let digest = prepared.remove(&row.subject_id);
        assert_eq!(digest.is_some(), row.status == "ok", "{}", row.subject_id);
        let twice = subjects.insert(row.subject_id.clone(), (row.status, digest));
        assert_eq!(twice, None, "{} has two rows", row.subject_id);
    }
    assert_eq!(prepared.len(), 0, "voxels of subjects that have no row");
    let mut causes = BTreeMap::new();
    for row in ledger.read::<FailureRow>().unwrap() {
        let cause = format!("{}: {}", row.stage, row.cause);
        assert_eq!(causes.insert(row.subject_id, cause), None);
    }
    let failed = subjects
        .iter()
        .filter(|(_, (status, _))| status == "failed");
    assert!(failed.map(|(id, _)| id).eq(causes.keys()));
    Said { subjects, causes }
}

impl Said {
    /// The same without a subject's own figures.
    fn without(mut self, subject: &str) -> Self {
        self.subjects.remove(subject);
        self.causes.remove(subject);
        self
    }
}
