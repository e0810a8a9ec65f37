//! Whether a row that was made again has the bytes that were recorded.

use super::find::{Kept, RecordedRow};
use crate::run::expect::digest;
use crate::volume::{Row, Volume};
use std::collections::{BTreeMap, BTreeSet};

/// A column whose bytes are not those that were recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The column, such as `image.ct`, or `draws`.
    pub column: String,
    /// What was recorded, and what was made.
    pub problem: String,
}

/// The columns that were compared, and those that differ: voxels where they were kept, else their digests.
pub fn compare(recorded: &RecordedRow, made: &Row) -> (Vec<String>, Vec<Difference>) {
    let now = volumes(made);
    let found = match &recorded.kept {
        Kept::Voxels(row) => each(&volumes(row), &now, of_voxels),
        Kept::Digests(digests) => {
            let digests = digests.iter().map(|(column, d)| (column.clone(), &**d));
            each(&digests.collect(), &now, of_digest)
        }
    };
    let (columns, mut differences) = found;
    if recorded.draws != made.draws {
        differences.push(Difference {
            column: "draws".to_owned(),
            problem: "the steps that draw are not those that the record names".to_owned(),
        });
    }
    (columns, differences)
}

fn volumes(row: &Row) -> BTreeMap<String, &Volume> {
    let columns = row.columns();
    columns
        .map(|(column, _, volume)| (column, volume))
        .collect()
}

fn each<T: Copy>(
    old: &BTreeMap<String, T>,
    now: &BTreeMap<String, &Volume>,
    differs: fn(T, &Volume) -> Option<String>,
) -> (Vec<String>, Vec<Difference>) {
    let columns: BTreeSet<&String> = old.keys().chain(now.keys()).collect();
    let problem = |column: &String| match (old.get(column), now.get(column)) {
        (Some(old), Some(now)) => differs(*old, now),
        (Some(_), None) => Some("recorded, and the row has no such volume now".to_owned()),
        _ => Some("not recorded, and the row has such a volume now".to_owned()),
    };
    let differences = columns.iter().filter_map(|column| {
        Some(Difference {
            column: (*column).clone(),
            problem: problem(column)?,
        })
    });
    let differences = differences.collect();
    (columns.into_iter().cloned().collect(), differences)
}

fn of_digest(old: &str, now: &Volume) -> Option<String> {
    let found = digest(now);
    (old != found).then(|| format!("digest {old} was recorded, the voxels made now have {found}"))
}

fn of_voxels(old: &Volume, now: &Volume) -> Option<String> {
    let stored = |v: &Volume| format!("{} {:?}", v.dtype(), v.grid().shape_xyz());
    if (old.dtype(), old.scaling()) != (now.dtype(), now.scaling())
        || old.grid().shape_xyz() != now.grid().shape_xyz()
    {
        return Some(format!(
            "{} was recorded, {} was made",
            stored(old),
            stored(now)
        ));
    }
    if old.grid() != now.grid() {
        return Some("the grid is at another place in the world than the one recorded".to_owned());
    }
    if old.buffer() == now.buffer() {
        return None;
    }
    let (a, b) = (old.to_f32(), now.to_f32());
    let size = old.buffer().len() / a.len().max(1);
    let pairs = (old.buffer().chunks(size.max(1))).zip(now.buffer().chunks(size.max(1)));
    let count = pairs.filter(|(old, now)| old != now).count();
    let apart = a.iter().zip(b.iter()).map(|(a, b)| (a - b).abs());
    Some(format!(
        "{count} of {} voxels differ, the largest difference is {:e}",
        a.len(),
        apart.fold(0.0, f32::max)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Channel, Grid};

    fn row(values: Vec<f32>) -> Row {
        let grid = Grid::with_spacing([2, 1, 1], [1.0; 3]).unwrap();
        let channel = |name: &str, volume| Channel {
            name: name.to_owned(),
            volume,
        };
        Row {
            subject: "a".to_owned(),
            images: vec![
                channel("ct", Some(Volume::from_vec::<f32>(values, grid).unwrap())),
                channel("mr", None),
            ],
            labels: vec![channel(
                "",
                Some(Volume::from_vec(vec![1u8, 0], grid).unwrap()),
            )],
            ..Row::default()
        }
    }

    fn recorded(row: &Row, kept: Kept) -> RecordedRow {
        RecordedRow {
            subject: row.subject.clone(),
            epoch: 0,
            sample: 0,
            view: String::new(),
            draws: Vec::new(),
            kept,
        }
    }

    #[test]
    fn voxels_that_were_kept_are_compared_one_by_one() {
        let old = row(vec![1.0, 2.0]);
        let kept = recorded(&old, Kept::Voxels(Box::new(old.clone())));
        let (columns, differences) = compare(&kept, &old);
        assert_eq!(columns, ["image.ct", "label"]);
        assert!(differences.is_empty());
        let (_, differences) = compare(&kept, &row(vec![1.0, 2.5]));
        assert_eq!(differences.len(), 1);
        assert_eq!(
            differences[0].problem,
            "1 of 2 voxels differ, the largest difference is 5e-1"
        );
        // Bytes count, not values.
        let zero = row(vec![0.0, 2.0]);
        let kept = recorded(&zero, Kept::Voxels(Box::new(zero.clone())));
        assert_eq!(compare(&kept, &row(vec![-0.0, 2.0])).1.len(), 1);
        let mut other = zero.clone();
        other.images[0].volume = None;
        let (_, differences) = compare(&kept, &other);
        assert!(differences[0].problem.contains("no such volume now"));
    }

    #[test]
    fn where_digests_were_kept_they_are_compared_and_draws_always() {
        let old = row(vec![1.0, 2.0]);
        let digests = volumes(&old).into_iter().map(|(c, v)| (c, digest(v)));
        let mut kept = recorded(&old, Kept::Digests(digests.collect()));
        assert!(compare(&kept, &old).1.is_empty());
        let (_, differences) = compare(&kept, &row(vec![1.0, 2.5]));
        assert_eq!(differences[0].column, "image.ct");
        assert!(differences[0].problem.starts_with("digest "));
        kept.draws.push(crate::volume::row::DrawRecord {
            stage: "stages[0].flip".to_owned(),
            draw: serde_json::json!({}),
        });
        assert_eq!(compare(&kept, &old).1[0].column, "draws");
    }
}
