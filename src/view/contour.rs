//! Boundaries of label maps, in colours that colour-blind readers can tell apart.

use super::canvas::Rgb;

/// Colours of classes 1 to 7, then again: Okabe and Ito, "Color Universal Design" (2008), the
/// light ones first as they lie on grey.
const COLOURS: [Rgb; 7] = [
    [230, 159, 0],   // orange
    [86, 180, 233],  // sky blue
    [240, 228, 66],  // yellow
    [0, 158, 115],   // bluish green
    [213, 94, 0],    // vermilion
    [204, 121, 167], // reddish purple
    [0, 114, 178],   // blue
];

/// Colour of unannotated voxels.
const IGNORED: Rgb = [150, 150, 150];

/// The class number of unannotated voxels.
pub const IGNORED_CLASS: u16 = 255;

/// The colour of a class; `None` for the background.
pub fn colour(class: u16) -> Option<Rgb> {
    match class {
        0 => None,
        IGNORED_CLASS => Some(IGNORED),
        class => Some(COLOURS[usize::from(class - 1) % COLOURS.len()]),
    }
}

/// The pixels on the boundary of their class: those of a foreground class with a neighbour of
/// another class to the left, right, top or bottom.
///
/// The edge of the picture is no boundary: what is cut off may continue. Returns the class on the
/// boundary, else 0.
pub fn outline(classes: &[u16], [width, height]: [usize; 2]) -> Vec<u16> {
    let at = |x: usize, y: usize| classes[y * width + x];
    let mut outline = vec![0; classes.len()];
    for y in 0..height {
        for x in 0..width {
            let class = at(x, y);
            let differs = |x: Option<usize>, y: Option<usize>| match (x, y) {
                (Some(x), Some(y)) if x < width && y < height => at(x, y) != class,
                _ => false,
            };
            let boundary = differs(x.checked_sub(1), Some(y))
                || differs(Some(x + 1), Some(y))
                || differs(Some(x), y.checked_sub(1))
                || differs(Some(x), Some(y + 1));
            if class > 0 && boundary {
                outline[y * width + x] = class;
            }
        }
    }
    outline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_is_the_class_without_its_inside() {
        #[rustfmt::skip]
        let classes = [
            1, 1, 1, 1, 0, 0,
            1, 1, 1, 1, 0, 0,
            1, 1, 1, 1, 2, 2,
            1, 1, 1, 1, 2, 2,
            0, 0, 0, 0, 0, 0,
        ];
        #[rustfmt::skip]
        let expected = [
            0, 0, 0, 1, 0, 0,
            0, 0, 0, 1, 0, 0,
            0, 0, 0, 1, 2, 2,
            1, 1, 1, 1, 2, 2,
            0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(outline(&classes, [6, 5]), expected);
    }

    #[test]
    fn neighbouring_classes_differ_in_colour() {
        assert_eq!(colour(0), None);
        assert_eq!(colour(1), colour(8));
        for class in 1..7 {
            assert_ne!(colour(class), colour(class + 1));
        }
        assert_ne!(colour(IGNORED_CLASS), colour(IGNORED_CLASS % 7));
    }
}
