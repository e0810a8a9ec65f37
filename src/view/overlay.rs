//! One class of a case: truth and prediction as outlines in three planes, close up.

use super::canvas::{CARD, Canvas, Rgb};
use super::contour::outline;
use super::focus::Focus;
use super::panel::{letters, scale_bar, slice};
use super::plane::{PLANES, Plane, Raster, Values};
use super::window::Window;
use crate::volume::Volume;

/// Outline of the truth: orange of Okabe and Ito's colours.
pub const TRUTH: Rgb = [230, 159, 0];
/// Outline of the prediction: their sky blue.
pub const PREDICTION: Rgb = [86, 180, 233];
/// Pixels of both outlines.
pub const BOTH: Rgb = [255, 255, 255];

/// Pixels between planes.
const GAP: usize = 4;
/// Height below the planes for the scale bar.
const BELOW: usize = 16;
/// The close-up is this many times as wide as the class.
const MARGIN: f64 = 1.5;
/// Least width of the close-up, mm.
const LEAST_MM: f64 = 30.0;

/// Which pairs of outlines a layer shows, and its colour.
type Layer<'a> = (&'a dyn Fn(&(u16, u16)) -> bool, Rgb);

/// A class to be drawn.
pub struct Overlay<'a> {
    /// The image, on any grid.
    pub image: &'a Volume,
    /// True classes.
    pub truth: &'a Volume,
    /// Predicted classes.
    pub prediction: &'a Volume,
    /// The class.
    pub class: u16,
}

impl Overlay<'_> {
    /// Draws axial, coronal and sagittal plane through the middle of the class, each `side` pixels
    /// wide and high; `None` if neither truth nor prediction has the class.
    ///
    /// Planes go through the voxel of the truth next to its centre of mass, or of the prediction
    /// where the truth has none. All three have one scale, at which the class fits with a margin:
    /// that of the truth, so that a prediction which is everywhere does not make it small.
    pub fn draw(&self, side: usize) -> Option<Canvas> {
        let shown = [self.truth, self.prediction]
            .into_iter()
            .find(|label| has(label, self.class))?;
        let focus = Focus::in_class(shown, Some(self.class))?;
        let values = [self.image, self.truth, self.prediction].map(Values::of);
        let [image, truth, prediction] = &values;
        let grid = truth.grid;
        let through = focus.voxel(&grid);
        let planes = PLANES.map(|section| Plane::new(&grid, &grid.axes(), section, through));
        let shown = Values::of(shown);
        let boxes = planes.map(|plane| self.reach(&plane, &shown, through));
        let widest = boxes.iter().map(|b| b.width_mm).fold(LEAST_MM, f64::max);
        let extents = planes.iter().flat_map(|plane| plane.extent_mm());
        // Beyond the volume there is nothing to see.
        let scale = side as f64 / (widest * MARGIN).min(extents.fold(LEAST_MM, f64::max));
        let window = Window::of(&image.values);
        let mut canvas = Canvas::new(3 * side + 2 * GAP, side + BELOW, CARD);
        for (i, (plane, reach)) in planes.iter().zip(&boxes).enumerate() {
            let mut whole = slice(plane, scale, (image, &window), &[]).canvas;
            whole.quantise();
            self.outlines(&mut whole, plane, scale, truth, prediction);
            let corner =
                [0, 1].map(|a| (reach.centre_mm[a] * scale).round() as i64 - (side / 2) as i64);
            let mut close = whole.cropped(corner, [side, side], CARD);
            letters(&mut close, plane, [0, 0], [side, side]);
            canvas.paste(&close, [i * (side + GAP), 0]);
        }
        scale_bar(&mut canvas, [2, side + 3], side, scale);
        Some(canvas)
    }

    /// Draws both outlines of the class.
    fn outlines(
        &self,
        canvas: &mut Canvas,
        plane: &Plane,
        scale: f64,
        truth: &Values<'_>,
        prediction: &Values<'_>,
    ) {
        let raster = Raster::new(plane, scale);
        let size @ [width, _] = raster.size();
        let of = |label: &Values<'_>| {
            let mut classes = raster.classes(&plane.read(label));
            for class in &mut classes {
                *class = u16::from(*class == self.class);
            }
            outline(&classes, size)
        };
        let pairs: Vec<(u16, u16)> = of(truth).into_iter().zip(of(prediction)).collect();
        let is_truth = |pair: &(u16, u16)| pair.0 > 0;
        let is_prediction = |pair: &(u16, u16)| pair.1 > 0;
        // What both have is drawn last: lines are two pixels wide and overlap.
        let layers: [Layer<'_>; 3] = [
            (&is_truth, TRUTH),
            (&is_prediction, PREDICTION),
            (&|pair| is_truth(pair) && is_prediction(pair), BOTH),
        ];
        for (is_drawn, colour) in layers {
            for (i, _) in pairs.iter().enumerate().filter(|(_, pair)| is_drawn(pair)) {
                canvas.fill([i % width, i / width], [2, 2], colour);
            }
        }
    }

    /// The extent of the class in a plane; the voxel of the focus where the plane has none of it.
    fn reach(&self, plane: &Plane, label: &Values<'_>, through: [usize; 3]) -> Reach {
        let class = f32::from(self.class);
        let values = plane.read(label).into_iter().enumerate();
        let inside = values.filter(|(_, value)| *value == class);
        let mut places: Vec<[usize; 2]> = inside
            .map(|(i, _)| [i % plane.size[0], i / plane.size[0]])
            .collect();
        if places.is_empty() {
            places.extend(plane.place(through));
        }
        let ends = |a: usize| {
            let along = places.iter().map(|at| at[a]);
            along.fold((usize::MAX, 0), |(low, high), at| {
                (low.min(at), high.max(at))
            })
        };
        let [x, y] = [0, 1].map(ends);
        let (low, high) = ([x.0, y.0], [x.1, y.1]);
        let extent = |a: usize| (high[a] + 1 - low[a]) as f64 * plane.spacing_mm[a];
        Reach {
            centre_mm: [0, 1].map(|a| (low[a] + high[a] + 1) as f64 / 2.0 * plane.spacing_mm[a]),
            width_mm: extent(0).max(extent(1)),
        }
    }
}

/// The extent of a class in a plane.
struct Reach {
    /// Its middle from the left and from the top.
    centre_mm: [f64; 2],
    /// The larger of its width and height.
    width_mm: f64,
}

fn has(label: &Volume, class: u16) -> bool {
    let class = f32::from(class);
    label.to_f32().contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Grid;

    /// A cube of class 2 with edges of 4 voxels of 1x1x2 mm, shifted by `shift` along x.
    fn cube(shift: usize, class: u8) -> Volume {
        let grid = Grid::with_spacing([20, 20, 10], [1.0, 1.0, 2.0]).unwrap();
        let inside = |i: usize| {
            let (x, y, z) = (i % 20, i / 20 % 20, i / 400);
            (8 + shift..12 + shift).contains(&x) && (8..12).contains(&y) && (4..6).contains(&z)
        };
        let voxels = (0..4000)
            .map(|i| if inside(i) { class } else { 0 })
            .collect();
        Volume::from_vec(voxels, grid).unwrap()
    }

    fn count(canvas: &Canvas, colour: Rgb) -> usize {
        canvas
            .bytes()
            .chunks_exact(3)
            .filter(|p| *p == colour)
            .count()
    }

    #[test]
    fn outlines_of_truth_and_prediction_tell_where_they_differ() {
        let (truth, moved) = (cube(0, 2), cube(2, 2));
        let overlay = |prediction: &Volume| {
            let overlay = Overlay {
                image: &truth,
                truth: &truth,
                prediction,
                class: 2,
            };
            overlay.draw(60).unwrap()
        };
        let same = overlay(&truth);
        assert_eq!((same.width(), same.height()), (188, 76));
        assert_eq!((count(&same, TRUTH), count(&same, PREDICTION)), (0, 0));
        assert!(count(&same, BOTH) > 0);
        let differ = overlay(&moved);
        assert!(count(&differ, TRUTH) > 20 && count(&differ, PREDICTION) > 20);
    }

    #[test]
    fn a_class_that_one_of_both_lacks_is_shown_and_of_neither_not() {
        let (truth, other) = (cube(0, 2), cube(0, 3));
        let overlay = |class| Overlay {
            image: &truth,
            truth: &truth,
            prediction: &other,
            class,
        };
        let missed = overlay(2).draw(60).unwrap();
        assert!(count(&missed, TRUTH) > 0 && count(&missed, PREDICTION) == 0);
        let invented = overlay(3).draw(60).unwrap();
        assert!(count(&invented, TRUTH) == 0 && count(&invented, PREDICTION) > 0);
        assert!(overlay(4).draw(60).is_none());
    }
}
