//! Rows become tensors; the only place where channels are stacked.

use super::TrainError;
use crate::nn::cuda;
use crate::nn::dice_ce::IGNORE;
use crate::nn::network::Heads;
use crate::volume::{Channel, Row, Volume};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// Rows of one batch: labelled ones in the weak view, unlabelled ones in all views.
#[derive(Debug, Default, Clone)]
pub struct StepRows {
    /// Labelled rows.
    pub labelled: Vec<Row>,
    /// Unlabelled rows: weak view and strong views of the same patch.
    pub unlabelled: Vec<(Row, Vec<Row>)>,
}

/// Rows of one group: the same modalities present, the same shape.
#[derive(Debug)]
pub struct Batch {
    /// Ids of the subjects, one a row.
    pub subjects: Vec<String>,
    /// Names of the modalities, present or not.
    pub modalities: Vec<String>,
    /// One tensor a modality, `[n, d, h, w, 1]`; `None` where it is missing.
    pub images: Vec<Option<Tensor>>,
    /// One u8 tensor a head, `[n, d, h, w]`; `None` where no label is known.
    pub targets: Vec<Option<Tensor>>,
}

impl Batch {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Returns `true` if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }
}

/// Groups the positions of rows by which modalities and labels are present, so that every group is one batch.
///
/// Groups come in the order of their pattern, rows in their own: nothing depends on hashing.
pub fn groups(rows: &[Row]) -> Vec<Vec<usize>> {
    grouped(rows.iter().map(pattern))
}

/// As [`groups`], for rows in several views, each of which may lack other modalities.
pub fn groups_of_views(rows: &[(Row, Vec<Row>)]) -> Vec<Vec<usize>> {
    let all = |(weak, strong): &(Row, Vec<Row>)| -> Vec<(Vec<bool>, Vec<bool>)> {
        std::iter::once(weak).chain(strong).map(pattern).collect()
    };
    grouped(rows.iter().map(all))
}

/// Which modalities are present, and which labels.
fn pattern(row: &Row) -> (Vec<bool>, Vec<bool>) {
    let present = |of: &[Channel]| of.iter().map(|c| c.volume.is_some()).collect();
    (present(&row.images), present(&row.labels))
}

fn grouped<K: Ord>(patterns: impl Iterator<Item = K>) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (i, pattern) in patterns.enumerate() {
        groups.entry(pattern).or_default().push(i);
    }
    groups.into_values().collect()
}

fn stack(volumes: &[(&str, &Volume)], device: &Device) -> Result<Tensor, TrainError> {
    let [d, h, w] = volumes[0].1.grid().shape_zyx();
    let mut values: Vec<f32> = Vec::with_capacity(volumes.len() * d * h * w);
    for (subject, volume) in volumes {
        if volume.grid().shape_zyx() != [d, h, w] {
            let problem = format!(
                "a patch of {:?} voxels (z, y, x) in a batch of {:?}; end `views.shared` with `patch`",
                volume.grid().shape_zyx(),
                [d, h, w]
            );
            return Err(TrainError::Batch {
                subject: (*subject).to_owned(),
                problem,
            });
        }
        volume.append_f32(&mut values);
    }
    let shape = (volumes.len(), d, h, w, 1);
    Ok(match device {
        Device::Cuda(_) => cuda::upload(&values, shape, device)?,
        _ => Tensor::from_vec(values, shape, device)?,
    })
}

/// Whether a label map names no class but these.
///
/// **Errors** what was found and what was expected.
pub fn check_classes(label: &Volume, classes: usize) -> Result<(), String> {
    let known = |v: &u16| *v != u16::from(IGNORE);
    let largest = match (label.as_slice::<u8>(), label.as_slice::<u16>()) {
        (Some(values), _) => values.iter().map(|v| u16::from(*v)).filter(known).max(),
        (_, Some(values)) => values.iter().copied().filter(known).max(),
        _ => {
            return Err(format!(
                "a label map stored as {}; expected u8 or u16",
                label.dtype()
            ));
        }
    };
    match largest.filter(|v| usize::from(*v) >= classes) {
        None => Ok(()),
        Some(value) => Err(format!(
            "label value {value}, but `train.classes` names {classes} classes (0 to {}); add the class",
            classes - 1
        )),
    }
}

/// A label map as bytes; [`IGNORE`] marks unannotated voxels.
///
/// **Errors** as [`check_classes`].
pub fn classes_of(label: &Volume, classes: usize, subject: &str) -> Result<Vec<u8>, TrainError> {
    check_classes(label, classes).map_err(|problem| TrainError::Batch {
        subject: subject.to_owned(),
        problem,
    })?;
    Ok(match label.as_slice::<u8>() {
        Some(values) => values.to_vec(),
        None => label
            .as_slice::<u16>()
            .unwrap_or_default()
            .iter()
            .map(|&v| v as u8)
            .collect(),
    })
}

/// Stacks rows that have the same modalities present.
///
/// **Errors** when shapes differ or a label is no class.
pub fn collate(
    rows: &[&Row],
    heads: Heads,
    classes: usize,
    device: &Device,
) -> Result<Batch, TrainError> {
    let modalities: Vec<String> = rows[0].images.iter().map(|c| c.name.clone()).collect();
    let images = (0..modalities.len())
        .map(|m| {
            let present: Vec<(&str, &Volume)> = rows
                .iter()
                .filter_map(|r| r.images[m].volume.as_ref().map(|v| (r.subject.as_str(), v)))
                .collect();
            (present.len() == rows.len())
                .then(|| stack(&present, device))
                .transpose()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let head_names: Vec<&str> = match heads {
        Heads::Joint => vec![""],
        Heads::PerModality => modalities.iter().map(String::as_str).collect(),
    };
    let targets = head_names
        .iter()
        .map(|head| {
            let labels: Vec<(&str, &Volume)> = rows
                .iter()
                .filter_map(|r| label_of_head(r, head).map(|l| (r.subject.as_str(), l)))
                .collect();
            if labels.len() < rows.len() {
                return Ok(None);
            }
            let [d, h, w] = labels[0].1.grid().shape_zyx();
            let mut values = Vec::with_capacity(labels.len() * d * h * w);
            for (subject, label) in &labels {
                values.extend(classes_of(label, classes, subject)?);
            }
            let shape = (labels.len(), d, h, w);
            Ok(Some(match device {
                Device::Cuda(_) => cuda::upload(&values, shape, device)?,
                _ => Tensor::from_vec(values, shape, device)?,
            }))
        })
        .collect::<Result<Vec<_>, TrainError>>()?;
    Ok(Batch {
        subjects: rows.iter().map(|r| r.subject.clone()).collect(),
        modalities,
        images,
        targets,
    })
}

/// The label a head is compared with: its modality's, or for a joint head the first there is.
pub fn label_of_head<'r>(row: &'r Row, head: &str) -> Option<&'r Volume> {
    if head.is_empty() {
        row.labels.iter().find_map(|c| c.volume.as_ref())
    } else {
        row.label_of(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Grid;

    fn row(images: [bool; 2], labels: [bool; 2]) -> Row {
        let volume =
            Volume::from_vec(vec![0u8], Grid::with_spacing([1; 3], [1.0; 3]).unwrap()).unwrap();
        let of = |present: [bool; 2]| -> Vec<Channel> {
            (["ct", "mr"].iter().zip(present))
                .map(|(name, there)| Channel {
                    name: (*name).to_owned(),
                    volume: there.then(|| volume.clone()),
                })
                .collect()
        };
        Row {
            images: of(images),
            labels: of(labels),
            ..Row::default()
        }
    }

    #[test]
    fn rows_that_miss_other_labels_are_no_one_batch() {
        let both = [true, true];
        let rows = [
            row(both, [true, false]),
            row(both, [false, true]),
            row(both, [true, false]),
            row([true, false], [true, false]),
            row(both, both),
        ];
        // In one batch, a head would lose the labels that another row lacks.
        let mut found = groups(&rows);
        found.sort();
        assert_eq!(found, [vec![0, 2], vec![1], vec![3], vec![4]]);
    }
}
