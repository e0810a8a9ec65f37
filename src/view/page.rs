//! A page: a heading, the colours of the classes, and bands of panels.

use super::canvas::{ALARM, Canvas, INK, PALE, PAPER, Rgb};
use super::text::{Style, fit, wrap, write};

const MARGIN: usize = 14;
const GAP: usize = 8;
/// Space between bands beside each other.
const BETWEEN: usize = 18;
/// Narrowest band, so that its texts fit.
const NARROWEST: usize = 400;
/// Width up to which bands stand beside each other.
const WIDEST: usize = 1660;
/// Most lines of one text.
const LINES: usize = 3;
const RULE: Rgb = [70, 73, 80];

/// Pictures beside each other under a title.
pub struct Band {
    /// Title, such as the path of a stage.
    pub title: String,
    /// What is below the title, such as what was drawn.
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
    /// What is below the heading.
    pub lines: Vec<String>,
    /// Names and colours of the classes.
    pub legend: Vec<(String, Rgb)>,
    /// The bands, as many beside each other as fit, row by row.
    pub bands: Vec<Band>,
}

impl Band {
    fn width(&self) -> usize {
        let pictures = self.pictures.iter().map(Canvas::width);
        let gaps = GAP * self.pictures.len().saturating_sub(1);
        (pictures.sum::<usize>() + gaps).max(NARROWEST)
    }

    /// The band as a picture of its own.
    fn draw(&self) -> Canvas {
        let width = self.width();
        let texts = |lines: &[String], colour: Rgb| -> Vec<(String, Rgb)> {
            let lines = lines.iter();
            let lines = lines.flat_map(|l| wrap(l, Style::Body, width, LINES));
            lines.map(|line| (line, colour)).collect()
        };
        let mut lines = texts(&self.lines, PALE);
        lines.extend(texts(&self.warnings, ALARM));
        let line = Style::Body.line();
        let tall = self.pictures.iter().map(Canvas::height).max();
        let head = 4 + (1 + lines.len()) * line + 4;
        let mut canvas = Canvas::new(width, head + tall.unwrap_or(0), PAPER);
        canvas.fill([0, 0], [width, 1], RULE);
        let title = fit(&self.title, Style::Title, width);
        write(&mut canvas, [0, 4], &title, Style::Title, INK);
        for (i, (text, colour)) in lines.iter().enumerate() {
            write(
                &mut canvas,
                [0, 4 + (1 + i) * line],
                text,
                Style::Body,
                *colour,
            );
        }
        let mut x = 0;
        for picture in &self.pictures {
            canvas.paste(picture, [x, head]);
            x += picture.width() + GAP;
        }
        canvas
    }
}

impl Page {
    /// Draws the page: as wide as its widest row of bands, as high as all of them.
    pub fn draw(&self) -> Canvas {
        let mut rows: Vec<(usize, Vec<Canvas>)> = Vec::new();
        for band in self.bands.iter().map(Band::draw) {
            match rows.last_mut() {
                Some((width, row)) if *width + BETWEEN + band.width() <= WIDEST => {
                    *width += BETWEEN + band.width();
                    row.push(band);
                }
                _ => rows.push((band.width(), vec![band])),
            }
        }
        let inner = rows
            .iter()
            .map(|(width, _)| *width)
            .max()
            .unwrap_or(NARROWEST);
        let lines = self.lines.iter();
        let head: Vec<String> = lines
            .flat_map(|l| wrap(l, Style::Body, inner, LINES))
            .collect();
        let legend = self.legend_rows(inner);
        let line = Style::Body.line();
        let tall = |row: &[Canvas]| row.iter().map(Canvas::height).max().unwrap_or(0);
        let below: usize = rows.iter().map(|(_, row)| tall(row) + 2 * GAP).sum();
        let top = MARGIN + (1 + head.len() + legend.len()) * line + 2 * GAP;
        let mut canvas = Canvas::new(inner + 2 * MARGIN, top + below, PAPER);

        let mut y = MARGIN;
        let title = fit(&self.title, Style::Title, inner);
        write(&mut canvas, [MARGIN, y], &title, Style::Title, INK);
        y += line;
        for text in &head {
            write(&mut canvas, [MARGIN, y], text, Style::Body, PALE);
            y += line;
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
        y = top;
        for (_, row) in &rows {
            let mut x = MARGIN;
            for band in row {
                canvas.paste(band, [x, y]);
                x += band.width() + BETWEEN;
            }
            y += tall(row) + 2 * GAP;
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

    fn band(pictures: Vec<Canvas>) -> Band {
        Band {
            title: "stages[0].window".to_owned(),
            lines: vec!["range: [0, 1]".to_owned()],
            warnings: Vec::new(),
            pictures,
        }
    }

    #[test]
    fn bands_lie_beside_and_below_each_other_and_nothing_is_cut_off() {
        let picture = |width, height, red| Canvas::new(width, height, [red, 0, 0]);
        let page = Page {
            title: "a page".to_owned(),
            lines: Vec::new(),
            legend: vec![("organ".to_owned(), [0, 200, 0])],
            bands: vec![
                band(vec![picture(400, 50, 201), picture(400, 80, 202)]),
                band(vec![picture(834, 20, 203)]),
                band(vec![picture(100, 30, 204)]),
            ],
        };
        let canvas = page.draw();
        let count = |colour| {
            let all = canvas.bytes().chunks_exact(3);
            all.filter(|p| *p == colour).count()
        };
        let areas = [201, 202, 203, 204].map(|red| count([red, 0, 0]));
        assert_eq!(areas, [400 * 50, 400 * 80, 834 * 20, 100 * 30]);
        assert_eq!(count([0, 200, 0]), 81);
        // 808 + 18 + 834 pixels are the most that stand in one row.
        assert_eq!(canvas.width(), WIDEST + 28);
        // 14 + 2 lines + 16 above; 38 of text over 80, and over 30; 16 below each.
        assert_eq!(canvas.height(), 60 + (38 + 80 + 16) + (38 + 30 + 16));
    }

    #[test]
    fn a_band_of_text_has_a_width_of_its_own() {
        let canvas = band(Vec::new()).draw();
        assert_eq!((canvas.width(), canvas.height()), (NARROWEST, 38));
    }
}
