//! Figures of a data set in words, and the middle of many.

/// The middle of values in order, halfway between two; NaN for none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50.0)
}

/// A percentile as NumPy's default: mixed linearly between two values. NaN for none.
pub(super) fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = percent / 100.0 * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    values[below] + (values[above] - values[below]) * (position - below as f64)
}

/// A number with as many digits as it needs: `1`, `0.94`, `1.44`.
pub(super) fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Three numbers as text: `1 x 1 x 3`.
pub(super) fn by_axis(values: [f64; 3]) -> String {
    values.map(short).join(" x ")
}
