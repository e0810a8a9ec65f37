//! Samples for other trainers: where they end, where they go on, and whose memory they are in.

use super::*;
use crate::cli::open;
use crate::spec::SourceFile;

const TRAIN: &str = "train: { classes: [b, x, y], network: { unet3d: { width: 4, depth: 2 } }, steps: 1, window: { size: [16, 16, 16] } }\n";

fn start(rest: &str, options: &SampleOptions) -> Result<Samples, Error> {
    let text = format!(
        "name: samples\nseed: 5\nsource: {{ phantom: {{ subjects: 6, modalities: [ct, mr], classes: 2, size: [20, 18, 16], labelled: 2, validation: 1, test: 1 }} }}\n{rest}"
    );
    let (plan, cohort) = open(&SourceFile {
        name: "samples.yaml".to_owned(),
        text,
    })?;
    Samples::start(plan, cohort, options)
}

fn rows(samples: &mut Samples) -> Vec<Row> {
    let views = samples.map(|views| views.unwrap());
    views.map(|v| Row::from_batch(&v[0], 0).unwrap()).collect()
}

fn of(row: &Row) -> (String, u64, u32, Vec<f32>) {
    let values = row.first_image().unwrap().1.to_f32().to_vec();
    (row.subject.clone(), row.epoch, row.sample, values)
}

#[test]
fn a_stream_ends_after_its_epochs_and_goes_on_from_a_position() {
    let patches =
        format!("views: {{ shared: [patch: {{ size: [8, 8, 8], samples: 3 }}] }}\n{TRAIN}");
    let options = SampleOptions {
        epochs: Some(2),
        ..SampleOptions::default()
    };
    let mut whole = start(&patches, &options).unwrap();
    let all: Vec<_> = rows(&mut whole).iter().map(of).collect();
    assert_eq!(all.len(), 2 * 2 * 3);
    assert_eq!((all[0].1, all[11].1), (0, 1));
    assert!(whole.next().is_none());

    let mut first = start(&patches, &options).unwrap();
    first.by_ref().take(4).for_each(drop);
    let from = first.current_position();
    assert_eq!(from, Position { job: 1, row: 1 });
    let options = SampleOptions { from, ..options };
    let rest: Vec<_> = rows(&mut start(&patches, &options).unwrap())
        .iter()
        .map(of)
        .collect();
    assert!(rest == all[4..]);
}

#[test]
fn whoever_writes_to_a_sample_changes_no_later_epoch() {
    // No step of the views changes a label: without a copy every epoch would share the kept ones.
    let options = SampleOptions {
        epochs: Some(2),
        ..SampleOptions::default()
    };
    let validation = SampleOptions {
        split: Split::Validation,
        ..options.clone()
    };
    for options in [options, validation] {
        let text = "stages: [zscore: {}]\nviews: { weak: [gamma: { p: 0 }] }\n";
        let mut samples = start(text, &options).unwrap();
        let rows = rows(&mut samples);
        let half = rows.len() / 2;
        for (one, two) in rows[..half].iter().zip(&rows[half..]) {
            assert_eq!(of(one).3, of(two).3);
            let addresses = |row: &Row| -> Vec<*const u8> {
                row.volumes().map(|(_, v)| v.buffer().as_ptr()).collect()
            };
            let (one, two) = (addresses(one), addresses(two));
            assert!(one.len() == 3 && one.iter().all(|at| !two.contains(at)));
        }
    }
}

#[test]
fn subjects_for_validation_are_whole_and_have_no_view() {
    let options = SampleOptions {
        split: Split::Validation,
        epochs: Some(3),
        from: Position { job: 1, row: 0 },
        ..SampleOptions::default()
    };
    let patches = format!("views: {{ shared: [patch: {{ size: [8, 8, 8] }}] }}\n{TRAIN}");
    let rows = rows(&mut start(&patches, &options).unwrap());
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0].first_image().unwrap().1.grid().shape_xyz(),
        [20, 18, 16]
    );
    assert!(rows[0].view.is_empty() && rows[0].is_labelled());
}

#[test]
fn what_is_not_there_is_named() {
    let nobody = SampleOptions {
        labelled: Some(true),
        ..SampleOptions::default()
    };
    let text = "name: a\nsource: { phantom: { subjects: 2, size: [16, 16, 16], labelled: 0 } }\n";
    let (plan, cohort) = open(&SourceFile {
        name: "a.yaml".to_owned(),
        text: text.to_owned(),
    })
    .unwrap();
    let Err(error) = Samples::start(plan, cohort, &nobody) else {
        panic!("no subject has a label");
    };
    assert_eq!(
        error.to_string(),
        "no subject to stream: train subjects with labels were asked for, and the cohort has 0 train with labels, 2 train without, 0 validation, 0 test"
    );
    // A step fails every subject.
    let text = "stages: [remap: { map: { 7: 1 }, others: fail }]\nviews: { shared: [patch: { size: [8, 8, 8] }] }\n";
    let mut samples = start(text, &SampleOptions::default()).unwrap();
    let error = samples.next().unwrap().unwrap_err().to_string();
    assert!(
        error.starts_with("no train subject can be used; the last, "),
        "{error}"
    );
    assert!(samples.next().is_none());
    assert_eq!(samples.failures().len(), 2);
}
