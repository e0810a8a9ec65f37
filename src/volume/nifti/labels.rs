//! Label maps: whole numbers from 0, however they are stored.

use super::format;
use crate::volume::{Dtype, Grid, Scaling, Volume, VolumeError, Voxel};
use crate::with_voxel_type;
use arrow::buffer::Buffer;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest class number.
const MOST: f64 = u16::MAX as f64;

/// How far a value without a scaling may be from a whole number: what float tools leave of one.
const ROUNDING: f64 = 1e-3;

/// Relative error of a value whose slope is stored as f32.
const SLOPE_ERROR: f64 = 2.0 * f32::EPSILON as f64;

/// Value of unannotated voxels.
pub const IGNORED: u16 = 255;

/// Which class numbers the values of a label file mean.
///
/// **Law** A value, after the slope, is looked up in `map`, once; what comes of it is ignored if `ignore`
/// contains it, or if the map made it [`IGNORED`]. A value that `map` does not name stays, unless the map
/// turns another value into it: then two structures would become one class unseen, and the file is refused.
/// 0 is background in every label map, so values may be turned into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelValues {
    /// Class number of each stored value that is not its own class number.
    pub map: BTreeMap<i64, i64>,
    /// Values of unannotated voxels.
    pub ignore: Vec<i64>,
}

impl LabelValues {
    /// Returns `true` if 255 marks unannotated voxels, so that it is no class.
    pub fn marks(&self) -> bool {
        !self.ignore.is_empty() || self.map.values().any(|to| *to == i64::from(IGNORED))
    }

    /// Returns `true` if a map may need u16 although its file stores u8.
    pub fn widens(&self) -> bool {
        let wide = |to: &i64| *to > i64::from(u8::MAX) && !self.ignore.contains(to);
        self.map.values().any(wide)
    }

    /// The first value that the map turns into this one, if the map itself does not name it: the class of
    /// such a value is ambiguous.
    fn taken_by(&self, value: i64) -> Option<i64> {
        if value == 0 || self.map.contains_key(&value) {
            return None;
        }
        let mut entries = self.map.iter();
        entries.find(|(_, to)| **to == value).map(|(from, _)| *from)
    }

    /// Adds the values to a digest of what is read; nothing if no value is mapped or ignored.
    pub fn update_digest(&self, hasher: &mut blake3::Hasher) {
        for value in &self.ignore {
            hasher.update(&value.to_le_bytes());
        }
        if !self.map.is_empty() {
            hasher.update(b"label map");
            hasher.update(&(self.map.len() as u64).to_le_bytes());
        }
        for (from, to) in &self.map {
            hasher.update(&from.to_le_bytes());
            hasher.update(&to.to_le_bytes());
        }
    }
}

/// How the numbers of a file become class numbers.
struct Rules<'a> {
    scaling: Scaling,
    values: &'a LabelValues,
}

/// Why a value is no class number.
enum Offence {
    NotWhole,
    Negative,
    TooLarge,
    /// 255 is a class here, but marks the voxels that are ignored.
    Taken,
    /// The map turns this other value into the value, and does not name the value itself.
    Ambiguous(i64),
}

impl Rules<'_> {
    fn value(&self, stored: f64) -> f64 {
        match self.scaling == Scaling::NONE {
            true => stored,
            false => self.scaling.slope * stored + self.scaling.intercept,
        }
    }

    /// How far a value may be from the whole number it means.
    ///
    /// **Law** 1e-3; with a slope below 1 half a slope, as a writer that spreads class numbers over all
    /// stored numbers rounds to the nearest; and the rounding of the slope itself. A slope of 1 or
    /// more leaves no number between classes, so nothing was rounded.
    fn tolerance(&self, value: f64) -> f64 {
        let slope = self.scaling.slope.abs();
        let half = if slope < 1.0 { slope / 2.0 } else { 0.0 };
        match self.scaling == Scaling::NONE {
            true => ROUNDING,
            false => ROUNDING.max(half) + value.abs() * SLOPE_ERROR,
        }
    }

    fn class_of(&self, stored: f64) -> Result<u16, Offence> {
        let value = self.value(stored);
        let class = value.round();
        // False for NaN, too.
        let is_whole = (value - class).abs() <= self.tolerance(value);
        if !is_whole {
            return Err(Offence::NotWhole);
        }
        // Numbers beyond i64 saturate; nobody maps or ignores those.
        let whole = class as i64;
        let mapped = self.values.map.get(&whole).copied();
        let whole = mapped.unwrap_or(whole);
        if self.values.ignore.contains(&whole) {
            return Ok(IGNORED);
        }
        let taken = mapped.is_none() && whole == i64::from(IGNORED) && self.values.marks();
        if let (None, false, Some(from)) = (mapped, taken, self.values.taken_by(whole)) {
            return Err(Offence::Ambiguous(from));
        }
        match u16::try_from(whole) {
            Ok(_) if taken => Err(Offence::Taken),
            Ok(class) => Ok(class),
            Err(_) if whole < 0 => Err(Offence::Negative),
            Err(_) => Err(Offence::TooLarge),
        }
    }
}

/// The same map as u8 or u16 without scaling, its values replaced as `values` says.
///
/// **Errors** `Format` with the first value that is no class number, and its voxel.
pub(super) fn from_volume(
    path: &Path,
    volume: Volume,
    values: &LabelValues,
) -> Result<Volume, VolumeError> {
    let stays = values.map.is_empty() && values.ignore.iter().all(|v| *v == i64::from(IGNORED));
    if volume.dtype() == Dtype::U8 && volume.scaling() == Scaling::NONE && stays {
        return Ok(volume);
    }
    let grid = *volume.grid();
    let rules = Rules {
        scaling: volume.scaling(),
        values,
    };
    let classes = with_voxel_type!(volume.dtype(), T => {
        let stored: &[T] = bytemuck::cast_slice(volume.buffer().as_slice());
        classes(stored, &rules).map_err(|(at, stored, offence)| {
            refusal(path, &grid, &rules, at, stored, &offence)
        })?
    });
    let narrow: Option<Vec<u8>> = classes.iter().map(|c| u8::try_from(*c).ok()).collect();
    let (voxels, dtype) = match narrow {
        Some(narrow) => (Buffer::from_vec(narrow), Dtype::U8),
        None => (Buffer::from_vec(classes), Dtype::U16),
    };
    Volume::try_new(voxels, dtype, Scaling::NONE, grid)
}

/// Class numbers, or the first stored number that is none with its position.
fn classes<T: Voxel>(stored: &[T], rules: &Rules<'_>) -> Result<Vec<u16>, (usize, f64, Offence)> {
    // Neighbours are mostly of one class. NaN equals nothing, so that it is never taken for known.
    let mut known = (f64::NAN, 0);
    let class = |(at, v): (usize, &T)| {
        let stored = v.to_f64();
        if stored != known.0 {
            let class = rules.class_of(stored);
            known = (stored, class.map_err(|offence| (at, stored, offence))?);
        }
        Ok(known.1)
    };
    stored.iter().enumerate().map(class).collect()
}

fn refusal(
    path: &Path,
    grid: &Grid,
    rules: &Rules<'_>,
    at: usize,
    stored: f64,
    offence: &Offence,
) -> VolumeError {
    let [nx, ny, _] = grid.shape_xyz();
    let (x, y, z) = (at % nx, at / nx % ny, at / (nx * ny));
    let Scaling { slope, intercept } = rules.scaling;
    let (value, scaled) = (rules.value(stored), rules.scaling != Scaling::NONE);
    let origin = match scaled {
        true => format!(" (stored {stored}, scl_slope {slope}, scl_inter {intercept})"),
        false => String::new(),
    };
    let advice = match offence {
        Offence::NotWhole if scaled => format!(
            "a value within {} of one would be read as it; is the file an image, was it resampled with interpolation, or is scl_slope wrong?",
            rules.tolerance(value)
        ),
        Offence::NotWhole => {
            "is the file an image, or was it resampled with interpolation?".to_owned()
        }
        Offence::TooLarge => format!(
            "is the file an image? If the value is a class, write `labels: {{ map: {{ {}: CLASS }} }}` in `source`",
            value.round()
        ),
        Offence::Negative => format!(
            "if nobody annotated such voxels, write `labels: {{ ignore: {0} }}` in `source`; if they are of a class, `labels: {{ map: {{ {0}: CLASS }} }}`",
            value.round()
        ),
        Offence::Taken => format!(
            "{IGNORED} marks the voxels that `source.labels` ignores; add {IGNORED} to `ignore`, or give the class another number with `map`"
        ),
        Offence::Ambiguous(_) => {
            let whole = value.round();
            format!(
                "write `{whole}: {whole}` into the map to join them on purpose, or `{whole}: CLASS` to keep them apart"
            )
        }
    };
    let expected = match offence {
        Offence::Ambiguous(from) => format!(
            "which `source.labels.map` does not name, but it turns {from} into {}",
            value.round()
        ),
        _ => format!("but a label map holds whole numbers from 0 to {MOST}"),
    };
    format(
        path,
        "voxels",
        format!("the value at voxel x {x}, y {y}, z {z} is {value}{origin}, {expected}; {advice}"),
    )
}
