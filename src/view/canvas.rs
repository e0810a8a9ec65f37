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

    /// The bytes red, green, blue of every pixel, row by row.
    pub fn bytes(&self) -> &[u8] {
        self.pixels.as_flattened()
    }

    /// Writes the picture as PNG.
    ///
    /// **Errors** if the picture has no pixel or `out` cannot be written.
    pub fn write_png(&self, out: impl Write) -> Result<(), png::EncodingError> {
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut encoder = png::Encoder::new(out, side(self.width), side(self.height));
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.bytes())?;
        writer.finish()
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
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        assert_eq!((info.width, info.height), (5, 3));
        assert_eq!(bytes, canvas.bytes());
        assert_eq!(canvas.get(0, 1), Some([1, 2, 3]));
        assert_eq!(canvas.get(4, 1), Some([200, 0, 0]));
        assert_eq!(canvas.get(4, 2), Some([9, 9, 9]));
        assert_eq!(canvas.get(5, 0), None);
    }
}
