//! A panic in a step is the failure of its subject: the run names it and continues.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use voxstream::error::Error;
use voxstream::plan::{compile, entry::StageEntry};
use voxstream::registry::STAGES;
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{FailureRow, PartRow, SubjectRow, read_run_table};
use voxstream::spec::SourceFile;
use voxstream::stage::{EdgeSchema, Stage, StageError};
use voxstream::volume::{Change, Row};

/// Panics on the subjects it names: at once, or when the voxels of its result are computed.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Faulty {
    subjects: Vec<String>,
    #[serde(default)]
    late: bool,
}

impl Stage for Faulty {
    const NAME: &'static str = "faulty";
    const EXAMPLE: &'static str = "{ subjects: [] }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        Ok(input.with_f32_images())
    }

    fn map(&self, mut row: Row) -> Result<Vec<Row>, StageError> {
        let faulty = self.subjects.contains(&row.subject);
        if self.late {
            for image in &mut row.images {
                let change = Change::by_place(move |values: &mut [f32], first: usize| {
                    assert!(!faulty, "voxel {} of {}", first, values.len());
                });
                image.volume = image.volume.take().map(|v| v.changed(change));
            }
        } else if faulty {
            panic!("a site of class 7");
        }
        Ok(vec![row])
    }
}

fn tried(text: &str, out: &Path, workers: usize) -> Result<RunOutcome, Error> {
    let file = SourceFile {
        name: "faulty.yaml".into(),
        text: text.into(),
    };
    let own = [StageEntry::stage::<Faulty>()];
    let registry: Vec<StageEntry> = STAGES.iter().copied().chain(own).collect();
    let plan = compile(&file, &registry, None).unwrap_or_else(|errors| {
        panic!(
            "{}",
            errors.iter().map(|e| e.render(false)).collect::<String>()
        )
    });
    let source = &plan.pipeline.source;
    let cohort = source.open(Path::new("."), plan.pipeline.seed).unwrap();
    let options = RunOptions {
        out: Some(out.to_owned()),
        workers: Some(workers),
        ..RunOptions::default()
    };
    run(plan, cohort, &options)
}

fn statuses(out: &Path) -> Vec<(String, String)> {
    let rows: Vec<SubjectRow> = read_run_table(out).unwrap();
    rows.into_iter().map(|r| (r.subject_id, r.status)).collect()
}

fn failures(out: &Path) -> Vec<FailureRow> {
    read_run_table(out).unwrap()
}

#[test]
fn preparation_continues_behind_a_panic() {
    for (workers, late, said) in [
        (1, false, "a site of class 7"),
        (2, false, "a site of class 7"),
        (2, true, "voxel 0 of"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let text = format!(
            "name: faulty\nsource: {{ phantom: {{ subjects: 5, modalities: [ct], size: [16, 16, 16] }} }}\n\
             stages: [zscore: {{}}, faulty: {{ subjects: [phantom-001, phantom-003], late: {late} }}]\n\
             sinks: {{ prepared: {{ parquet: true }} }}\n"
        );
        let outcome = tried(&text, &out, workers).unwrap();
        assert!(outcome.failures.iter().all(|f| f.is_internal()));
        let expected = ["ok", "failed", "ok", "failed", "ok"];
        let found = statuses(&out);
        assert_eq!(
            found.iter().map(|(_, s)| s.as_str()).collect::<Vec<_>>(),
            expected
        );
        let rows = failures(&out);
        assert_eq!(rows.len(), 2);
        for row in rows {
            assert_eq!(row.stage, "stages[1].faulty");
            let cause = &row.cause;
            assert!(
                cause.starts_with("internal error: ") && cause.contains(said),
                "{cause}"
            );
            assert!(
                cause.contains("tests/panics.rs:") && cause.contains("report"),
                "{cause}"
            );
        }
        let parts: Vec<PartRow> = read_run_table(&out).unwrap();
        let told: Vec<_> = parts.iter().map(|p| (p.subjects, p.rows)).collect();
        assert_eq!(told, [(5, 3)], "rows of the subjects that did not fail");
    }
}

/// A training of eight phantoms: `phantom-0` to `phantom-5` train, then validation, then test.
fn training(stages: &str, shared: &str, strong: &str) -> String {
    format!(
        "name: faulty\nseed: 3\n\
         source: {{ phantom: {{ subjects: 8, modalities: [ct], size: [16, 16, 16], classes: 1, labelled: 3, validation: 1, test: 1 }} }}\n\
         stages: [zscore: {{}}{stages}]\n\
         views: {{ shared: [patch: {{ size: [16, 16, 16] }}{shared}], strong: [gamma: {{}}{strong}] }}\n\
         pseudo_label: {{ threshold: {{ fixed: 0.5 }} }}\n\
         train: {{ classes: [background, a], network: {{ unet3d: {{ width: 4, depth: 2 }} }}, steps: 6, batch: {{ labelled: 1, unlabelled: 1 }}, objective: {{ supervised: {{}}, pseudo_label: {{}} }} }}\n\
         score: {{ splits: [test] }}\n"
    )
}

#[test]
fn training_and_scoring_continue_behind_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    tried(&training("", "", ""), &whole, 2).unwrap();
    let rows: Vec<SubjectRow> = read_run_table(&whole).unwrap();
    let first = |split: &str, labelled: bool| -> String {
        let mut rows = rows.iter();
        let found = rows.find(|r| r.split == split && r.labelled == labelled);
        found.unwrap().subject_id.clone()
    };
    let (labelled, unlabelled) = (first("train", true), first("train", false));
    let test = first("test", false);
    let faulty = |subject: &str| format!(", faulty: {{ subjects: [{subject}] }}");
    let none = String::new();
    let cases = [
        (
            &labelled,
            "stages[1].faulty",
            [faulty(&labelled), none.clone(), none.clone()],
        ),
        (
            &labelled,
            "views.shared[1].faulty",
            [none.clone(), faulty(&labelled), none.clone()],
        ),
        (
            &unlabelled,
            "views.strong[1].faulty",
            [none.clone(), none.clone(), faulty(&unlabelled)],
        ),
        (
            &test,
            "stages[1].faulty",
            [faulty(&test), none.clone(), none.clone()],
        ),
    ];
    for (i, (subject, stage, [stages, shared, strong])) in cases.into_iter().enumerate() {
        let out = folder.path().join(i.to_string());
        let outcome = tried(&training(&stages, &shared, &strong), &out, 2).unwrap();
        let found: Vec<_> = failures(&out)
            .into_iter()
            .map(|f| (f.subject_id, f.stage))
            .collect();
        assert_eq!(found, [(subject.clone(), stage.to_owned())], "case {i}");
        let scored = outcome.scores.iter().any(|s| s.subject_id == test);
        assert_eq!(scored, *subject != test, "case {i}");
    }
}
