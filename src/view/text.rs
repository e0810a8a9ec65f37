//! Text in pictures, and numbers and drawn values as short text.

use super::canvas::{Canvas, Rgb};
use embedded_graphics::Drawable as _;
use embedded_graphics::geometry::Point;
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X12, FONT_7X13, FONT_7X13_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::text::{Baseline, Text};
use serde_json::Value;

/// Longest list whose numbers are written out.
const WRITTEN_OUT: usize = 6;

/// A size of letters; every letter of a size is as wide as every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Headings.
    Title,
    /// Sentences.
    Body,
    /// Captions and letters in pictures.
    Small,
}

impl Style {
    fn font(self) -> &'static MonoFont<'static> {
        match self {
            Self::Title => &FONT_7X13_BOLD,
            Self::Body => &FONT_7X13,
            Self::Small => &FONT_6X12,
        }
    }

    /// Pixels of one letter, its gap to the next included.
    pub fn advance(self) -> usize {
        let font = self.font();
        (font.character_size.width + font.character_spacing) as usize
    }

    /// Pixels from one line to the next.
    pub fn line(self) -> usize {
        self.font().character_size.height as usize + 2
    }

    /// Pixels that a text is wide.
    pub fn width(self, text: &str) -> usize {
        text.chars().count() * self.advance()
    }
}

/// Writes a text with its top left corner at a place. Letters that the font lacks appear as `?`.
pub fn write(canvas: &mut Canvas, [x, y]: [usize; 2], text: &str, style: Style, colour: Rgb) {
    let [red, green, blue] = colour;
    let letters = MonoTextStyle::new(style.font(), Rgb888::new(red, green, blue));
    let at = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let text = Text::with_baseline(text, Point::new(at(x), at(y)), letters, Baseline::Top);
    // The canvas takes every pixel.
    let Ok(_) = text.draw(canvas);
}

/// As [`write()`], on a dark ground so that it can be read on any picture.
pub fn write_on_picture(canvas: &mut Canvas, at: [usize; 2], text: &str, colour: Rgb) {
    let style = Style::Small;
    let ground = [style.width(text) + 2, style.line() - 2];
    canvas.fill([at[0].saturating_sub(1), at[1]], ground, [0, 0, 0]);
    write(canvas, at, text, style, colour);
}

/// The beginning of a text that fits into a width, `...` at its end where something is cut off.
pub fn fit(text: &str, style: Style, width: usize) -> String {
    let letters = width / style.advance();
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

/// Breaks a text at spaces into at most `most` lines of a width; the last one is [`fit`].
pub fn wrap(text: &str, style: Style, width: usize, most: usize) -> Vec<String> {
    let letters = (width / style.advance()).max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && lines.len() < most {
        let last = lines.len() + 1 == most;
        if rest.chars().count() <= letters || last {
            lines.push(fit(rest, style, width));
            break;
        }
        let end = rest.char_indices().nth(letters).map_or(rest.len(), |c| c.0);
        // A word longer than a line is cut.
        let end = match rest[end..].starts_with(' ') {
            true => end,
            false => rest[..end].rfind(' ').unwrap_or(end),
        };
        lines.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    lines
}

/// A number with at most four significant digits.
pub fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}").replace("-0", "0");
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-4..7).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.*}", usize::try_from(3 - magnitude).unwrap_or(0));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Options or drawn values in one line, as YAML would have them: `factor: 1.31, axes: [x]`.
/// Nulls are left out, long lists counted.
pub fn options(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let set = map.iter().filter(|(_, v)| !v.is_null());
            let set: Vec<String> = set.map(|(k, v)| format!("{k}: {}", nested(v))).collect();
            set.join(", ")
        }
        other => nested(other),
    }
}

fn nested(value: &Value) -> String {
    match value {
        Value::Object(_) => format!("{{ {} }}", options(value)),
        Value::Array(items) if numbers_in(value) > WRITTEN_OUT => {
            match items.iter().all(Value::is_number) {
                true => format!("[{} numbers]", items.len()),
                false => format!("[{} lists, {} numbers]", items.len(), numbers_in(value)),
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(nested).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => text.clone(),
        // Whole numbers, such as seeds, are told to the last digit.
        Value::Number(n) if n.is_f64() => n.as_f64().map_or_else(|| n.to_string(), number),
        other => other.to_string(),
    }
}

/// How many numbers a value holds, lists in lists included.
fn numbers_in(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(numbers_in).sum(),
        Value::Number(_) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_options_are_short() {
        let shown = [0.0, -1024.0, 0.123_456, 1.5, 2_345.678, 1e-9, 123_456.0].map(number);
        let expected = ["0", "-1024", "0.1235", "1.5", "2346", "1.00e-9", "123456"];
        assert_eq!(shown, expected);
        let draw = json!({ "axes": ["x"], "factor": 1.312_34, "at": null, "seed": 12_345_678_901_u64, "moves": [[1, 2, 3], [4, 5, 6], [7, 8, 9]] });
        assert_eq!(
            options(&draw),
            "axes: [x], factor: 1.312, moves: [3 lists, 9 numbers], seed: 12345678901"
        );
    }

    #[test]
    fn lines_are_no_wider_than_they_may_be() {
        let width = 10 * Style::Small.advance();
        let lines = wrap(
            "one two three fourteenletters five six",
            Style::Small,
            width,
            3,
        );
        assert_eq!(lines, ["one two", "three", "fourtee..."]);
        assert_eq!(
            wrap("abcdefghijkl mn", Style::Small, width, 2),
            ["abcdefghij", "kl mn"]
        );
        assert_eq!(
            wrap("exactly te n", Style::Small, width, 2),
            ["exactly te", "n"]
        );
        assert!(wrap("  ", Style::Small, width, 2).is_empty());
    }

    #[test]
    fn text_leaves_ink() {
        let mut canvas = Canvas::new(40, 14, [0, 0, 0]);
        write(&mut canvas, [1, 1], "ab", Style::Small, [255, 0, 0]);
        let inked = |from: usize, to: usize| {
            (from..to).any(|x| (0..14).any(|y| canvas.get(x, y) == Some([255, 0, 0])))
        };
        assert!(inked(1, 7) && inked(7, 13) && !inked(13, 40));
    }
}
