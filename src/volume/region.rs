//! Regions: unions of classes that may overlap, such as whole tumour ⊃ tumour core ⊃ enhancing tumour.
//!
//! **Source** Brain tumour segmentation challenge (Menze et al., IEEE TMI 34, 2015), which scores regions;
//! nnU-Net v2, `documentation/region_based_training.md`, which trains on them.

use serde::{Deserialize, Serialize};

/// A union of classes of a label map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelRegion {
    /// Its name; no class has the same.
    pub name: String,
    /// Numbers of its classes, ascending; never 0, the background.
    pub classes: Vec<u8>,
    /// The class that its voxels get when a label map is painted, see [`paint`].
    pub paints: u8,
}

impl LabelRegion {
    /// Returns `true` if voxels of the class are in the region.
    pub fn contains(&self, class: u8) -> bool {
        self.classes.contains(&class)
    }
}

/// Number of a region in the column `class_id` of tables, by its position from 0: -1, -2, … in the order
/// in which regions are painted. Classes have numbers from 0 on, so that `class_id > 0` selects classes.
pub fn table_number(position: usize) -> i32 {
    -1 - position as i32
}

/// The class of a voxel that is in the regions for which `is_in` holds at their position.
///
/// **Law** Regions are painted in their order, each over those before it: the last one that holds the
/// voxel says the class. A voxel in none is background, 0.
/// **Source** nnU-Net v2, `regions_class_order`.
pub fn paint(regions: &[LabelRegion], is_in: impl Fn(usize) -> bool) -> u8 {
    let last = (0..regions.len()).rev().find(|position| is_in(*position));
    last.map_or(0, |position| regions[position].paints)
}

/// Refuses regions that do not fit so many classes, the background included.
///
/// **Law** Painting the regions of a class results in that class: otherwise a perfect prediction would
/// come out as another class.
///
/// **Errors** say which region or class does not fit, and why.
pub fn check(regions: &[LabelRegion], classes: usize) -> Result<(), String> {
    for region in regions {
        let foreign = region
            .classes
            .iter()
            .find(|c| !(1..classes).contains(&usize::from(**c)));
        if let Some(class) = foreign {
            return Err(format!(
                "region `{}` has the class {class}, expected 1 to {}",
                region.name,
                classes.saturating_sub(1)
            ));
        }
        if !region.contains(region.paints) {
            return Err(format!(
                "region `{}` paints the class {}, which is not in it",
                region.name, region.paints
            ));
        }
    }
    let foreground = (1..classes).filter_map(|class| u8::try_from(class).ok());
    let wrong = foreground
        .map(|class| {
            (
                class,
                paint(regions, |position| regions[position].contains(class)),
            )
        })
        .find(|(class, painted)| class != painted && !regions.is_empty());
    match wrong {
        None => Ok(()),
        Some((class, painted)) => Err(format!(
            "the regions of class {class} are painted as class {painted}"
        )),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whole tumour, core, enhancing part of the classes 1, 2 and 3.
    pub(crate) fn nested() -> Vec<LabelRegion> {
        let region = |name: &str, classes: &[u8]| LabelRegion {
            name: name.to_owned(),
            classes: classes.to_vec(),
            paints: classes[0],
        };
        vec![
            region("whole", &[1, 2, 3]),
            region("core", &[2, 3]),
            region("enhancing", &[3]),
        ]
    }

    #[test]
    fn the_last_region_says_the_class() {
        let painted = |holding: &[usize]| paint(&nested(), |i| holding.contains(&i));
        assert_eq!(
            [
                painted(&[]),
                painted(&[0]),
                painted(&[0, 1]),
                painted(&[0, 1, 2])
            ],
            [0, 1, 2, 3]
        );
        // A core outside of the whole is painted all the same, as nnU-Net does.
        assert_eq!((painted(&[1]), painted(&[0, 2])), (2, 3));
    }

    #[test]
    fn regions_that_lose_a_class_are_refused() {
        assert_eq!(check(&nested(), 4), Ok(()));
        assert_eq!(check(&[], 4), Ok(()));
        let error = check(&nested(), 3).unwrap_err();
        assert_eq!(error, "region `whole` has the class 3, expected 1 to 2");
        let error = check(&nested(), 5).unwrap_err();
        assert_eq!(error, "the regions of class 4 are painted as class 0");
        let mut backwards = nested();
        backwards.reverse();
        let error = check(&backwards, 4).unwrap_err();
        assert_eq!(error, "the regions of class 2 are painted as class 1");
        let mut stranger = nested();
        stranger[2].paints = 1;
        let error = check(&stranger, 4).unwrap_err();
        assert_eq!(
            error,
            "region `enhancing` paints the class 1, which is not in it"
        );
    }
}
