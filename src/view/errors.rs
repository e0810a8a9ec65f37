//! Prediction against truth, slice by slice.

use super::beside::{beside, scale_for};
use super::canvas::Rgb;
use super::contour::IGNORED_CLASS;
use super::panel::slice;
use super::plane::{Plane, Raster, Section, Values};
use super::window::Window;
use crate::volume::{Grid, Volume};

pub use super::beside::Picture;

/// Colour of voxels of the truth that the prediction has as background.
pub const MISSED: Rgb = [213, 94, 0];
/// Colour of voxels of the prediction that the truth has as background.
pub const INVENTED: Rgb = [0, 114, 178];
/// Colour of voxels with another class than in the truth.
pub const CONFUSED: Rgb = [204, 121, 167];

/// How prediction and truth differ in one axial slice; unannotated voxels do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SliceErrors {
    /// Position of the slice along its axis, from 0.
    pub slice: usize,
    /// Voxels with another class.
    pub wrong: usize,
    /// Voxels of any foreground class in the truth.
    pub truth: usize,
    /// Voxels of any foreground class in the prediction.
    pub predicted: usize,
    /// Voxels of the same foreground class in both.
    pub agreed: usize,
}

impl SliceErrors {
    /// Dice of all foreground classes together; `None` where both slices are empty.
    pub fn dice(&self) -> Option<f64> {
        let sum = self.truth + self.predicted;
        (sum > 0).then(|| 2.0 * self.agreed as f64 / sum as f64)
    }
}

/// A case to draw: an image with its truth and its prediction.
pub struct Case<'a> {
    /// The image, on any grid.
    pub image: &'a Volume,
    /// True classes.
    pub truth: &'a Volume,
    /// Predicted classes.
    pub prediction: &'a Volume,
}

/// The axial slice of a grid at a position along its axis.
pub(super) fn axial(grid: &Grid, at: usize) -> Plane {
    let axis = grid.axes().iter().position(|(world, _)| *world == 2);
    let mut through = [0; 3];
    through[axis.unwrap_or(2)] = at;
    Plane::new(grid, &grid.axes(), Section::Axial, through)
}

pub(super) fn class(value: f32) -> u16 {
    // Outside of a volume there is background.
    if value > 0.0 { value as u16 } else { 0 }
}

impl Case<'_> {
    /// Errors of every axial slice of the truth, most wrong voxels first, slices without foreground
    /// last.
    pub fn slices(&self) -> Vec<SliceErrors> {
        let (truth, prediction) = (Values::of(self.truth), Values::of(self.prediction));
        let slices = axial(&truth.grid, 0).slice[1];
        let mut all: Vec<SliceErrors> = (0..slices)
            .map(|at| {
                let plane = axial(&truth.grid, at);
                let pairs = plane.read(&truth).into_iter().zip(plane.read(&prediction));
                let mut errors = SliceErrors {
                    slice: at,
                    ..SliceErrors::default()
                };
                for (truth, predicted) in pairs.map(|(t, p)| (class(t), class(p))) {
                    if truth == IGNORED_CLASS {
                        continue;
                    }
                    errors.wrong += usize::from(truth != predicted);
                    errors.truth += usize::from(truth > 0);
                    errors.predicted += usize::from(predicted > 0);
                    errors.agreed += usize::from(truth > 0 && truth == predicted);
                }
                errors
            })
            .collect();
        all.sort_by_key(|e| {
            (
                std::cmp::Reverse(e.wrong),
                std::cmp::Reverse(e.truth),
                e.slice,
            )
        });
        all
    }

    /// Draws one slice: truth, prediction, and where they differ; each picture `width` pixels wide.
    pub fn draw(&self, at: usize, width: usize) -> Picture {
        let values = [self.image, self.truth, self.prediction].map(Values::of);
        let [image, truth, prediction] = &values;
        let plane = axial(&truth.grid, at);
        let window = Window::of(&image.values);
        let scale = scale_for(&plane, width);
        let mut pictures = [
            slice(&plane, scale, (image, &window), &[(truth, None)]),
            slice(&plane, scale, (image, &window), &[(prediction, None)]),
            slice(&plane, scale, (image, &window), &[]),
        ];
        let raster = Raster::new(&plane, scale);
        let pixels = [truth, prediction].map(|v| raster.classes(&plane.read(v)));
        let [wide, _] = raster.size();
        let errors = &mut pictures[2].canvas;
        for (i, (truth, predicted)) in pixels[0].iter().zip(&pixels[1]).enumerate() {
            if let (Some(colour), Some(grey)) = (
                error_colour(*truth, *predicted),
                errors.get(i % wide, i / wide),
            ) {
                let blend = |a: u8, b: u8| ((u16::from(a) * 2 + u16::from(b)) / 3) as u8;
                let mixed = [0, 1, 2].map(|c| blend(colour[c], grey[c]));
                errors.set(i % wide, i / wide, mixed);
            }
        }
        let [truth, prediction, errors] = pictures;
        let drawn = [
            ("truth", truth),
            ("prediction", prediction),
            ("errors", errors),
        ];
        beside(&plane, scale, &window, &drawn)
    }
}

/// The colour of a pair of classes; `None` where they agree or nobody annotated.
fn error_colour(truth: u16, predicted: u16) -> Option<Rgb> {
    match (truth, predicted) {
        (IGNORED_CLASS, _) => None,
        (t, p) if t == p => None,
        (_, 0) => Some(MISSED),
        (0, _) => Some(INVENTED),
        _ => Some(CONFUSED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(values: Vec<u8>) -> Volume {
        let grid = Grid::with_spacing([2, 2, 3], [1.0, 1.0, 4.0]).unwrap();
        Volume::from_vec(values, grid).unwrap()
    }

    #[test]
    fn the_worst_slice_comes_first() {
        let truth = label(vec![0, 0, 0, 0, 1, 1, 2, 255, 1, 1, 0, 0]);
        let prediction = label(vec![0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 0, 1]);
        let case = Case {
            image: &truth,
            truth: &truth,
            prediction: &prediction,
        };
        let slices = case.slices();
        let order: Vec<(usize, usize)> = slices.iter().map(|s| (s.slice, s.wrong)).collect();
        assert_eq!(order, [(1, 2), (2, 1), (0, 0)]);
        assert_eq!(
            (slices[0].truth, slices[0].predicted, slices[0].agreed),
            (3, 2, 1)
        );
        assert_eq!(slices[0].dice(), Some(0.4));
        assert_eq!(slices[2].dice(), None);
    }

    #[test]
    fn errors_are_coloured_by_their_kind() {
        assert_eq!(error_colour(1, 1), None);
        assert_eq!(error_colour(IGNORED_CLASS, 1), None);
        assert_eq!(error_colour(1, 0), Some(MISSED));
        assert_eq!(error_colour(0, 2), Some(INVENTED));
        assert_eq!(error_colour(1, 2), Some(CONFUSED));
    }

    #[test]
    fn three_pictures_lie_beside_each_other() {
        let truth = label(vec![1; 12]);
        let case = Case {
            image: &truth,
            truth: &truth,
            prediction: &truth,
        };
        let picture = case.draw(1, 100);
        assert_eq!(
            (picture.canvas.width(), picture.canvas.height()),
            (324, 142)
        );
        // Filled to the edges, the class has no boundary.
        assert!(picture.classes.is_empty());
    }
}
