//! Bands of predictions that have no truth.

use crate::view::Band;
use crate::view::unscored::Unscored;
use crate::volume::Volume;
use std::collections::BTreeSet;

/// The slices with the largest predictions, at most `most`; what has no image is named.
pub(super) fn bands(
    (image, prediction): (Option<&Volume>, &Volume),
    title: &str,
    (most, width): (usize, usize),
    classes: &mut BTreeSet<u16>,
) -> Vec<Band> {
    let band = |title: String, line: &str| Band {
        title,
        lines: vec![line.to_owned()],
        warnings: Vec::new(),
        pictures: Vec::new(),
    };
    let Some(image) = image else {
        return vec![band(title.to_owned(), "the subject has no image to draw")];
    };
    let drawn = Unscored { image, prediction };
    let slices = drawn.slices();
    let count = slices.len();
    let filled = slices.iter().filter(|(_, voxels)| *voxels > 0).count();
    let shown = slices.into_iter().take(most.min(filled.max(1)));
    shown
        .map(|(slice, voxels)| {
            let picture = drawn.draw(slice, width);
            classes.extend(&picture.classes);
            let line = format!("prediction {voxels} voxels; no truth to compare with");
            Band {
                pictures: vec![picture.canvas],
                ..band(
                    format!("{title}: axial slice {} of {count}", slice + 1),
                    &line,
                )
            }
        })
        .collect()
}
