//! Pictures in a terminal: kitty's, iTerm2's and the sixel protocol.

use super::canvas::{Canvas, Rgb};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{Error, Result, Write};

/// Bytes of base64 in one of kitty's commands.
const KITTY_CHUNK: usize = 4096;

/// How a terminal takes pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// kitty's graphics protocol; Ghostty knows it too.
    Kitty,
    /// iTerm2's inline images; WezTerm, Konsole and VS Code's terminal know them too.
    Iterm,
    /// DEC's sixels, as foot, mlterm, contour and Windows Terminal draw them.
    Sixel,
}

/// The protocol that a terminal understands by its environment; `None` where it is not known to
/// understand any. Multiplexers (tmux, screen) swallow pictures.
pub fn protocol(variable: impl Fn(&str) -> Option<String>) -> Option<Protocol> {
    let is = |name: &str, values: &[&str]| {
        let value = variable(name).unwrap_or_default().to_lowercase();
        values.iter().any(|v| value == *v)
    };
    let term = variable("TERM").unwrap_or_default().to_lowercase();
    if variable("TMUX").is_some() || term.starts_with("screen") || term.starts_with("tmux") {
        return None;
    }
    if variable("KITTY_WINDOW_ID").is_some() || is("TERM", &["xterm-kitty", "xterm-ghostty"]) {
        return Some(Protocol::Kitty);
    }
    let iterm = ["iterm.app", "wezterm", "vscode"];
    if is("TERM_PROGRAM", &iterm)
        || is("LC_TERMINAL", &["iterm2"])
        || variable("KONSOLE_VERSION").is_some()
    {
        return Some(Protocol::Iterm);
    }
    let sixel = ["foot", "mlterm", "contour", "yaft-256color"];
    let draws = term.contains("sixel") || sixel.iter().any(|t| term.starts_with(t));
    (draws || variable("WT_SESSION").is_some()).then_some(Protocol::Sixel)
}

/// Writes a picture for a terminal, and a line's end.
///
/// **Errors** those of `out`.
pub fn show(canvas: &Canvas, protocol: Protocol, out: &mut dyn Write) -> Result<()> {
    let mut png = Vec::new();
    if protocol != Protocol::Sixel {
        canvas.write_png(&mut png).map_err(Error::other)?;
    }
    match protocol {
        Protocol::Kitty => {
            let text = STANDARD.encode(&png);
            let mut chunks = text.as_bytes().chunks(KITTY_CHUNK).peekable();
            let mut head = "a=T,f=100,";
            while let Some(chunk) = chunks.next() {
                let more = u8::from(chunks.peek().is_some());
                write!(out, "\x1b_G{head}m={more};")?;
                out.write_all(chunk)?;
                write!(out, "\x1b\\")?;
                head = "";
            }
            writeln!(out)
        }
        Protocol::Iterm => {
            let (bytes, text) = (png.len(), STANDARD.encode(&png));
            writeln!(out, "\x1b]1337;File=inline=1;size={bytes}:{text}\x07")
        }
        Protocol::Sixel => sixel(canvas, out),
    }
}

/// Register of a colour: 32 greys, then 6 steps of red, green and blue each.
fn register([red, green, blue]: Rgb) -> u8 {
    let spread = red.max(green).max(blue) - red.min(green).min(blue);
    if spread < 12 {
        return green / 8;
    }
    let step = |c: u8| (u16::from(c) * 5 + 127) / 255;
    (32 + step(red) * 36 + step(green) * 6 + step(blue)) as u8
}

/// The colour of a register in per cent, as sixels have it.
fn percent(register: u8) -> [u16; 3] {
    let register = u16::from(register);
    if register < 32 {
        return [(register * 100 + 15) / 31; 3];
    }
    let cube = register - 32;
    [cube / 36, cube / 6 % 6, cube % 6].map(|step| step * 20)
}

fn sixel(canvas: &Canvas, out: &mut dyn Write) -> Result<()> {
    let (width, height) = (canvas.width(), canvas.height());
    let registers: Vec<u8> = canvas
        .bytes()
        .chunks_exact(3)
        .map(|c| register([c[0], c[1], c[2]]))
        .collect();
    write!(out, "\x1bPq\"1;1;{width};{height}")?;
    for register in 0..=247 {
        let [red, green, blue] = percent(register);
        write!(out, "#{register};2;{red};{green};{blue}")?;
    }
    for top in (0..height).step_by(6) {
        let band = &registers[top * width..(top + 6).min(height) * width];
        let mut used: Vec<u8> = band.to_vec();
        used.sort_unstable();
        used.dedup();
        for register in used {
            write!(out, "#{register}")?;
            let six = |x: usize| -> u8 {
                let rows = band.chunks_exact(width).enumerate();
                rows.filter(|(_, row)| row[x] == register)
                    .fold(0, |bits, (y, _)| bits | 1 << y)
            };
            let (mut run, mut last) = (0, six(0));
            for x in 0..=width {
                let next = (x < width).then(|| six(x));
                if next == Some(last) {
                    run += 1;
                    continue;
                }
                write!(out, "!{run}{}", char::from(63 + last))?;
                (run, last) = (1, next.unwrap_or(0));
            }
            write!(out, "$")?;
        }
        write!(out, "-")?;
    }
    writeln!(out, "\x1b\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Option<Protocol> {
        protocol(|name| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn terminals_are_known_by_their_environment() {
        assert_eq!(with(&[("TERM", "xterm-kitty")]), Some(Protocol::Kitty));
        assert_eq!(
            with(&[("TERM_PROGRAM", "iTerm.app")]),
            Some(Protocol::Iterm)
        );
        assert_eq!(with(&[("TERM", "foot-extra")]), Some(Protocol::Sixel));
        assert_eq!(with(&[("TERM", "xterm-256color")]), None);
        assert_eq!(with(&[("TERM", "dumb")]), None);
        let inside_tmux = [("KITTY_WINDOW_ID", "1"), ("TMUX", "/tmp/tmux")];
        assert_eq!(with(&inside_tmux), None);
    }

    #[test]
    fn kitty_gets_the_png_in_chunks() {
        let mut canvas = Canvas::new(80, 80, [0, 0, 0]);
        for i in 0..6400usize {
            // Noise, which compresses badly: products alone are ramps to a PNG's filters.
            let product = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mixed = (product ^ (product >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let [red, green, blue, ..] = mixed.to_be_bytes();
            canvas.set(i % 80, i / 80, [red, green, blue]);
        }
        let mut out = Vec::new();
        show(&canvas, Protocol::Kitty, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let chunks: Vec<&str> = text.trim_end().split_terminator("\x1b\\").collect();
        assert!(chunks.len() > 1);
        let data = |chunk: &str| chunk.split_once(';').unwrap().1.to_owned();
        let png = STANDARD
            .decode(chunks.iter().map(|c| data(c)).collect::<String>())
            .unwrap();
        let mut expected = Vec::new();
        canvas.write_png(&mut expected).unwrap();
        assert_eq!(png, expected);
        let all_but_last = &chunks[..chunks.len() - 1];
        assert!(all_but_last.iter().all(|c| c.contains("m=1;")));
        assert!(chunks.last().unwrap().starts_with("\x1b_Gm=0;"));
    }

    #[test]
    fn sixels_are_columns_of_six() {
        let mut canvas = Canvas::new(3, 7, [0, 0, 0]);
        canvas.set(1, 0, [255, 255, 255]);
        let mut out = Vec::new();
        show(&canvas, Protocol::Sixel, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        // Black everywhere but the second column's first pixel; the seventh row is a band of its own.
        let expected = "#0!1~!1}!1~$#31!1?!1@!1?$-#0!3@$-\x1b\\\n";
        assert!(text.ends_with(expected), "{text:?}");
        assert!(text.starts_with("\x1bPq\"1;1;3;7#0;2;0;0;0"));
        assert!(text.contains("#31;2;100;100;100#32;"));
        assert_eq!(register([255, 0, 0]), 32 + 5 * 36);
        assert_eq!(percent(32 + 5 * 36), [100, 0, 0]);
    }
}
