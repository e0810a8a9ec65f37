//! What a tap says of a row.

use crate::kernel::moments::{finite_bounds, moments};
use crate::kernel::percentile::percentiles;
use crate::kernel::region::class_counts;
use crate::volume::{Role, Row, Volume, row::DrawRecord, row::column_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Percentiles of the finite voxels that are shown.
const PERCENTS: [f64; 3] = [1.0, 50.0, 99.0];

/// A row that passed a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowSummary {
    /// The node, such as `views.shared[0].patch`.
    pub node: String,
    /// The subject.
    pub subject: String,
    /// Part of the cohort: train, validation or test.
    pub split: String,
    /// Pass over the data, from 0.
    pub epoch: u64,
    /// Sample of the subject in this pass.
    pub sample: u32,
    /// Name of the view; empty before views are made.
    pub view: String,
    /// Images, then labels, in the order of the source.
    pub channels: Vec<ChannelSummary>,
    /// What was drawn so far.
    pub draws: Vec<DrawRecord>,
}

/// One modality or label map of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelSummary {
    /// The column, such as `image.ct`.
    pub column: String,
    /// Its volume; `None` if the subject has none.
    pub volume: Option<VolumeSummary>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeSummary {
    /// Voxels along x, y, z.
    pub shape: [usize; 3],
    /// Distance of voxel centres along x, y, z.
    pub spacing_mm: [f64; 3],
    /// Directions in which x, y and z grow, such as RAS.
    pub orientation: String,
    /// Stored type of the voxels.
    pub dtype: String,
    /// Whether the voxels are made by a later step of the pass: their values are not known here.
    pub deferred: bool,
    /// The voxels of an image; `None` of a label map and of deferred voxels.
    pub values: Option<ValueSummary>,
    /// Label values present; `None` of an image and of deferred voxels.
    pub classes: Option<BTreeSet<i64>>,
}

/// Voxels of an image. Figures are of the finite voxels, `None` if there are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueSummary {
    /// Smallest value.
    pub min: Option<f64>,
    /// First percentile.
    pub p1: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Mean.
    pub mean: Option<f64>,
    /// Share of the voxels that are NaN.
    pub nan_share: f64,
}

impl RowSummary {
    /// The summary of a row behind a node. Voxels that are not made yet stay so.
    pub fn of(node: &str, row: &Row) -> Self {
        let channels = row.channels().map(|(role, channel)| ChannelSummary {
            column: column_name(role, &channel.name),
            volume: (channel.volume.as_ref()).map(|v| VolumeSummary::of(role, v)),
        });
        Self {
            node: node.to_owned(),
            subject: row.subject.clone(),
            split: row.split.name().to_owned(),
            epoch: row.epoch,
            sample: row.sample,
            view: row.view.clone(),
            channels: channels.collect(),
            draws: row.draws.clone(),
        }
    }
}

impl VolumeSummary {
    fn of(role: Role, volume: &Volume) -> Self {
        let grid = volume.grid();
        let deferred = !volume.is_computed();
        let voxels = (!deferred).then(|| volume.to_f32());
        let is_image = role == Role::Image;
        Self {
            shape: grid.shape_xyz(),
            spacing_mm: grid.spacing_mm(),
            orientation: grid.orientation(),
            dtype: volume.dtype().to_string(),
            deferred,
            values: (voxels.as_deref().filter(|_| is_image)).map(ValueSummary::of),
            classes: (voxels.as_deref().filter(|_| !is_image)).map(classes),
        }
    }
}

/// Label values present.
fn classes(voxels: &[f32]) -> BTreeSet<i64> {
    let counts = class_counts(voxels, |v| v.round() as i64);
    counts.into_keys().collect()
}

impl ValueSummary {
    fn of(voxels: &[f32]) -> Self {
        let bounds = finite_bounds(voxels).map(|bounds| bounds.map(f64::from));
        let found = percentiles(voxels, f32::is_finite, &PERCENTS).unwrap_or_default();
        let percentile = |i: usize| found.get(i).copied();
        Self {
            min: bounds.map(|[low, _]| low),
            p1: percentile(0),
            p50: percentile(1),
            p99: percentile(2),
            max: bounds.map(|[_, high]| high),
            mean: bounds.map(|_| moments(voxels, f32::is_finite).mean),
            nan_share: {
                let nan = voxels.iter().filter(|v| v.is_nan()).count();
                nan as f64 / voxels.len().max(1) as f64
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Change, Channel, Grid};

    fn channel(name: &str, volume: Option<Volume>) -> Channel {
        Channel {
            name: name.to_owned(),
            volume,
        }
    }

    #[test]
    fn a_row_is_summarised_and_deferred_voxels_stay_deferred() {
        let grid = Grid::with_spacing([4, 1, 1], [1.0, 1.0, 2.0]).unwrap();
        let image = |values: Vec<f32>| Volume::from_vec::<f32>(values, grid).unwrap();
        let change = Change::by_value(|values: &mut [f32]| values.fill(7.0));
        let row = Row {
            subject: "a".to_owned(),
            images: vec![
                channel("ct", Some(image(vec![f32::NAN, 1.0, 2.0, 6.0]))),
                channel("mr", None),
                channel("pet", Some(image(vec![0.0; 4]).changed(change))),
                channel("us", Some(image(vec![f32::NAN; 4]))),
            ],
            labels: vec![channel(
                "",
                Some(Volume::from_vec(vec![0u8, 3, 3, 0], grid).unwrap()),
            )],
            ..Row::default()
        };
        let summary = RowSummary::of("source", &row);
        let volume = |i: usize| summary.channels[i].volume.as_ref().unwrap();
        let ct = volume(0).values.as_ref().unwrap();
        assert_eq!((ct.min, ct.max, ct.mean), (Some(1.0), Some(6.0), Some(3.0)));
        assert_eq!((ct.p50, ct.nan_share), (Some(2.0), 0.25));
        assert!(summary.channels[1].volume.is_none());
        assert!(volume(2).deferred && volume(2).values.is_none());
        assert!(!row.images[2].volume.as_ref().unwrap().is_computed());
        let nothing = volume(3).values.as_ref().unwrap();
        assert_eq!(
            (nothing.min, nothing.p50, nothing.nan_share),
            (None, None, 1.0)
        );
        assert_eq!(summary.channels[4].column, "label");
        assert_eq!(volume(4).classes, Some(BTreeSet::from([0, 3])));
        assert_eq!(volume(4).shape, [4, 1, 1]);
        let text = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<RowSummary>(&text).unwrap(), summary);
    }
}
