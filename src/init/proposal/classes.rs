//! The classes of the label maps, and the values that represent them.

use super::regions::{Region, regions};
use crate::init::fingerprint::Fingerprint;
use crate::init::layout::Layout;
use crate::init::numbers::median;
use crate::volume::nifti::IGNORED;
use std::collections::BTreeMap;

/// The classes of the label maps.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    /// Names by class number; the first is the background.
    pub names: Vec<String>,
    /// Class number of each stored value that is not its own.
    pub map: BTreeMap<i64, i64>,
    /// Values of unannotated voxels.
    pub ignore: Vec<i64>,
    /// Values in between that no label map that was looked at holds; each is a class of its own.
    pub unseen: Vec<i64>,
    /// Labelled subjects whose label maps were looked at.
    pub looked_at: usize,
    /// Labelled subjects whose label maps were not.
    pub not_looked_at: usize,
    /// Where they were found.
    pub reason: String,
    /// Unions of classes that the data set declares, in the order in which a label map is painted.
    pub regions: Vec<Region>,
    /// Why declared regions are not proposed.
    pub without_regions: Option<String>,
    /// In how many sampled subjects each class is, and its median volume in mL.
    pub found: Vec<(usize, f64)>,
}

impl Classes {
    /// The classes that the data set names, and every other value of its label maps, in the order of the
    /// values; `None` if there are no label maps.
    ///
    /// **Law** Classes are numbered without gaps. A number that is missing may be in a label map that was
    /// not looked at: unless the data set names its classes, it is kept as a class, as long as no more
    /// numbers are missing than were found.
    pub(super) fn new(layout: &Layout, print: &Fingerprint) -> Option<Self> {
        if print.label_names.is_empty() {
            return None;
        }
        let mut ignore = layout.ignore.clone();
        let is_named = |value: i64| layout.classes.contains_key(&value);
        let mut found = print.values(&ignore);
        // Unannotated voxels are -1 or 255 by custom, unless a class is called so, or nothing else is: a mask is
        // often stored as 0 and 255.
        let is_class = |value: i64| value > 0 && value != i64::from(IGNORED);
        let has_others = found.iter().any(|(value, _)| is_class(*value))
            || layout.classes.keys().any(|value| is_class(*value));
        for (value, _) in &found {
            let is_custom = *value == i64::from(IGNORED) && has_others && !is_named(*value);
            if *value < 0 || is_custom {
                ignore.push(*value);
            }
        }
        found.retain(|(value, _)| !ignore.contains(value));
        let counts: BTreeMap<i64, usize> = found.iter().copied().collect();
        let mut values: Vec<i64> = layout
            .classes
            .keys()
            .chain(counts.keys())
            .copied()
            .collect();
        values.retain(|value| *value > 0 && !ignore.contains(value));
        values.sort_unstable();
        values.dedup();
        let looked_at = print.labelled_and_sampled().count();
        let not_looked_at = print.labelled().count() - looked_at;
        let is_complete = not_looked_at == 0 || layout.classes.keys().any(|value| *value > 0);
        let unseen = match is_complete {
            true => Vec::new(),
            false => missing(&values, &ignore),
        };
        values.extend(&unseen);
        values.sort_unstable();
        let mut names = vec![
            layout
                .classes
                .get(&0)
                .cloned()
                .unwrap_or("background".to_owned()),
        ];
        let mut map = BTreeMap::new();
        for (i, value) in values.iter().enumerate() {
            let class = i as i64 + 1;
            let name = layout.classes.get(value).cloned();
            let name = name.unwrap_or_else(|| format!("label_{value}"));
            names.push(match names.contains(&name) {
                true => format!("{name}_{value}"),
                false => name,
            });
            if class != *value {
                map.insert(*value, class);
            }
        }
        let named = match layout.classes.is_empty() {
            true => "numbers",
            false => "names of the data set, numbers",
        };
        let (regions, without_regions) = match regions(&layout.regions, &values, &names) {
            Ok(regions) => (regions, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        Some(Self {
            regions,
            without_regions,
            reason: match not_looked_at {
                0 => format!("{named} found in {looked_at} label maps"),
                left => format!(
                    "{named} found in {looked_at} of {} label maps",
                    looked_at + left
                ),
            },
            found: (values.iter())
                .map(|value| {
                    let of = print.classes.iter().filter(|c| c.value == *value);
                    let mut volumes: Vec<f64> = of.map(|c| c.volume_ml).collect();
                    let count = counts.get(value).copied().unwrap_or_default();
                    (count, median(&mut volumes))
                })
                .collect(),
            names,
            map,
            ignore,
            unseen,
            looked_at,
            not_looked_at,
        })
    }

    /// Returns `true` if a class is a left or a right: a mirrored patch would name it wrong.
    pub fn has_sides(&self) -> bool {
        let side = |name: &String| {
            let lower = name.to_lowercase();
            let mut words = lower.split(|c: char| !c.is_alphanumeric());
            words.any(|word| ["left", "right", "l", "r", "lh", "rh"].contains(&word))
        };
        self.names.iter().any(side)
    }
}

/// Numbers from 1 to the largest value that are neither values nor ignored; none if there are more of
/// them than values: those are codes of another tool, not class numbers with a rare one between.
fn missing(values: &[i64], ignore: &[i64]) -> Vec<i64> {
    let last = values.last().copied().unwrap_or_default();
    if usize::try_from(last).is_ok_and(|last| last > 2 * values.len()) {
        return Vec::new();
    }
    let is_missing = |value: &i64| !values.contains(value) && !ignore.contains(value);
    (1..last).filter(is_missing).collect()
}
