//! A prediction that has no truth, slice by slice.

use super::beside::{Picture, beside, scale_for};
use super::contour::IGNORED_CLASS;
use super::errors::{axial, class};
use super::panel::slice;
use super::plane::Values;
use super::window::Window;
use crate::volume::Volume;

/// A prediction to draw over its image.
pub struct Unscored<'a> {
    /// The image, on any grid.
    pub image: &'a Volume,
    /// Predicted classes.
    pub prediction: &'a Volume,
}

impl Unscored<'_> {
    /// Every axial slice of the prediction with its voxels of foreground: most of them first.
    pub fn slices(&self) -> Vec<(usize, usize)> {
        let prediction = Values::of(self.prediction);
        let is_foreground = |value: &f32| !matches!(class(*value), 0 | IGNORED_CLASS);
        let count = |at: usize| {
            let values = axial(&prediction.grid, at).read(&prediction);
            values.iter().filter(|value| is_foreground(value)).count()
        };
        let slices = axial(&prediction.grid, 0).slice[1];
        let mut all: Vec<(usize, usize)> = (0..slices).map(|at| (at, count(at))).collect();
        all.sort_by_key(|(at, voxels)| (std::cmp::Reverse(*voxels), *at));
        all
    }

    /// Draws one slice: the image alone, and with the contours of the prediction; each picture `width`
    /// pixels wide.
    pub fn draw(&self, at: usize, width: usize) -> Picture {
        let [image, prediction] = [self.image, self.prediction].map(Values::of);
        let plane = axial(&prediction.grid, at);
        let window = Window::of(&image.values);
        let scale = scale_for(&plane, width);
        let drawn = [
            ("image", slice(&plane, scale, (&image, &window), &[])),
            (
                "prediction",
                slice(&plane, scale, (&image, &window), &[(&prediction, None)]),
            ),
        ];
        beside(&plane, scale, &window, &drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Grid;

    #[test]
    fn the_slice_with_most_foreground_comes_first_and_shows_its_classes() {
        let grid = Grid::with_spacing([6, 6, 3], [1.0, 1.0, 4.0]).unwrap();
        let mut values = vec![0u8; 108];
        // A square of class 2 in the last slice, a voxel of class 1 in the first.
        for y in 2..4 {
            values[72 + y * 6 + 2..72 + y * 6 + 4].fill(2);
        }
        values[14] = 1;
        let prediction = Volume::from_vec(values, grid).unwrap();
        let case = Unscored {
            image: &prediction,
            prediction: &prediction,
        };
        assert_eq!(case.slices(), [(2, 4), (0, 1), (1, 0)]);
        let picture = case.draw(2, 100);
        assert_eq!(picture.classes.into_iter().collect::<Vec<_>>(), [2]);
        assert_eq!(picture.canvas.height(), 16 + 100 + 2 * 6 + 14);
    }
}
