//! What all intensity steps share: selection, probability, and draws by modality.

mod draws;
mod rates;

use super::scale_intensity::ScaleIntensity;
use super::*;
use crate::draw::DrawKey;
use crate::stage::{Augment, ChannelSchema};
use crate::volume::{Channel, Grid, Split, Volume};

/// A row whose image `ct` holds the values in one line of voxels.
pub(crate) fn row_of(values: &[f32]) -> Row {
    let grid = Grid::with_spacing([values.len(), 1, 1], [1.0; 3]).unwrap();
    Row {
        subject: "one".into(),
        cohort: "test".into(),
        split: Split::Train,
        epoch: 0,
        sample: 0,
        view: String::new(),
        images: vec![Channel {
            name: "ct".into(),
            volume: Some(Volume::from_vec(values.to_vec(), grid).unwrap()),
        }],
        labels: vec![],
        draws: vec![],
        history: vec![],
        ..Row::default()
    }
}

/// A row whose image `ct` holds the values `[z, y, x]` on a grid of 1 mm.
pub(super) fn row_on(values: &[f32], shape_xyz: [usize; 3]) -> Row {
    let mut row = row_of(&[0.0]);
    let grid = Grid::with_spacing(shape_xyz, [1.0; 3]).unwrap();
    row.images[0].volume = Some(Volume::from_vec(values.to_vec(), grid).unwrap());
    row
}

/// Values of the first image.
pub(super) fn image_of(row: &Row) -> Vec<f32> {
    row.images[0].volume.as_ref().unwrap().to_f32().into_owned()
}

fn three() -> Row {
    let mut row = row_of(&[1.0, 2.0]);
    let volume = row.images[0].volume.clone();
    for name in ["mr", "pet"] {
        row.images.push(Channel {
            name: name.into(),
            volume: volume.clone(),
        });
    }
    row
}

fn draw(stage: &ScaleIntensity, row: &Row, sample: u32) -> Option<PerModality<f32>> {
    let key = DrawKey {
        seed: 5,
        epoch: 0,
        subject: "one",
        sample,
    };
    stage.draw(&mut key.rng("scale_intensity"), row, 0)
}

#[test]
fn each_modality_draws_its_own_and_keeps_it_when_others_leave() {
    let mut stage = ScaleIntensity {
        p: 1.0,
        ..ScaleIntensity::default()
    };
    let mut row = three();
    let all = draw(&stage, &row, 0).unwrap();
    assert_eq!(all.len(), 3);
    assert!(all["ct"] != all["mr"] && all["mr"] != all["pet"]);
    row.images[0].volume = None;
    stage.modalities = Some(vec!["ct".into(), "pet".into()]);
    let one = draw(&stage, &row, 0).unwrap();
    assert_eq!(one, PerModality::from([("pet".to_owned(), all["pet"])]));
    row.images[2].volume = None;
    assert_eq!(draw(&stage, &row, 0), None);
}

#[test]
fn a_step_runs_with_its_probability() {
    let stage = ScaleIntensity {
        p: 0.3,
        ..ScaleIntensity::default()
    };
    let row = three();
    let runs = (0..2000).filter(|s| draw(&stage, &row, *s).is_some());
    let share = runs.count() as f64 / 2000.0;
    assert!(
        (share - 0.3).abs() < 4.0 * (0.21f64 / 2000.0).sqrt(),
        "{share}"
    );
}

#[test]
fn a_draw_of_another_row_is_refused() {
    let drawn = PerModality::from([("us".to_owned(), 1.0f32)]);
    let error = ScaleIntensity::default().apply(&drawn, three());
    assert!(error.unwrap_err().to_string().contains("modality `us`"));
}

#[test]
fn checks_name_modalities_and_say_which_images_become_f32() {
    let channel = |name: &str, role| ChannelSchema {
        name: name.into(),
        role,
        dtype: Some(Dtype::I16),
        shape_xyz: None,
        spacing_mm: None,
        orientation: None,
    };
    let input = EdgeSchema {
        channels: vec![
            channel("ct", Role::Image),
            channel("mr", Role::Image),
            channel("", Role::Label),
        ],
        rows_per_subject: Some(1),
    };
    let ct = vec!["ct".to_owned()];
    let types = |p: f64| {
        let checked = check_augment(&input, p, Some(&ct)).unwrap();
        checked.channels.iter().map(|c| c.dtype).collect::<Vec<_>>()
    };
    let rest = [Some(Dtype::I16); 2];
    assert_eq!(types(1.0)[0], Some(Dtype::F32));
    assert_eq!(types(0.5)[0], None);
    assert_eq!(types(0.0)[0], Some(Dtype::I16));
    assert_eq!(types(1.0)[1..], rest);
    let wrong = check_modalities(&input, Some(&["pet".to_owned()])).unwrap_err();
    assert!(
        wrong.contains("`pet`") && wrong.contains("ct, mr"),
        "{wrong}"
    );
    assert!(
        check_modalities(&input, Some(&[]))
            .unwrap_err()
            .contains("empty")
    );
    assert!(check_augment(&input, 1.5, None).is_err());
}
