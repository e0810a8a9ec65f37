//! Pictures of one slice beside each other, each below its name.

use super::canvas::{CARD, Canvas, INK, PALE};
use super::panel::{Slice, letters, scale_bar};
use super::plane::{Plane, Raster};
use super::text::{Style, fit, write};
use super::window::Window;
use std::collections::BTreeSet;

/// Pixels between pictures, and around them.
const GAP: usize = 6;
/// Height of the line above each picture.
const HEAD: usize = 16;
/// Height of the line below the pictures.
const FOOT: usize = 14;

/// The picture of one slice.
pub struct Picture {
    /// What was drawn, beside each other.
    pub canvas: Canvas,
    /// Foreground classes in it.
    pub classes: BTreeSet<u16>,
}

/// Pixels per mm at which a slice is `width` pixels wide, but at most half as high again.
pub(super) fn scale_for(plane: &Plane, width: usize) -> f64 {
    let [across, high] = plane.extent_mm();
    (width as f64 / across).min(1.5 * width as f64 / high)
}

/// Puts what was drawn of a slice at `scale` pixels per mm beside each other: names above, letters of orientation in,
/// a scale bar and the range of grey values below.
pub(super) fn beside(
    plane: &Plane,
    scale: f64,
    window: &Window,
    drawn: &[(&str, Slice)],
) -> Picture {
    let size @ [wide, high] = Raster::new(plane, scale).size();
    let widest = drawn.iter().map(|(name, _)| Style::Title.width(name));
    let cell = widest.fold(wide, usize::max);
    let step = cell + GAP;
    let mut canvas = Canvas::new(drawn.len() * step + GAP, HEAD + high + 2 * GAP + FOOT, CARD);
    for (i, (name, slice)) in drawn.iter().enumerate() {
        let x = GAP + i * step;
        write(&mut canvas, [x, 3], name, Style::Title, INK);
        canvas.paste(&slice.canvas, [x, HEAD + GAP]);
        letters(&mut canvas, plane, [x, HEAD + GAP], size);
    }
    let below = HEAD + high + GAP + 2;
    scale_bar(&mut canvas, [GAP, below], wide, scale);
    let range = fit(&window.line(), Style::Small, (drawn.len() - 1) * cell);
    write(&mut canvas, [GAP + step, below], &range, Style::Small, PALE);
    let classes = drawn.iter().flat_map(|(_, slice)| &slice.classes);
    Picture {
        classes: classes.copied().collect(),
        canvas,
    }
}
