//! What a training begins with: weights, a learning rate, landmarks.

use crate::pipelines::TINY;
use std::path::Path;
use std::sync::Arc;
use voxstream::cli::{open, read};
use voxstream::nn::tensor_file::read_tensors;
use voxstream::plan::Plan;
use voxstream::run::counters::Counters;
use voxstream::run::driver::{RunOptions, run};
use voxstream::run::find_lr::{Sweep, find_lr};
use voxstream::run::landmarks::{Scale, landmarks};
use voxstream::run::prepare::Preparer;
use voxstream::source::Cohort;
use voxstream::stage::intensity::zscore::Foreground;

fn tiny(more: &[String]) -> (Plan, Box<dyn Cohort>) {
    let mut set: Vec<String> = TINY.iter().map(|s| (*s).to_owned()).collect();
    set.extend(more.iter().cloned());
    open(&read(Path::new("pipelines/04-cmc-phantom.yaml"), &set).unwrap()).unwrap()
}

fn options(out: &Path) -> RunOptions {
    RunOptions {
        out: Some(out.to_owned()),
        workers: Some(1),
        ..RunOptions::default()
    }
}

/// The tensors of one network in a run's only checkpoint.
fn weights(run: &Path, network: &str) -> Vec<(String, Vec<f32>)> {
    let path = run.join(format!("checkpoints/step-00000002/{network}.safetensors"));
    let (tensors, _) = read_tensors(&path, &candle_core::Device::Cpu).unwrap();
    let flat = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1().unwrap();
    tensors.iter().map(|(n, t)| (n.clone(), flat(t))).collect()
}

/// Equal but for what a learning rate of 1e-30 changed; biases begin at 0.
fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-20)
}

#[test]
fn a_training_begins_with_the_weights_of_another() {
    let folder = tempfile::tempdir().unwrap();
    // A rate this small changes nothing: what comes out is what training began with.
    let still = ["train.steps=2", "train.optimizer.lr=1e-30"].map(str::to_owned);
    let of = |name: &str, more: &[String]| {
        let out = folder.path().join(name);
        let (plan, cohort) = tiny(&[&still[..], more].concat());
        run(plan, cohort, &options(&out)).map(|_| out)
    };
    let first = of("first", &[]).unwrap();
    let run_folder = first.display().to_string();
    let from = |skip: &str| {
        [
            "seed=77".to_owned(),
            format!("train.initial={{from: \"{run_folder}\", skip: [{skip}]}}"),
        ]
    };
    // What predicts in a run is its teacher; the student begins with that.
    let first = weights(&first, "teacher");
    let whole = weights(&of("whole", &from("")).unwrap(), "student");
    for ((name, old), (other, new)) in first.iter().zip(&whole) {
        assert!(name == other && same(old, new), "{name} {other}");
    }
    let part = weights(&of("part", &from("head")).unwrap(), "student");
    let mut heads = 0;
    for ((name, old), (_, new)) in first.iter().zip(&part) {
        let head = name.ends_with("head.weight");
        assert_eq!(!same(old, new), head, "{name}");
        heads += usize::from(head);
    }
    assert!(heads > 0);
    let more = [&from("")[..], &["train.network.cmc.width=8".to_owned()]].concat();
    let text = of("wider", &more).unwrap_err().to_string();
    assert!(
        text.contains("train.initial.from") && text.contains("expected F32"),
        "{text}"
    );
}

#[test]
fn a_sweep_over_learning_rates_finds_where_the_loss_falls() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = Sweep {
        from: 1e-5,
        to: 10.0,
        steps: 40,
    };
    let (plan, cohort) = tiny(&[]);
    let mut told = 0;
    let found = find_lr(plan, cohort, &options(folder.path()), sweep, |_, _| {
        told += 1
    })
    .unwrap();
    assert_eq!(found.tried.len(), told);
    let (lowest, suggested) = (found.lowest.unwrap(), found.suggested.unwrap());
    assert!(
        (1e-5..=10.0).contains(&suggested) && suggested <= lowest,
        "{found:?}"
    );
    let least = found
        .tried
        .iter()
        .map(|t| t.smoothed)
        .fold(f64::INFINITY, f64::min);
    assert!(least < found.tried[0].smoothed, "{found:?}");
    assert!(
        folder.path().read_dir().unwrap().next().is_none(),
        "nothing is kept"
    );
}

#[test]
fn landmarks_of_standardised_images_are_the_landmarks() {
    let folder = tempfile::tempdir().unwrap();
    let scale = Scale {
        percentiles: vec![1.0, 50.0, 99.0],
        foreground: Foreground::AboveMin,
        ends: [-1.0, 3.0],
    };
    let learn = |stages: &str| {
        let set = [
            format!("stages={stages}"),
            "views.strong=[gaussian_noise: { std: [0.0, 0.1] }]".to_owned(),
        ];
        let (plan, cohort) = tiny(&set);
        landmarks(plan, cohort, &options(folder.path()), &scale)
    };
    let learned = learn("[orient: { to: RAS }]").unwrap();
    // 8 subjects without 1 for validation and 2 for the test.
    assert_eq!((learned.failed, learned.images["mr"]), (0, 5));
    let ct = &learned.step.landmarks["ct"];
    assert!(
        ct[0] == -1.0 && (-1.0..3.0).contains(&ct[1]) && ct[2] == 3.0,
        "{ct:?}"
    );

    // Each image's own middle lies elsewhere; on the common scale all lie on the landmark.
    let step = serde_json::to_string(&learned.step).unwrap();
    let set = format!("[orient: {{ to: RAS }}, histogram_standardize: {step}]");
    let refused = learn(&set).unwrap_err().to_string();
    assert!(
        refused.contains("stages[1].histogram_standardize standardises already"),
        "{refused}"
    );
    let (plan, cohort) = tiny(&[format!("stages={set}")]);
    let (plan, cohort) = (Arc::new(plan), Arc::from(cohort));
    let preparer = Preparer::new(&plan, cohort, 1 << 28, &Counters::default()).unwrap();
    for subject in 0..3 {
        let rows = preparer.rows(subject, 0).unwrap();
        let image = rows[0].images.iter().find(|i| i.name == "ct").unwrap();
        let voxels = image.volume.as_ref().unwrap().to_f32();
        let own = (scale.foreground)
            .percentiles(&voxels, &scale.percentiles)
            .unwrap();
        let apart = own.iter().zip(ct).map(|(o, l)| (o - l).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-5, "subject {subject}");
    }
}
