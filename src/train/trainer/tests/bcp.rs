//! What bidirectional copy-paste refuses, and what its mixes teach.

use super::super::super::objective::bcp::BcpSpec;
use super::*;

fn bcp(unlabelled: f64) -> Trainer {
    trainer(ObjectiveSpec {
        supervised: None,
        bcp: Some(BcpSpec {
            unlabelled,
            ramp: 0.0,
            ..BcpSpec::default()
        }),
        ..ObjectiveSpec::default()
    })
}

fn figure(figures: &[Figure], name: &str) -> f64 {
    figures.iter().find(|f| f.name == name).unwrap().value
}

#[test]
fn both_parts_of_both_mixes_count() {
    let loss = |weight| figure(&bcp(weight).train(&[rows(1)]).unwrap(), "loss_bcp");
    let (none, half, whole) = (loss(0.0), loss(0.5), loss(1.0));
    assert!(none > 0.1 && half > none, "{none} {half}");
    assert!((whole - none - 2.0 * (half - none)).abs() < 1e-5);
    // Labels nobody knows leave the teacher's part.
    let mut blank = rows(1);
    for row in &mut blank.labelled {
        let grid = *row.images[0].volume.as_ref().unwrap().grid();
        let ignored = Volume::from_vec(vec![255u8; 512], grid).unwrap();
        row.labels[0].volume = Some(ignored);
    }
    let taught = figure(&bcp(0.5).train(&[blank]).unwrap(), "loss_bcp");
    assert!(
        (taught - (half - none)).abs() < 1e-5,
        "{taught} {half} {none}"
    );
}

#[test]
fn steps_that_cannot_be_mixed_are_refused() {
    let error = |rows: StepRows| bcp(0.5).train(&[rows]).unwrap_err().to_string();
    let mut alone = rows(1);
    alone.labelled.clear();
    assert!(error(alone).contains("0 labelled and 2 unlabelled"));
    let mut apart = rows(1);
    let grid = Grid::with_spacing([8, 8, 4], [1.0; 3]).unwrap();
    for row in &mut apart.labelled {
        row.images[0].volume = Some(Volume::from_vec(vec![0f32; 256], grid).unwrap());
        row.labels[0].volume = Some(Volume::from_vec(vec![0u8; 256], grid).unwrap());
    }
    let found = error(apart);
    assert!(
        found.contains("[2, 4, 8, 8, 1]") && found.contains("[2, 8, 8, 8, 1]"),
        "{found}"
    );
}

#[test]
fn without_unlabelled_rows_a_step_is_supervised_alone() {
    let figures = |bcp: Option<BcpSpec>| {
        let mut trainer = trainer(ObjectiveSpec {
            bcp,
            ..ObjectiveSpec::default()
        });
        let mut labelled = rows(1);
        labelled.unlabelled.clear();
        trainer.train(&[labelled]).unwrap()
    };
    let control = figures(Some(BcpSpec {
        ramp: 0.0,
        ..BcpSpec::default()
    }));
    let supervised = figures(None);
    assert_eq!(figure(&control, "loss"), figure(&supervised, "loss"));
}
