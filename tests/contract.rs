//! What every registered step promises. New steps are covered as soon as they are registered.
//!
//! A step's example must run on the phantom (modalities `ct` and `mr`, one label map, 12 x 10 x 8
//! voxels). Steps whose file lies in `src/stage/intensity/` also promise to leave labels alone.

mod documents;
pub(crate) mod phantom;
pub(crate) mod prints;

use phantom::{edge, facts, odd_rows, subject, subject_without_mr};
use prints::{all_prints, print, voxels};
use std::path::Path;
use voxstream::plan::entry::{Kind, StageEntry};
use voxstream::registry::STAGES;
use voxstream::schema::stage_schema;
use voxstream::spec::node::Document;
use voxstream::stage::{AnyStage, ChannelSchema, SubjectFacts};
use voxstream::volume::{Role, Row};

const SEED: u64 = 20;

/// Reads parameters as a pipeline would; JSON is YAML too.
fn parse(entry: &StageEntry, text: &str) -> Box<dyn AnyStage> {
    let document = Document::parse(text).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
    (entry.parse)(document.root()).unwrap_or_else(|e| panic!("{}: {text}: {e:?}", entry.name))
}

fn example(entry: &StageEntry) -> Box<dyn AnyStage> {
    parse(entry, entry.example)
}

/// The example with another probability; `None` for steps without `p`.
fn with_p(entry: &StageEntry, p: f64) -> Option<Box<dyn AnyStage>> {
    let mut parameters = example(entry).to_json();
    parameters.get("p")?;
    parameters["p"] = p.into();
    Some(parse(entry, &parameters.to_string()))
}

/// The example as it runs on every row, where that can be asked for.
fn certain(entry: &StageEntry) -> Box<dyn AnyStage> {
    with_p(entry, 1.0).unwrap_or_else(|| example(entry))
}

fn run(stage: &dyn AnyStage, seed: u64, row: Row) -> Vec<Row> {
    let subject = row.subject.clone();
    let path = format!("stages[0].{}", stage.name());
    let result = run_alone(stage, &path, seed, row);
    result.unwrap_or_else(|e| panic!("{} on {subject}: {e}", stage.name()))
}

/// Runs a step; one that mixes rows gets `partner`.
fn run_alone(
    stage: &dyn AnyStage,
    path: &str,
    seed: u64,
    row: Row,
) -> Result<Vec<Row>, voxstream::stage::StageError> {
    match stage.mixing() {
        None => stage.run(path, seed, row),
        Some(_) => {
            let row = stage.mix(path, seed, row, &mut |_| Ok(subject("partner")))?;
            Ok(vec![row])
        }
    }
}

/// Steps that draw for rows.
fn draws(entry: &StageEntry) -> bool {
    matches!(entry.kind, Kind::Augment | Kind::Mix)
}

#[test]
fn rows_are_what_the_plan_said() {
    for entry in STAGES {
        let stages = [Some(example(entry)), with_p(entry, 1.0), with_p(entry, 0.0)];
        for stage in stages.into_iter().flatten() {
            let planned = stage.check(&edge()).unwrap_or_else(|e| {
                panic!("{}: the example does not suit the phantom: {e}", entry.name)
            });
            for row in [subject("a"), subject_without_mr("b")] {
                let present = row.images[1].volume.is_some();
                let rows = run(stage.as_ref(), SEED, row);
                if let Some(count) = planned.rows_per_subject {
                    assert_eq!(rows.len(), count as usize, "{}", entry.name);
                }
                for row in &rows {
                    agree(entry.name, &planned.channels, row);
                    let mr = row.images.iter().find(|c| c.name == "mr").unwrap();
                    let may_drop = entry.name == "drop_modality";
                    assert!(
                        mr.volume.is_some() == present || (present && may_drop),
                        "{}: mr",
                        entry.name
                    );
                }
            }
        }
    }
}

fn agree(stage: &str, planned: &[ChannelSchema], row: &Row) {
    let images = planned.iter().filter(|c| c.role == Role::Image).count();
    assert_eq!(row.images.len(), images, "{stage}: images");
    assert_eq!(row.labels.len(), planned.len() - images, "{stage}: labels");
    for (plan, channel) in planned.iter().zip(row.images.iter().chain(&row.labels)) {
        let column = format!("{stage}: {}", plan.column());
        assert_eq!(plan.name, channel.name, "{column}");
        let Some(volume) = &channel.volume else {
            continue;
        };
        let grid = volume.grid();
        assert_eq!(
            plan.dtype.unwrap_or(volume.dtype()),
            volume.dtype(),
            "{column}"
        );
        assert_eq!(
            plan.shape_xyz.unwrap_or(grid.shape_xyz()),
            grid.shape_xyz(),
            "{column}"
        );
        let orientation = plan.orientation.clone();
        assert_eq!(
            orientation.unwrap_or(grid.orientation()),
            grid.orientation(),
            "{column}"
        );
        let spacing = grid.spacing_mm();
        for (plan, found) in plan.spacing_mm.unwrap_or(spacing).iter().zip(spacing) {
            assert!(
                (plan / found - 1.0).abs() < 1e-6,
                "{column}: {plan} mm, found {found}"
            );
        }
    }
}

#[test]
fn bytes_depend_on_the_key_alone() {
    for entry in STAGES {
        let names = ["a", "b", "c"];
        let (one, other) = (certain(entry), certain(entry));
        let forwards: Vec<_> = names
            .iter()
            .map(|n| all_prints(&run(one.as_ref(), SEED, subject(n))))
            .collect();
        let mut backwards = Vec::new();
        for name in names.iter().rev() {
            let _ = run(other.as_ref(), SEED + 1, subject("unrelated"));
            backwards.push(all_prints(&run(other.as_ref(), SEED, subject(name))));
        }
        backwards.reverse();
        assert_eq!(forwards, backwards, "{}", entry.name);
        let threads = std::thread::scope(|scope| {
            let start = |n: &'static str| {
                let one = one.as_ref();
                scope.spawn(move || all_prints(&run(one, SEED, subject(n))))
            };
            let running: Vec<_> = names.into_iter().map(start).collect();
            let done = running.into_iter().map(|t| t.join().unwrap());
            done.collect::<Vec<_>>()
        });
        assert_eq!(forwards, threads, "{}", entry.name);
    }
}

#[test]
fn other_keys_draw_otherwise() {
    for entry in STAGES.iter().filter(|e| draws(e)) {
        // A step that draws nothing but whether it runs varies in the example, not at p = 1.
        let stages = [certain(entry), example(entry)];
        let vary = |change: fn(&mut Row, u32)| {
            stages.iter().any(|stage| {
                let draws_at = |i| {
                    let mut row = subject("a");
                    change(&mut row, i);
                    let rows = run(stage.as_ref(), SEED, row);
                    let draws = rows
                        .iter()
                        .map(|r| r.draws.iter().map(|d| d.draw.to_string()));
                    draws.map(Iterator::collect).collect::<Vec<Vec<_>>>()
                };
                (1..32).any(|i| draws_at(i) != draws_at(0))
            })
        };
        assert!(
            vary(|row, i| row.epoch = u64::from(i)),
            "{}: epoch",
            entry.name
        );
        assert!(vary(|row, i| row.sample = i), "{}: sample", entry.name);
        assert!(
            vary(|row, i| row.subject = format!("a{i}")),
            "{}: subject",
            entry.name
        );
    }
}

#[test]
fn replaying_the_record_gives_the_same_bytes() {
    for entry in STAGES {
        let stage = certain(entry);
        for input in [subject("a"), subject_without_mr("b")] {
            for row in run(stage.as_ref(), SEED, input.clone()) {
                let Some(record) = row.draws.last() else {
                    let replayed = stage.replay(&serde_json::Value::Null, input.clone());
                    assert!(replayed.is_err() || draws(entry), "{}", entry.name);
                    continue;
                };
                // Records are kept as text.
                let text = record.draw.to_string();
                let draw = serde_json::from_str(&text).unwrap();
                let mut before = input.clone();
                before.sample = row.sample;
                let replayed = match stage.mixing() {
                    None => stage.replay(&draw, before).unwrap(),
                    Some(_) => {
                        let told = stage.replay(&draw, before.clone()).unwrap_err().to_string();
                        assert!(told.contains("`partner`"), "{told}");
                        let other = stage.replay_mix(&draw, before.clone(), &subject("other"));
                        assert!(other.is_err(), "{}: another partner", entry.name);
                        let partner = subject("partner");
                        stage.replay_mix(&draw, before, &partner).unwrap()
                    }
                };
                assert_eq!(voxels(&replayed), voxels(&row), "{}: {text}", entry.name);
            }
        }
    }
}

#[test]
fn probability_zero_changes_nothing() {
    for entry in STAGES {
        let Some(stage) = with_p(entry, 0.0) else {
            continue;
        };
        for row in run(stage.as_ref(), SEED, subject("a")) {
            assert_eq!(voxels(&row), voxels(&subject("a")), "{}", entry.name);
        }
    }
}

#[test]
fn steps_with_a_probability_do_something() {
    for entry in STAGES {
        let Some(stage) = with_p(entry, 1.0) else {
            continue;
        };
        let changes = |i: u64| {
            let mut row = subject("a");
            row.epoch = i;
            let rows = run(stage.as_ref(), SEED, row);
            rows.iter().any(|row| voxels(row) != voxels(&subject("a")))
        };
        assert!((0..8).any(changes), "{}", entry.name);
    }
}

#[test]
fn intensity_steps_leave_labels_alone() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stage/intensity");
    let mut seen = 0;
    for entry in STAGES {
        if !folder.join(format!("{}.rs", entry.name)).exists() {
            continue;
        }
        seen += 1;
        let planned = certain(entry).check(&edge()).unwrap();
        let known = planned.images().all(|image| image.dtype.is_some());
        assert!(
            known,
            "{}: a step that always runs knows its types",
            entry.name
        );
        let before: Vec<String> = subject("a").labels.iter().map(print).collect();
        for row in run(certain(entry).as_ref(), SEED, subject("a")) {
            let after: Vec<String> = row.labels.iter().map(print).collect();
            assert_eq!(after, before, "{}", entry.name);
        }
    }
    // Folders hold the tests of the file they are named like.
    let files = std::fs::read_dir(folder).unwrap().filter(|f| {
        let name = f.as_ref().unwrap().file_name();
        let name = name.to_str().unwrap();
        name.ends_with(".rs") && !["mod.rs", "tests.rs"].contains(&name)
    });
    assert_eq!(seen, files.count(), "one file a step, named like it");
}

#[test]
fn odd_rows_are_refused_or_passed() {
    for entry in STAGES {
        for (what, row) in odd_rows() {
            // A panic is the failure looked for; say where it came from.
            let stage = certain(entry);
            let run =
                std::panic::AssertUnwindSafe(|| run_alone(stage.as_ref(), "stages[0]", SEED, row));
            let result = std::panic::catch_unwind(run);
            assert!(result.is_ok(), "{} panics on {what}", entry.name);
        }
    }
}

#[test]
fn orders_are_permutations_that_depend_on_the_epoch() {
    for entry in STAGES.iter().filter(|e| e.kind == Kind::Order) {
        // Of one kind all of them: then no step has a reason to leave a subject out.
        let facts: Vec<SubjectFacts> = (0..40).map(|_| facts()).collect();
        let stage = example(entry);
        let order = |epoch| {
            let mut subjects: Vec<usize> = (0..40).collect();
            stage.order("stages[0]", SEED, epoch, &mut subjects, &facts);
            subjects
        };
        assert_eq!(order(3), order(3), "{}", entry.name);
        assert_ne!(order(3), order(4), "{}", entry.name);
        let mut sorted = order(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..40).collect::<Vec<_>>(), "{}", entry.name);
    }
}
