//! Chains inside a training pipeline: workers, a restart, the cache and the optimiser change no byte.

use super::case::{Case, Step};
use super::compare::{self, Within, first_difference, values};
use super::execute::caught;
use std::path::Path;
use std::sync::Arc;
use voxstream::plan::entry::Kind;
use voxstream::plan::{Plan, compile};
use voxstream::registry::STAGES;
use voxstream::run::counters::Counters;
use voxstream::run::prepare::Preparer;
use voxstream::run::stream::{Position, SampleStream, Viewer};
use voxstream::source::{Cohort, Location, SubjectRecord, VolumeHeader, VolumeRef};
use voxstream::spec::SourceFile;
use voxstream::volume::{Channel, Role, Row, Split, VolumeError};

/// Subjects of a cohort.
const SUBJECTS: usize = 3;
/// Samples taken of each stream: one epoch, and a little more.
const TAKEN: usize = 4;

/// Subjects whose voxels follow from a case and their number.
struct Drawn {
    case: Case,
    modalities: Vec<String>,
    labels: Vec<String>,
    subjects: Vec<SubjectRecord>,
}

impl Drawn {
    fn new(case: &Case) -> Self {
        let columns = |role| -> Vec<(String, bool)> {
            let of_role = case.volumes.iter().filter(|v| v.role == role);
            of_role.map(|v| (v.name.clone(), v.missing)).collect()
        };
        let names = |role| columns(role).into_iter().map(|(name, _)| name).collect();
        let refs = |role| {
            let of = |(name, missing): (String, bool)| VolumeRef {
                name,
                location: (!missing).then_some(Location::Synthetic),
            };
            columns(role).into_iter().map(of).collect()
        };
        let record = |i: usize| SubjectRecord {
            id: format!("s{i}"),
            patient: None,
            entities: Default::default(),
            cohort: "drawn".to_owned(),
            split: Split::Train,
            labelled: true,
            images: refs(Role::Image),
            labels: refs(Role::Label),
        };
        Self {
            case: case.clone(),
            modalities: names(Role::Image),
            labels: names(Role::Label),
            subjects: (0..SUBJECTS).map(record).collect(),
        }
    }

    fn row(&self, subject: &SubjectRecord) -> Row {
        let number: u64 = subject.id[1..].parse().unwrap();
        self.case.row_of(&subject.id, self.case.seed + number)
    }
}

impl Cohort for Drawn {
    fn modalities(&self) -> &[String] {
        &self.modalities
    }
    fn label_names(&self) -> &[String] {
        &self.labels
    }
    fn subjects(&self) -> &[SubjectRecord] {
        &self.subjects
    }
    fn load(&self, subject: &SubjectRecord) -> Result<Row, VolumeError> {
        Ok(self.row(subject))
    }
    fn load_labels(&self, subject: &SubjectRecord) -> Result<Vec<Channel>, VolumeError> {
        Ok(self.row(subject).labels)
    }
    fn headers(&self, subject: &SubjectRecord) -> Result<Vec<VolumeHeader>, VolumeError> {
        let row = self.row(subject);
        let of = |role, channels: &[Channel]| {
            let header = |channel: &Channel| {
                let volume = channel.volume.as_ref()?;
                Some(VolumeHeader {
                    role,
                    name: channel.name.clone(),
                    grid: *volume.grid(),
                    dtype: volume.dtype(),
                    remarks: Vec::new(),
                })
            };
            channels.iter().filter_map(header).collect::<Vec<_>>()
        };
        Ok([of(Role::Image, &row.images), of(Role::Label, &row.labels)].concat())
    }
    fn digest(&self, subject: &SubjectRecord) -> Result<String, VolumeError> {
        let text = format!("{} {}", subject.id, self.case.json());
        Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
    }
}

/// A step as a pipeline writes it.
fn written(step: &Step) -> serde_json::Value {
    serde_json::json!({ step.stage.as_str(): step.parameters })
}

/// The case as a training pipeline, with the step `cache` behind `stages` where a folder is given.
///
/// `None` if training refuses such a chain.
fn plan(case: &Case, cohort: &Drawn, cache: Option<(&Path, &str)>) -> Option<Plan> {
    let entry = |step: &Step| STAGES.iter().find(|e| e.name == step.stage);
    // `stages` make one row of a subject and draw nothing; what comes behind is a view.
    let prepares = |step: &&Step| {
        let kind = entry(step).map(|e| &e.kind);
        matches!(kind, Some(Kind::Stage | Kind::Order)) && step.stage != "repeat"
    };
    let kept = |step: &&Step| step.stage != "cache";
    let count = case.steps.iter().take_while(prepares).count();
    let mut stages: Vec<_> = case.steps[..count]
        .iter()
        .filter(kept)
        .map(written)
        .collect();
    let mut shared: Vec<_> = case.steps[count..]
        .iter()
        .filter(kept)
        .map(written)
        .collect();
    if let Some((folder, precision)) = cache {
        stages.push(serde_json::json!({ "cache": { "folder": folder, "precision": precision } }));
    }
    shared.push(serde_json::json!({ "patch": { "size": [4, 4, 4], "samples": 1 } }));
    let pipeline = serde_json::json!({
        "name": "drawn",
        "seed": case.seed,
        "source": {
            "phantom": { "subjects": SUBJECTS, "modalities": cohort.modalities, "size": [16, 16, 16] },
            "registration": { "on_mismatch": "resample", "min_overlap": 0.0 },
        },
        "stages": stages,
        "views": { "shared": shared },
        "train": {
            "classes": ["c0", "c1", "c2", "c3", "c4", "c5", "c6"],
            "network": { "unet3d": { "width": 4, "depth": 2 } },
            "steps": 1,
            "batch": { "labelled": 1, "unlabelled": 0 },
            "window": { "size": [4, 4, 4] },
        },
    });
    let file = SourceFile {
        name: "drawn.yaml".into(),
        text: pipeline.to_string(),
    };
    compile(&file, STAGES, cohort.schema().ok()).ok()
}

/// What a stream returns: the rows of every sample, and the failures, sorted.
struct Streamed {
    rows: Vec<Row>,
    /// Where the stream is behind its first sample, and how many rows that had.
    after_one: (Position, usize),
    failures: Vec<String>,
}

fn preparer(plan: &Arc<Plan>, cohort: &Arc<Drawn>, counters: &Counters) -> Arc<Preparer> {
    let cohort: Arc<dyn Cohort> = Arc::<Drawn>::clone(cohort);
    Arc::new(Preparer::new(plan, cohort, 1 << 28, counters).unwrap())
}

fn streamed(plan: &Arc<Plan>, cohort: &Arc<Drawn>, workers: usize, from: Position) -> Streamed {
    let counters = Counters::default();
    let preparer = preparer(plan, cohort, &counters);
    let viewer = Arc::new(Viewer::new(plan, &preparer, &counters));
    let subjects = (0..SUBJECTS).collect();
    let budget = (workers, 1 << 26);
    let mut stream =
        SampleStream::start("drawn", &viewer, subjects, 9, from, budget, &counters).unwrap();
    let (mut rows, mut after_one) = (Vec::new(), (from, 0));
    for i in 0..TAKEN {
        let Some(sample) = stream.take(1).and_then(|mut samples| samples.pop()) else {
            break;
        };
        if i == 0 {
            after_one = (stream.position(), sample.views().count());
        }
        rows.extend(sample.views().map(|view| {
            let mut row = Row::from_batch(view, 0).unwrap();
            // Which steps a row went through differs by the step `cache` alone.
            row.history.retain(|path| !path.ends_with(".cache"));
            row
        }));
    }
    let failures = preparer.failures().into_iter();
    let failures = failures.map(|f| format!("{} {}: {}", f.subject, f.stage, f.cause));
    Streamed {
        rows,
        after_one,
        failures: failures.collect(),
    }
}

/// Compares streams of a case with each other; `false` if no training has such a chain.
///
/// **Errors** say which streams differ, and where.
pub(crate) fn compared(case: &Case) -> Result<bool, String> {
    let kept = tempfile::tempdir().unwrap();
    let cohort = Arc::new(Drawn::new(case));
    let folder = |name: &str| kept.path().join(name);
    let of = |name: &str, precision: &str| {
        plan(case, &cohort, Some((&folder(name), precision))).map(Arc::new)
    };
    let (Some(exact), Some(fresh), Some(half)) = (
        of("exact", "exact"),
        of("fresh", "exact"),
        of("half", "half"),
    ) else {
        return Ok(false);
    };
    caught(|| {
        let first = streamed(&exact, &cohort, 1, Position::default());
        if let Some(panic) = first
            .failures
            .iter()
            .find(|f| f.contains("a fault of voxstream"))
        {
            return Err(panic.clone());
        }
        let same = |what: &str, other: &Streamed, skip: usize| {
            if first.failures != other.failures && skip == 0 {
                return Err(format!(
                    "{what}: {:?} / {:?}",
                    first.failures, other.failures
                ));
            }
            let rows = &first.rows[skip.min(first.rows.len())..];
            // A stream that starts behind the first sample goes as many samples further.
            let (found, expected) = (other.rows.len(), rows.len());
            if found < expected || (skip == 0 && found > expected) {
                return Err(format!("{what}: {found} rows, expected {expected}"));
            }
            let other = &other.rows[..expected];
            compare::rows(rows, other, Within::Bits).map_err(|e| format!("{what}: {e}"))
        };
        let start = Position::default();
        same(
            "cached against fresh",
            &streamed(&exact, &cohort, 1, start),
            0,
        )?;
        same("2 workers", &streamed(&fresh, &cohort, 2, start), 0)?;
        if !first.rows.is_empty() {
            let (position, rows) = first.after_one;
            same("resumed", &streamed(&exact, &cohort, 2, position), rows)?;
        }
        halved(&fresh, &half, &cohort)?;
        Ok(true)
    })
}

/// Prepared rows kept as half floats, against those kept as they are.
fn halved(exact: &Arc<Plan>, half: &Arc<Plan>, cohort: &Arc<Drawn>) -> Result<(), String> {
    let counters = Counters::default();
    let (exact, half) = (
        preparer(exact, cohort, &counters),
        preparer(half, cohort, &counters),
    );
    for subject in 0..SUBJECTS {
        let (a, b) = match (exact.prepared(subject, 0), half.prepared(subject, 0)) {
            (Ok(Some(a)), Ok(Some(b))) => (a, b),
            (Ok(None), Ok(None)) => continue,
            (Err(a), Err(b)) if a.cause == b.cause => continue,
            (a, b) => return Err(format!("half precision: {a:?} / {b:?}")),
        };
        for ((role, a), (_, b)) in a.volumes().zip(b.volumes()) {
            let scaling = a.scaling();
            let (a, b) = (values(a), values(b));
            let worst = a.iter().zip(&b).find(|(a, b)| {
                // 11 bits of each stored number, or of the smallest that half floats hold.
                let stored = (**a - scaling.intercept).abs() + scaling.slope.abs() * 2f64.powi(-14);
                let most = stored * 2f64.powi(-11) + a.abs() * 2f64.powi(-22);
                match role {
                    Role::Image => first_difference(&[**a], &[**b], most).is_some(),
                    Role::Label => a != b,
                }
            });
            if let Some((a, b)) = worst {
                return Err(format!("half precision, {role:?}: {a} / {b}"));
            }
        }
    }
    Ok(())
}
