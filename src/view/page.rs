//! A page: a heading, bands of panels below each other, and the colours of the classes.

use super::canvas::{ALARM, Canvas, INK, PALE, PAPER, Rgb};
use super::text::{Style, fit, wrap, write};

const MARGIN: usize = 14;
const GAP: usize = 8;
/// Narrowest page, so that its heading fits.
const NARROWEST: usize = 460;
/// Most lines of one text.
const LINES: usize = 3;

/// Pictures beside each other under a title.
pub struct Band {
    /// Title, such as the path of a stage.
    pub title: String,
    /// What stands below the title, such as what was drawn.
    pub lines: Vec<String>,
    /// Lines that warn.
    pub warnings: Vec<String>,
    /// Pictures from left to right.
    pub pictures: Vec<Canvas>,
}

/// A page of bands.
pub struct Page {
    /// Heading.
    pub title: String,
    /// What stands below the heading.
    pub lines: Vec<String>,
    /// Names and colours of the classes.
    pub legend: Vec<(String, Rgb)>,
    /// The bands, from top to bottom.
    pub bands: Vec<Band>,
}

impl Page {
    /// Draws the page: as wide as its widest band, as high as all of them.
    pub fn draw(&self) -> Canvas {
        let widths = self.bands.iter().map(|band| {
            let pictures = band.pictures.iter().map(Canvas::width);
            pictures.sum::<usize>() + GAP * band.pictures.len().saturating_sub(1)
        });
        let inner = widths.max().unwrap_or(0).max(NARROWEST);
        let texts = |lines: &[String]| -> Vec<String> {
            let lines = lines.iter();
            lines
                .flat_map(|l| wrap(l, Style::Body, inner, LINES))
                .collect()
        };
        let head = texts(&self.lines);
        let legend = self.legend_rows(inner);
        let bands: Vec<(&Band, Vec<String>, Vec<String>)> = (self.bands.iter())
            .map(|band| (band, texts(&band.lines), texts(&band.warnings)))
            .collect();
        let line = Style::Body.line();
        let tall = |band: &Band| band.pictures.iter().map(Canvas::height).max().unwrap_or(0);
        let height: usize = bands
            .iter()
            .map(|(band, lines, warnings)| {
                (1 + lines.len() + warnings.len()) * line + 4 + tall(band) + 2 * GAP
            })
            .sum();
        let top = MARGIN + (1 + head.len() + legend.len()) * line + 2 * GAP;
        let mut canvas = Canvas::new(inner + 2 * MARGIN, top + height + MARGIN - GAP, PAPER);

        let mut y = MARGIN;
        let put = |canvas: &mut Canvas, y: &mut usize, text: &str, style, colour| {
            write(canvas, [MARGIN, *y], text, style, colour);
            *y += line;
        };
        let title = fit(&self.title, Style::Title, inner);
        put(&mut canvas, &mut y, &title, Style::Title, INK);
        for text in &head {
            put(&mut canvas, &mut y, text, Style::Body, PALE);
        }
        for row in legend {
            let mut x = MARGIN;
            for (name, colour) in row {
                canvas.fill([x, y + 2], [9, 9], *colour);
                write(&mut canvas, [x + 13, y], name, Style::Body, PALE);
                x += entry_width(name);
            }
            y += line;
        }
        y += 2 * GAP;
        for (band, lines, warnings) in bands {
            canvas.fill([MARGIN, y - GAP / 2 - 1], [inner, 1], [70, 73, 80]);
            let title = fit(&band.title, Style::Title, inner);
            put(&mut canvas, &mut y, &title, Style::Title, INK);
            for text in &lines {
                put(&mut canvas, &mut y, text, Style::Body, PALE);
            }
            for text in &warnings {
                put(&mut canvas, &mut y, text, Style::Body, ALARM);
            }
            y += 4;
            let mut x = MARGIN;
            for picture in &band.pictures {
                canvas.paste(picture, [x, y]);
                x += picture.width() + GAP;
            }
            y += tall(band) + 2 * GAP;
        }
        canvas
    }

    /// The legend's entries, as many in a row as fit.
    fn legend_rows(&self, width: usize) -> Vec<Vec<&(String, Rgb)>> {
        let (mut rows, mut taken): (Vec<Vec<_>>, usize) = (Vec::new(), 0);
        for entry in &self.legend {
            let wide = entry_width(&entry.0);
            match rows.last_mut() {
                Some(row) if taken + wide <= width => row.push(entry),
                _ => {
                    rows.push(vec![entry]);
                    taken = 0;
                }
            }
            taken += wide;
        }
        rows
    }
}

fn entry_width(name: &str) -> usize {
    13 + Style::Body.width(name) + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_lie_below_each_other_and_nothing_is_cut_off() {
        let picture = |width, height, red| Canvas::new(width, height, [red, 0, 0]);
        let band = |pictures| Band {
            title: "stages[0].window".to_owned(),
            lines: vec!["range: [0, 1]".to_owned()],
            warnings: Vec::new(),
            pictures,
        };
        let page = Page {
            title: "a page".to_owned(),
            lines: Vec::new(),
            legend: vec![("organ".to_owned(), [0, 200, 0])],
            bands: vec![
                band(vec![picture(300, 50, 201), picture(300, 80, 202)]),
                band(vec![picture(100, 20, 203)]),
            ],
        };
        let canvas = page.draw();
        assert_eq!(canvas.width(), 608 + 28);
        let count = |colour| {
            let all = canvas.bytes().chunks_exact(3);
            all.filter(|p| *p == colour).count()
        };
        let areas = [201, 202, 203].map(|red| count([red, 0, 0]));
        assert_eq!(areas, [300 * 50, 300 * 80, 100 * 20]);
        assert_eq!(count([0, 200, 0]), 81);
        // 14 + 30 + 16 above, two bands of 50 + 80 and 50 + 20, 6 below.
        assert_eq!(canvas.height(), 60 + 130 + 70 + 6);
    }
}
