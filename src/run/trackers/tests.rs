use super::tag;
use crate::sink::MetricRow;

#[test]
fn a_figure_is_called_by_what_it_belongs_to() {
    let mut row = MetricRow {
        step: 1,
        epoch: 0,
        split: "validation".to_owned(),
        subject_id: None,
        modality: None,
        class: None,
        name: "dice".to_owned(),
        value: 1.0,
        unit: "1".to_owned(),
    };
    assert_eq!(tag(&row), "validation/dice");
    row.class = Some("liver".to_owned());
    assert_eq!(tag(&row), "validation/dice/liver");
    row.modality = Some("ct".to_owned());
    assert_eq!(tag(&row), "validation/dice/ct/liver");
}
