//! Line charts as inline SVG; colours come from the page, so that both themes work.

use std::fmt::Write as _;

/// Width of a chart in SVG units; the page scales it.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;
/// More points than this are averaged into as many buckets.
const MOST_POINTS: usize = 240;
/// Up to this many points each is marked, with its numbers on hover.
const MARKED_POINTS: usize = 40;
/// Colours of the page's palette; later series repeat them with dashes.
const COLOURS: usize = 7;

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Name in the legend.
    pub(super) name: String,
    /// Points in ascending x; values that are not finite break the line.
    pub(super) points: Vec<(f64, f64)>,
}

/// One chart.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// Name of the x axis.
    pub(super) x_name: &'static str,
    /// Name of the y axis.
    pub(super) y_name: String,
    /// Lines in the legend's order.
    pub(super) series: Vec<Series>,
    /// Limits of the y axis, where the values have natural ones (0 to 1 for Dice).
    pub(super) y_limits: Option<(f64, f64)>,
}

impl Chart {
    /// The chart with axes, ticks and legend as an `<svg>` and an HTML list.
    ///
    /// A chart without a finite point is an empty string.
    pub(super) fn render(&self) -> String {
        let finite = || {
            let points = self.series.iter().flat_map(|s| s.points.iter());
            points.filter(|(x, y)| x.is_finite() && y.is_finite())
        };
        if finite().next().is_none() {
            return String::new();
        }
        let (x_low, x_high) = span(finite().map(|p| p.0));
        let (y_low, y_high) = span(finite().map(|p| p.1));
        let x_ticks = ticks(x_low, x_high, 6);
        // Lines may end between ticks along x; along y the outermost ticks frame them.
        let (y_low, y_high) = self.y_limits.unwrap_or_else(|| framed(y_low, y_high, 5));
        let y_ticks = ticks(y_low, y_high, 5);
        let place = |(x, y): (f64, f64)| {
            let across = (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT);
            let up = (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM);
            (LEFT + across, HEIGHT - BOTTOM - up)
        };
        let mut out = format!(
            r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escape(&format!("{} over {}", self.y_name, self.x_name))
        );
        self.axes(&mut out, &x_ticks, &y_ticks, place);
        for (i, series) in self.series.iter().enumerate() {
            line(&mut out, i, series, place);
        }
        out.push_str("</svg>");
        self.legend(&mut out);
        out
    }

    fn axes(
        &self,
        out: &mut String,
        x_ticks: &[f64],
        y_ticks: &[f64],
        place: impl Fn((f64, f64)) -> (f64, f64),
    ) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let (x_step, y_step) = (step(x_ticks), step(y_ticks));
        for &tick in y_ticks {
            let (_, y) = place((0.0, tick));
            write(
                out,
                format_args!(
                    r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                    LEFT - 7.0,
                    y + 3.8,
                    number(tick, y_step)
                ),
            );
        }
        for &tick in x_ticks {
            let (x, _) = place((tick, 0.0));
            write(
                out,
                format_args!(
                    r#"<line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{}"/><text class="tick" x="{x:.1}" y="{}" text-anchor="middle">{}</text>"#,
                    bottom + 4.0,
                    bottom + 16.0,
                    number(tick, x_step)
                ),
            );
        }
        write(
            out,
            format_args!(
                r#"<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/><text class="name" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text><text class="name" transform="translate(12 {:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
                (LEFT + right) / 2.0,
                HEIGHT - 6.0,
                escape(self.x_name),
                (TOP + bottom) / 2.0,
                escape(&self.y_name)
            ),
        );
    }

    fn legend(&self, out: &mut String) {
        if self.series.len() < 2 {
            return;
        }
        out.push_str(r#"<ul class="legend">"#);
        for (i, series) in self.series.iter().enumerate() {
            write(
                out,
                format_args!(
                    r#"<li><svg width="22" height="10"><line class="{}" x1="1" x2="21" y1="5" y2="5"/></svg>{}</li>"#,
                    style(i),
                    escape(&series.name)
                ),
            );
        }
        out.push_str("</ul>");
    }
}

fn line(out: &mut String, i: usize, series: &Series, place: impl Fn((f64, f64)) -> (f64, f64)) {
    let points = thin(&series.points);
    for stretch in points.split(|p| !p.1.is_finite()) {
        let placed: Vec<String> = stretch
            .iter()
            .map(|&p| place(p))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        if placed.len() > 1 {
            let points = placed.join(" ");
            write(
                out,
                format_args!(r#"<polyline class="{}" points="{points}"/>"#, style(i)),
            );
        }
    }
    if points.len() <= MARKED_POINTS {
        for &point in points.iter().filter(|p| p.1.is_finite()) {
            let (x, y) = place(point);
            write(
                out,
                format_args!(
                    r#"<circle class="{}" cx="{x:.1}" cy="{y:.1}" r="2.6"><title>{}: {} at {}</title></circle>"#,
                    style(i),
                    escape(&series.name),
                    significant(point.1),
                    point.0
                ),
            );
        }
    }
}

/// Colour and dash of a series; a colour is never the only difference once they repeat.
fn style(i: usize) -> String {
    format!("c{} d{}", i % COLOURS, (i / COLOURS) % 3)
}

fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes every text");
}

/// Averages long series into [`MOST_POINTS`] buckets of equal length.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let bucket = points.len().div_ceil(MOST_POINTS);
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        let sum = part.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
        (sum.0 / n, sum.1 / n)
    };
    points.chunks(bucket).map(mean).collect()
}

/// Smallest and largest value, widened where they are one.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    if high > low {
        return (low, high);
    }
    let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
    (low - margin, high + margin)
}

/// Round numbers within the limits, about `count` of them; a limit that is one counts.
fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let step = round_step(low, high, count);
    let (first, last) = (
        (low / step - 0.01).ceil() as i64,
        (high / step + 0.01).floor() as i64,
    );
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Limits moved outwards to round numbers.
fn framed(low: f64, high: f64, count: usize) -> (f64, f64) {
    let step = round_step(low, high, count);
    (
        (low / step + 0.01).floor() * step,
        (high / step - 0.01).ceil() * step,
    )
}

/// The smallest step of 1, 2 or 5 times a power of ten that makes at most `count` of a span.
fn round_step(low: f64, high: f64, count: usize) -> f64 {
    let raw = (high - low) / count as f64;
    let magnitude = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * magnitude)
        .into_iter()
        .find(|s| *s >= raw * 0.999)
        .unwrap_or(raw)
}

fn step(ticks: &[f64]) -> f64 {
    match ticks {
        [a, b, ..] => b - a,
        _ => 1.0,
    }
}

/// A tick with as many decimals as its step needs.
fn number(value: f64, step: f64) -> String {
    let decimals = (-step.abs().log10().floor()).max(0.0);
    // The multiples of a step are not exact: 3 * 0.2 is not 0.6.
    let value = (value / step).round() * step;
    if value == 0.0 {
        "0".to_owned()
    } else if decimals > 3.0 {
        trim_exponent(&format!("{value:.1e}"))
    } else if value.abs() >= 10_000.0 {
        format!("{}k", significant(value / 1000.0))
    } else {
        format!("{value:.precision$}", precision = decimals as usize)
    }
}

fn trim_exponent(text: &str) -> String {
    text.replace(".0e", "e")
}

/// Four significant digits.
pub(super) fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let exponent = value.abs().log10().floor();
    if !(-4.0..7.0).contains(&exponent) {
        return trim_exponent(&format!("{value:.2e}"));
    }
    let decimals = (3.0 - exponent).clamp(0.0, 7.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
