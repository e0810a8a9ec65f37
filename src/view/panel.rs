//! One volume: three planes with label contours, a histogram, and what was measured.

use super::canvas::{CARD, Canvas, INK, PALE, Rgb};
use super::contour::{colour, outline};
use super::focus::Focus;
use super::histogram;
use super::plane::{Orientation, PLANES, Plane, Raster, Values};
use super::text::{Style, fit, number, write, write_on_picture};
use super::window::{Summary, Window};
use crate::volume::{Grid, Volume};
use std::collections::BTreeSet;

const PAD: usize = 6;
const GAP: usize = 5;
const HISTOGRAM: usize = 26;
/// Narrowest place for a plane, so that its name fits.
const NARROWEST: usize = 50;
/// Colour of voxels that are not finite.
const NOT_FINITE: Rgb = [150, 40, 150];

/// A volume to be drawn.
pub struct Panel<'a> {
    /// Modality, or another heading.
    pub name: &'a str,
    /// The image; `None` where it is missing.
    pub image: Option<&'a Volume>,
    /// The label map whose contours are drawn; on any grid.
    pub label: Option<&'a Volume>,
    /// How the array is oriented on the screen.
    pub orientation: Orientation,
    /// The point through which planes are laid.
    pub focus: Focus,
    /// Values that are drawn black and white; `None`: found from the image.
    pub window: Option<Window>,
    /// Width in pixels.
    pub width: usize,
}

/// A panel that was drawn.
pub struct Drawn {
    /// The picture.
    pub canvas: Canvas,
    /// Foreground classes with a contour in it.
    pub classes: BTreeSet<u16>,
    /// Values drawn black and white; `None` where the image is missing.
    pub window: Option<Window>,
}

/// A slice as pixels: colours without contours, and contours.
pub struct Slice {
    /// The picture.
    pub canvas: Canvas,
    /// Classes with a contour.
    pub classes: BTreeSet<u16>,
}

/// Draws a slice of an image at `scale` pixels per mm; contours of `label`, in `line` where it is
/// given and else in their classes' colours.
pub fn slice(
    plane: &Plane,
    scale: f64,
    (image, window): (&Values<'_>, &Window),
    labels: &[(&Values<'_>, Option<Rgb>)],
) -> Slice {
    let raster = Raster::new(plane, scale);
    let [width, height] = raster.size();
    let mut canvas = Canvas::new(width, height, CARD);
    for (i, value) in raster.means(&plane.read(image)).into_iter().enumerate() {
        let grey = window.grey(value).map(|g| [g; 3]);
        canvas.set(i % width, i / width, grey.unwrap_or(NOT_FINITE));
    }
    let mut classes = BTreeSet::new();
    for (label, line) in labels {
        let found = raster.classes(&plane.read(label));
        for (i, class) in outline(&found, [width, height]).into_iter().enumerate() {
            if let Some(own) = colour(class) {
                canvas.set(i % width, i / width, line.unwrap_or(own));
                classes.insert(class);
            }
        }
    }
    Slice { canvas, classes }
}

/// Writes the orientation letters onto the edges of a slice that is at a place; letters are left
/// out along a side too short for them.
pub fn letters(
    canvas: &mut Canvas,
    plane: &Plane,
    [x, y]: [usize; 2],
    [width, height]: [usize; 2],
) {
    let (w, h) = (Style::Small.advance(), Style::Small.line() - 2);
    let [left, right, top, bottom] = plane.letters.map(String::from);
    if width >= 5 * w && height >= h {
        let middle = y + (height - h) / 2;
        write_on_picture(canvas, [x + 2, middle], &left, INK);
        write_on_picture(canvas, [x + width - w - 1, middle], &right, INK);
    }
    if height >= 3 * h && width >= w + 2 {
        let middle = x + (width - w) / 2;
        write_on_picture(canvas, [middle, y + 1], &top, INK);
        write_on_picture(canvas, [middle, y + height - h], &bottom, INK);
    }
}

/// Draws a bar of a round number of mm, at most two fifths of the width, with its length.
pub fn scale_bar(canvas: &mut Canvas, [x, y]: [usize; 2], width: usize, scale: f64) {
    const LENGTHS: [f64; 9] = [200.0, 100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5];
    let most = width as f64 * 0.4 / scale;
    let Some(length) = LENGTHS.into_iter().find(|l| *l <= most) else {
        return;
    };
    let pixels = (length * scale).round() as usize;
    canvas.fill([x, y + 5], [pixels, 2], PALE);
    canvas.fill([x, y + 2], [1, 8], PALE);
    canvas.fill([x + pixels, y + 2], [1, 8], PALE);
    let text = format!("{} mm", number(length));
    write(canvas, [x + pixels + 5, y], &text, Style::Small, PALE);
}

/// A grid as a line: `40x40x32 voxels of 1x1x2.5 mm, RAS`.
pub fn grid_line(grid: &Grid) -> String {
    let shape = grid.shape_xyz().map(|n| n.to_string()).join("x");
    let spacing = grid.spacing_mm().map(number).join("x");
    format!("{shape} voxels of {spacing} mm, {}", grid.orientation())
}

impl Panel<'_> {
    /// Draws the panel: as wide as asked, as high as needed.
    pub fn draw(&self) -> Drawn {
        let Some(volume) = self.image else {
            return self.missing();
        };
        let image = Values::of(volume);
        let label = self.label.map(Values::of);
        let summary = Summary::of(&image.values);
        let window = self.window.unwrap_or_else(|| Window::of(&image.values));
        let through = self.focus.voxel(volume.grid());
        let plane = |section| Plane::new(volume.grid(), &self.orientation, section, through);
        let planes = PLANES.map(plane);
        let scale = scale(&planes, self.width - 2 * PAD);
        let labels: Vec<_> = label.iter().map(|label| (label, None)).collect();
        let slices = planes.map(|plane| slice(&plane, scale, (&image, &window), &labels));

        let line = Style::Small.line();
        let tallest = slices.iter().map(|s| s.canvas.height()).max().unwrap_or(0);
        let head = PAD + Style::Title.line() + 2;
        let height = head + tallest + 3 + line + line + HISTOGRAM + 4 + 2 * line + PAD;
        let mut canvas = Canvas::new(self.width, height, CARD);
        let kind = format!("{}, {}", grid_line(volume.grid()), volume.dtype());
        self.heading(&mut canvas, &kind);

        let mut x = PAD;
        let mut classes = BTreeSet::new();
        for (plane, slice) in planes.iter().zip(&slices) {
            let size @ [width, height] = [slice.canvas.width(), slice.canvas.height()];
            let cell = width.max(NARROWEST);
            let at = [x + (cell - width) / 2, head + (tallest - height) / 2];
            canvas.paste(&slice.canvas, at);
            letters(&mut canvas, plane, at, size);
            let [slice_number, slices] = plane.slice;
            let name = plane.section.name();
            let long = format!("{name} {}/{slices}", slice_number + 1);
            let name = match Style::Small.width(&long) <= cell {
                true => &*long,
                false => name,
            };
            let middle = x + (cell - Style::Small.width(name).min(cell)) / 2;
            let below = head + tallest + 3;
            write(&mut canvas, [middle, below], name, Style::Small, PALE);
            x += cell + GAP;
            classes.extend(&slice.classes);
        }
        let mut y = head + tallest + 3 + line;
        scale_bar(&mut canvas, [PAD, y], self.width - 2 * PAD, scale);
        y += line;
        let measured = (&*image.values, &summary, &window);
        histogram::draw(
            &mut canvas,
            [PAD, y],
            [self.width - 2 * PAD, HISTOGRAM],
            measured,
        );
        y += HISTOGRAM + 4;
        for text in [summary.line(), window.line()] {
            let text = fit(&text, Style::Small, self.width - 2 * PAD);
            write(&mut canvas, [PAD, y], &text, Style::Small, PALE);
            y += line;
        }
        Drawn {
            canvas,
            classes,
            window: Some(window),
        }
    }

    fn heading(&self, canvas: &mut Canvas, kind: &str) {
        write(canvas, [PAD, PAD], self.name, Style::Title, INK);
        let x = PAD + Style::Title.width(self.name) + 8;
        let kind = fit(kind, Style::Small, (self.width - PAD).saturating_sub(x));
        write(canvas, [x, PAD], &kind, Style::Small, PALE);
    }

    fn missing(&self) -> Drawn {
        let mut canvas = Canvas::new(self.width, 2 * PAD + Style::Title.line(), CARD);
        self.heading(&mut canvas, "missing");
        Drawn {
            canvas,
            classes: BTreeSet::new(),
            window: None,
        }
    }
}

/// Pixels per mm with which planes beside each other fill a width, none taller than half of it.
fn scale(planes: &[Plane; 3], width: usize) -> f64 {
    let extents = planes.map(|plane| plane.extent_mm());
    let tallest = extents.iter().map(|e| e[1]).fold(0.0, f64::max);
    let wide: f64 = extents.iter().map(|e| e[0]).sum();
    let free = width.saturating_sub(2 * GAP) as f64;
    let mut scale = (free / wide).min(width as f64 / 2.0 / tallest);
    let taken = |scale: f64| -> f64 {
        let cells = extents.map(|e| (e[0] * scale).round().max(NARROWEST as f64));
        cells.iter().sum()
    };
    // Narrow planes take more than their share.
    while taken(scale) > free && taken(scale) > 3.0 * NARROWEST as f64 {
        scale *= 0.98;
    }
    scale
}

#[cfg(test)]
mod tests;
