//! What a training begins with, and at which learning rate.

use crate::pipelines::TINY;
use std::path::Path;
use voxstream::cli::{open, read};
use voxstream::nn::tensor_file::read_tensors;
use voxstream::plan::Plan;
use voxstream::run::driver::{RunOptions, run};
use voxstream::run::find_lr::{Sweep, find_lr};
use voxstream::source::Cohort;

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

/// The student's tensors of a run's only checkpoint.
fn weights(run: &Path) -> Vec<(String, Vec<f32>)> {
    let path = run.join("checkpoints/step-00000002/student.safetensors");
    let (tensors, _) = read_tensors(&path, &candle_core::Device::Cpu).unwrap();
    let flat = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1().unwrap();
    tensors.iter().map(|(n, t)| (n.clone(), flat(t))).collect()
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
    let from = |skip: &str| {
        let first = first.display();
        [
            "seed=77".to_owned(),
            format!("train.initial={{from: \"{first}\", skip: [{skip}]}}"),
        ]
    };
    let whole = weights(&of("whole", &from("")).unwrap());
    assert_eq!(whole, weights(&first));
    let part = weights(&of("part", &from("head")).unwrap());
    let mut heads = 0;
    for ((name, old), (_, new)) in weights(&first).iter().zip(&part) {
        let head = name.ends_with("head.weight");
        assert_eq!(old != new, head, "{name}");
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
    let found = find_lr(plan, cohort, &options(folder.path()), sweep, |_| told += 1).unwrap();
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
    assert!(least < found.tried[3].smoothed, "{found:?}");
    assert!(
        folder.path().read_dir().unwrap().next().is_none(),
        "nothing is kept"
    );
}
