//! Regions that a data set declares, as unions of the proposed classes.

use crate::init::layout::DeclaredRegion;

/// A region of `train.regions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Numbers of its classes, ascending.
    pub classes: Vec<usize>,
    /// The class it paints, where later regions hold all of its classes; `None` where that need not be said.
    pub paints: Option<usize>,
}

/// The declared regions in an order in which a label map can be painted from them; `values` are the stored
/// values of the classes from 1 on. None where none are declared.
///
/// **Law** The order of the data set, or else by size, the largest first; the first in which every class is
/// the only one whose last region is the same.
///
/// **Errors** why no order does.
pub(super) fn regions(
    declared: &[DeclaredRegion],
    values: &[i64],
    names: &[String],
) -> Result<Vec<Region>, String> {
    if declared.is_empty() {
        return Ok(Vec::new());
    }
    let number = |value: &i64| values.iter().position(|v| v == value).map(|i| i + 1);
    let region = |region: &DeclaredRegion| {
        let mut classes: Vec<usize> = region.values.iter().filter_map(number).collect();
        classes.sort_unstable();
        Region {
            name: region.name.clone(),
            classes,
            paints: region.paints.as_ref().and_then(number),
        }
    };
    let mut regions: Vec<Region> = declared.iter().map(region).collect();
    let held = |class: &usize| regions.iter().any(|r| r.classes.contains(class));
    if let Some(class) = (1..=values.len()).find(|class| !held(class)) {
        return Err(format!("`{}` is in none of them", names[class]));
    }
    ordered(&regions, names).or_else(|reason| {
        regions.sort_by_key(|r| std::cmp::Reverse(r.classes.len()));
        ordered(&regions, names).map_err(|_| reason)
    })
}

/// Regions in this order, with what they paint where it must be said; why it does not do otherwise.
fn ordered(regions: &[Region], names: &[String]) -> Result<Vec<Region>, String> {
    let mut all = Vec::with_capacity(regions.len());
    for (i, region) in regions.iter().enumerate() {
        let later = |class: &&usize| regions[i + 1..].iter().any(|r| r.classes.contains(class));
        let own: Vec<&usize> = region.classes.iter().filter(|c| !later(c)).collect();
        let paints = match own[..] {
            [_] => None,
            [] => {
                let declared = region.paints.filter(|class| region.classes.contains(class));
                let Some(paints) = declared.or_else(|| region.classes.first().copied()) else {
                    return Err(format!("`{}` has no class", region.name));
                };
                Some(paints)
            }
            [one, two, ..] => {
                return Err(format!(
                    "`{}` and `{}` are in the same of them",
                    names[*one], names[*two]
                ));
            }
        };
        all.push(Region {
            paints,
            ..region.clone()
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(name: &str, values: &[i64], paints: i64) -> DeclaredRegion {
        DeclaredRegion {
            name: name.to_owned(),
            values: values.to_vec(),
            paints: Some(paints),
        }
    }

    #[test]
    fn regions_are_ordered_so_that_no_class_is_lost() {
        let names: Vec<String> = ["background", "a", "b", "c"].map(str::to_owned).into();
        let brats = [
            declared("whole", &[1, 2, 4], 1),
            declared("core", &[2, 4], 2),
            declared("active", &[4], 4),
        ];
        let of = |declared: &[DeclaredRegion]| regions(declared, &[1, 2, 4], &names);
        let plain = |regions: Vec<Region>| -> Vec<(String, Vec<usize>, Option<usize>)> {
            let one = |r: Region| (r.name, r.classes, r.paints);
            regions.into_iter().map(one).collect()
        };
        let expected = [
            ("whole".to_owned(), vec![1, 2, 3], None),
            ("core".to_owned(), vec![2, 3], None),
            ("active".to_owned(), vec![3], None),
        ];
        assert_eq!(plain(of(&brats).unwrap()), expected);
        let mut backwards = brats.clone();
        backwards.reverse();
        assert_eq!(plain(of(&backwards).unwrap()), expected);
        assert_eq!(of(&[]).unwrap(), []);
        assert_eq!(of(&brats[1..]).unwrap_err(), "`a` is in none of them");
        let same = [brats[0].clone(), brats[2].clone()];
        assert_eq!(
            of(&same).unwrap_err(),
            "`a` and `b` are in the same of them"
        );
        // A union of two disjoint regions must say what it paints.
        let union = [
            declared("all", &[1, 2, 4], 2),
            declared("a", &[1], 1),
            declared("b", &[2], 2),
            declared("c", &[4], 4),
        ];
        assert_eq!(of(&union).unwrap()[0].paints, Some(2));
    }
}
