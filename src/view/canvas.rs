//! A picture in memory; the only door to the PNG writer.

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor as _};
use std::convert::Infallible;
use std::io::Write;

/// Red, green and blue, 0 to 255 each.
pub type Rgb = [u8; 3];

/// Background of a page.
pub const PAPER: Rgb = [22, 23, 26];
/// Background of a panel.
pub const CARD: Rgb = [36, 38, 43];
/// Text that is read first.
pub const INK: Rgb = [236, 236, 236];
/// Text that is read second.
pub const PALE: Rgb = [168, 172, 180];
/// Text that warns.
pub const ALARM: Rgb = [240, 170, 80];

/// A picture of 8-bit red, green and blue, row by row from the top left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: usize, height: usize, colour: Rgb) -> Self {
        Self {
            width,
            height,
            pixels: vec![colour; width * height],
        }
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The colour at a place; `None` outside.
    pub fn get(&self, x: usize, y: usize) -> Option<Rgb> {
        (x < self.width && y < self.height).then(|| self.pixels[y * self.width + x])
    }

    /// Colours a pixel; places outside are ignored.
    pub fn set(&mut self, x: usize, y: usize, colour: Rgb) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = colour;
        }
    }

    /// Fills a rectangle; what is outside is ignored.
    pub fn fill(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: Rgb) {
        for row in y..(y + height).min(self.height) {
            let start = row * self.width;
            self.pixels[start + x.min(self.width)..start + (x + width).min(self.width)]
                .fill(colour);
        }
    }

    /// Copies another picture onto this one; what is outside is ignored.
    pub fn paste(&mut self, other: &Self, [x, y]: [usize; 2]) {
        for row in 0..other.height {
            for column in 0..other.width {
                self.set(
                    x + column,
                    y + row,
                    other.pixels[row * other.width + column],
                );
            }
        }
    }

    /// The part that begins at a place and has a size; what lies outside of the picture is `colour`.
    pub fn cropped(&self, [x, y]: [i64; 2], [width, height]: [usize; 2], colour: Rgb) -> Self {
        let mut part = Self::new(width, height, colour);
        let inside = |at: i64, n: usize| usize::try_from(at).ok().filter(|at| *at < n);
        for row in 0..height {
            let Some(from) = inside(y + row as i64, self.height) else {
                continue;
            };
            for column in 0..width {
                if let Some(at) = inside(x + column as i64, self.width) {
                    part.pixels[row * width + column] = self.pixels[from * self.width + at];
                }
            }
        }
        part
    }

    /// Rounds every colour to even values: a difference nobody sees, which makes PNG files smaller
    /// and leaves room for other colours among the 256 of a palette.
    pub fn quantise(&mut self) {
        self.pixels
            .as_flattened_mut()
            .iter_mut()
            .for_each(|v| *v &= 0xFE);
    }

    /// The bytes red, green, blue of every pixel, row by row.
    pub fn bytes(&self) -> &[u8] {
        self.pixels.as_flattened()
    }

    /// Writes the picture as PNG: with a palette where it has at most 256 colours.
    ///
    /// **Errors** if the picture has no pixel or `out` cannot be written.
    pub fn write_png(&self, out: impl Write) -> Result<(), png::EncodingError> {
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut encoder = png::Encoder::new(out, side(self.width), side(self.height));
        encoder.set_depth(png::BitDepth::Eight);
        let palette = self.palette();
        let indices = palette.as_ref().map(|palette| -> Vec<u8> {
            let index = |colour: &Rgb| palette.binary_search(colour).unwrap_or(0) as u8;
            self.pixels.iter().map(index).collect()
        });
        match palette {
            Some(palette) => {
                encoder.set_color(png::ColorType::Indexed);
                encoder.set_palette(palette.concat());
            }
            None => encoder.set_color(png::ColorType::Rgb),
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(indices.as_deref().unwrap_or_else(|| self.bytes()))?;
        writer.finish()
    }

    /// The colours in order; `None` if there are more than 256.
    fn palette(&self) -> Option<Vec<Rgb>> {
        let mut colours = std::collections::BTreeSet::new();
        for pixels in self.pixels.chunk_by(|a, b| a == b) {
            colours.insert(pixels[0]);
            if colours.len() > 256 {
                return None;
            }
        }
        Some(colours.into_iter().collect())
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Size::new(side(self.width), side(self.height))
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) {
                self.set(x, y, [colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_decodes_to_the_same_pixels() {
        let mut canvas = Canvas::new(5, 3, [1, 2, 3]);
        canvas.fill([1, 1], [9, 1], [200, 0, 0]);
        let mut small = Canvas::new(2, 2, [0, 255, 0]);
        small.set(0, 0, [9, 9, 9]);
        canvas.paste(&small, [4, 2]);
        let mut file = Vec::new();
        canvas.write_png(&mut file).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        assert_eq!((info.width, info.height), (5, 3));
        assert_eq!(bytes, canvas.bytes());
        assert_eq!(canvas.get(0, 1), Some([1, 2, 3]));
        assert_eq!(canvas.get(4, 1), Some([200, 0, 0]));
        assert_eq!(canvas.get(4, 2), Some([9, 9, 9]));
        assert_eq!(canvas.get(5, 0), None);
        // More colours than a palette holds.
        let mut many = Canvas::new(40, 40, [0; 3]);
        (0..1600).for_each(|i| many.set(i % 40, i / 40, [(i % 256) as u8, (i / 256) as u8, 7]));
        assert!(many.palette().is_none());
        let mut file = Vec::new();
        many.write_png(&mut file).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        assert_eq!(bytes, many.bytes());
    }

    #[test]
    fn a_part_may_reach_beyond_the_picture() {
        let mut canvas = Canvas::new(3, 2, [1; 3]);
        canvas.set(2, 1, [9; 3]);
        let part = canvas.cropped([1, -1], [3, 3], [0; 3]);
        let at = |x, y| part.get(x, y).unwrap()[0];
        assert_eq!([at(0, 0), at(0, 1), at(1, 2), at(2, 2)], [0, 1, 9, 0]);
    }
}
