//! `voxstream inspect`: what a volume file holds, before it enters a pipeline.

use crate::volume::nifti::{self, ByteOrder, Header, Layout, Version};
use crate::volume::{Scaling, Volume, VolumeError, Voxel as _};
use crate::with_voxel_type;
use std::error::Error as _;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

mod data_set;

pub use data_set::{data_sets, is_data_set};

/// Volumes of a 4-D file that are shown; modalities fit, a time series is summed up.
const SHOWN: usize = 4;

/// Bins of the histogram.
const BINS: usize = 32;

/// Describes each file on `out`; a file that cannot be read is named with its reason and the rest
/// goes on.
///
/// Values are those after scaling. The histogram has 32 bins between the 1st and the 99th
/// percentile; a bar's height grows with the root of its count, so that a large background leaves
/// the rest visible.
///
/// **Returns** how many files failed. **Errors** only when `out` cannot be written.
pub fn inspect(paths: &[PathBuf], out: &mut dyn Write) -> Result<usize> {
    let mut failed = 0;
    for (i, path) in paths.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", path.display())?;
        match file(path) {
            Ok(text) => out.write_all(text.as_bytes())?,
            Err(error) => {
                failed += 1;
                line(out, "error", &chain(&error))?;
            }
        }
    }
    Ok(failed)
}

fn line(out: &mut dyn Write, name: &str, text: &str) -> Result<()> {
    writeln!(out, "  {name:<12}{text}")
}

/// An error with its causes.
fn chain(error: &VolumeError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn file(path: &Path) -> std::result::Result<String, VolumeError> {
    let header = nifti::read_header(path)?;
    let mut text = described(&header);
    for index in 0..header.volumes.min(SHOWN) {
        let volume = nifti::read(path, Some(index))?;
        if header.volumes > 1 {
            push(&mut text, "volume", &format!("{index}"));
        }
        for (name, value) in valued(&volume) {
            push(&mut text, name, &value);
        }
    }
    if header.volumes > SHOWN {
        push(
            &mut text,
            "volume",
            &format!("{} more, not read", header.volumes - SHOWN),
        );
    }
    Ok(text)
}

fn push(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("  {name:<12}{value}\n"));
}

/// Lines of the header.
fn described(header: &Header) -> String {
    let mut text = String::new();
    let version = match header.version {
        Version::Nifti1 => "NIfTI-1",
        Version::Nifti2 => "NIfTI-2",
    };
    let layout = match header.layout {
        Layout::Single => "single file",
        Layout::Pair => "pair of header and image",
    };
    let order = match header.byte_order {
        ByteOrder::Little => "little endian",
        ByteOrder::Big => "big endian",
    };
    let gzip = if header.gzip { ", gzip" } else { "" };
    push(
        &mut text,
        "format",
        &format!("{version}, {layout}{gzip}, {order}"),
    );

    let grid = &header.grid;
    let [x, y, z] = grid.shape_xyz();
    let volumes = match header.volumes {
        1 => String::new(),
        n => format!(", {n} volumes"),
    };
    push(
        &mut text,
        "dims",
        &format!("{x} x {y} x {z} (x, y, z){volumes}"),
    );
    let bytes = grid.voxel_count() * header.dtype.bytes();
    push(
        &mut text,
        "dtype",
        &format!("{}, {:.1} MB a volume", header.dtype, bytes as f64 / 1e6),
    );
    let scaling = if header.scaling == Scaling::NONE {
        "none".to_owned()
    } else {
        format!(
            "value = {} * stored + {}",
            header.scaling.slope, header.scaling.intercept
        )
    };
    push(&mut text, "scaling", &scaling);
    let [sx, sy, sz] = grid.spacing_mm();
    push(
        &mut text,
        "spacing",
        &format!("{} x {} x {} mm", number(sx), number(sy), number(sz)),
    );
    push(&mut text, "orientation", &grid.orientation());
    for (i, row) in grid.rows().iter().enumerate() {
        let cells: String = row.iter().map(|&v| format!("{:>12}", number(v))).collect();
        push(&mut text, if i == 0 { "affine" } else { "" }, &cells);
    }
    let used = if header.sform.is_some() {
        "the sform"
    } else if header.qform.is_some() {
        "the qform"
    } else {
        "pixel sizes about the centre: the file says nothing of left and right"
    };
    push(
        &mut text,
        "codes",
        &format!(
            "sform {}, qform {}; the affine is {used}",
            code(header.sform_code),
            code(header.qform_code)
        ),
    );
    if header.intent_code != 0 {
        let meaning = match nifti::intent(header.intent_code) {
            Some(intent) => format!("{intent:?}"),
            None => "unknown".to_owned(),
        };
        let name = match header.intent_name.as_str() {
            "" => String::new(),
            name => format!(", `{name}`"),
        };
        push(
            &mut text,
            "intent",
            &format!("{} ({meaning}){name}", header.intent_code),
        );
    }
    text
}

/// A code of sform or qform with its meaning.
fn code(code: i32) -> String {
    let name = match nifti::alignment(code) {
        Some(::nifti::XForm::Unknown) => "unset",
        Some(::nifti::XForm::ScannerAnat) => "scanner",
        Some(::nifti::XForm::AlignedAnat) => "aligned",
        Some(::nifti::XForm::Talairach) => "Talairach",
        Some(::nifti::XForm::Mni152) => "MNI 152",
        Some(::nifti::XForm::TemplateOther) => "template",
        None => "unknown",
    };
    format!("{code} ({name})")
}

/// At most six significant digits, no trailing zeros.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = 5 - value.abs().log10().floor() as i32;
    if !(0..=9).contains(&digits) {
        return format!("{value:.5e}");
    }
    let text = format!("{value:.*}", digits as usize);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Range, mean and count of the finite values, in f64: large f64 voxels are no f32.
struct Summary {
    low: f64,
    high: f64,
    mean: f64,
    finite: usize,
}

impl Summary {
    fn new(volume: &Volume) -> Self {
        let Scaling { slope, intercept } = volume.scaling();
        let (mut low, mut high, mut sum, mut finite) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0);
        with_voxel_type!(volume.dtype(), T => {
            for &stored in volume.as_slice::<T>().unwrap_or_default() {
                let value = slope * stored.to_f64() + intercept;
                if value.is_finite() {
                    low = low.min(value);
                    high = high.max(value);
                    sum += value;
                    finite += 1;
                }
            }
        });
        Self {
            low,
            high,
            mean: sum / finite as f64,
            finite,
        }
    }
}

/// Lines of the values.
fn valued(volume: &Volume) -> Vec<(&'static str, String)> {
    let Summary {
        low,
        high,
        mean,
        finite,
    } = Summary::new(volume);
    let voxels = volume.grid().voxel_count();
    let lost = voxels - finite;
    let mut lines = Vec::new();
    if finite == 0 {
        lines.push(("values", "none is finite".to_owned()));
        return lines;
    }
    lines.push((
        "values",
        format!("{} to {}, mean {}", number(low), number(high), number(mean)),
    ));
    lines.push((
        "not finite",
        if lost == 0 {
            "none".to_owned()
        } else {
            format!("{lost} of {voxels} voxels")
        },
    ));
    lines.push(("histogram", histogram(&volume.to_f32(), low)));
    lines
}

/// The histogram's line; only `low` is shown if there is no other value.
fn histogram(values: &[f32], low: f64) -> String {
    let mut finite: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if finite.is_empty() {
        return "no value fits 32-bit floats".to_owned();
    }
    let (first, last) = (percentile(&mut finite, 0.01), percentile(&mut finite, 0.99));
    // Sparse label maps have both percentiles at the background.
    let (names, first, last) = if first < last {
        (["p1", "p99"], first, last)
    } else {
        let least = finite.iter().copied().fold(f32::INFINITY, f32::min);
        let most = finite.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        (["min", "max"], least, most)
    };
    if first == last {
        return format!("every voxel is {}", number(low));
    }
    format!(
        "{} {} |{}| {} {}",
        names[0],
        number(first.into()),
        bars(&finite, first, last),
        number(last.into()),
        names[1]
    )
}

/// The value of rank `share * (n - 1)`, rounded to a voxel; reorders the values.
fn percentile(values: &mut [f32], share: f64) -> f32 {
    let rank = (share * (values.len() - 1) as f64).round() as usize;
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// One block a bin; an empty bin is a space.
fn bars(values: &[f32], first: f32, last: f32) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut counts = [0u64; BINS];
    let scale = BINS as f64 / (f64::from(last) - f64::from(first));
    for &v in values.iter().filter(|v| (first..=last).contains(*v)) {
        let bin = ((f64::from(v) - f64::from(first)) * scale) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    counts
        .iter()
        .map(|&n| BLOCKS[((n as f64 / most).sqrt() * 8.0).ceil() as usize])
        .collect()
}

#[cfg(test)]
mod tests;
