//! The stream gives the same bytes for any number of workers, and after a start in mid-epoch, for
//! every registered step.

use crate::contract::prints::all_prints;
use std::sync::Arc;
use voxstream::plan::compile;
use voxstream::plan::entry::{Kind, StageEntry};
use voxstream::registry::STAGES;
use voxstream::run::counters::Counters;
use voxstream::run::prepare::Preparer;
use voxstream::run::stream::{Position, SampleStream, Viewer};
use voxstream::source::Cohort;
use voxstream::spec::SourceFile;
use voxstream::volume::Row;

/// Samples taken of each stream: two epochs of three subjects, and a little more.
const TAKEN: usize = 7;

/// A pipeline with the step's example where such a step stands.
fn pipeline(entry: &StageEntry) -> String {
    let step = format!("{{ {}: {} }}", entry.name, entry.example.trim());
    let patch = "{ patch: { size: [16, 16, 16], samples: 1 } }".to_owned();
    let orient = "{ orient: {} }".to_owned();
    let (stages, shared) = match entry.kind {
        _ if entry.name == "patch" => (orient, step),
        // `stages` make one row of a subject; everything else that draws nothing stands there.
        Kind::Order => (step, patch),
        Kind::Stage if entry.name != "repeat" => (step, patch),
        Kind::Stage | Kind::Augment | Kind::Mix => (orient, format!("{patch}, {step}")),
    };
    format!(
        "name: stream\nseed: 9\nsource: {{ phantom: {{ subjects: 3, modalities: [ct, mr], classes: 2, size: [24, 20, 18] }} }}\n\
         stages: [{stages}]\nviews:\n  shared: [{shared}]\n  strong: {{ first: [gaussian_noise: {{ p: 0.5 }}], second: [gaussian_noise: {{ p: 0.5 }}, gamma: {{}}] }}\n\
         train: {{ classes: [b, x, y, z], network: {{ unet3d: {{ width: 4, depth: 2 }} }}, steps: 1, batch: {{ labelled: 1, unlabelled: 0 }}, window: {{ size: [16, 16, 16] }} }}\n"
    )
}

/// What a stream gives from a position on, and where it stands after two samples.
fn streamed(
    entry: &StageEntry,
    workers: usize,
    from: Position,
) -> (Vec<Vec<Vec<String>>>, Position) {
    let text = pipeline(entry);
    let file = SourceFile {
        name: "stream.yaml".into(),
        text: text.clone(),
    };
    let plan = compile(&file, STAGES, None).unwrap_or_else(|e| {
        let shown: Vec<String> = e.iter().map(|d| d.render(false)).collect();
        panic!("{}: {}\n{text}", entry.name, shown.join("\n"))
    });
    let cohort: Arc<dyn Cohort> = plan
        .pipeline
        .source
        .open(std::path::Path::new("."), plan.pipeline.seed)
        .unwrap()
        .into();
    let (plan, counters) = (Arc::new(plan), Counters::default());
    let preparer = Arc::new(Preparer::new(&plan, cohort, 1 << 28, &counters).unwrap());
    let viewer = Arc::new(Viewer::new(&plan, &preparer, &counters));
    let subjects = (0..3).collect();
    let budget = (workers, 1 << 26);
    let mut stream =
        SampleStream::start("test", &viewer, subjects, 9, from, budget, &counters).unwrap();
    let mut after_two = from;
    let samples = (0..TAKEN)
        .map_while(|i| {
            let sample = stream.take(1)?.pop()?;
            if i == 1 {
                after_two = stream.position();
            }
            let rows = sample.views().map(|v| Row::from_batch(v, 0).unwrap());
            Some(all_prints(&rows.collect::<Vec<_>>()))
        })
        .collect();
    assert!(
        preparer.failures().is_empty(),
        "{}: {:?}",
        entry.name,
        preparer.failures()
    );
    (samples, after_two)
}

#[test]
fn workers_and_restarts_change_no_byte() {
    for entry in STAGES {
        let (one, after_two) = streamed(entry, 1, Position::default());
        assert_eq!(one.len(), TAKEN, "{}", entry.name);
        for workers in [2, 7] {
            let (other, _) = streamed(entry, workers, Position::default());
            assert!(one == other, "{}: {workers} workers", entry.name);
        }
        let (rest, _) = streamed(entry, 3, after_two);
        assert!(
            one[2..] == rest[..TAKEN - 2],
            "{}: after a restart",
            entry.name
        );
        println!(
            "{}: equal with 1, 2 and 7 workers and after a restart in mid-epoch",
            entry.name
        );
    }
}
