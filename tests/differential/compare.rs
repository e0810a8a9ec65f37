//! Rows against rows.

use voxstream::volume::{Channel, Role, Row, Volume};

/// How close images are to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Within {
    /// Every bit, and the value that stands for what lies outside.
    Bits,
    /// As `Bits`, behind a step that resamples and changed nothing: it may have read between equal voxels,
    /// which rounds, so an f32 voxel with an equal neighbour may differ by [`ROUNDING`].
    Unchanged,
    /// The first much of each image's range, or of its largest value where that is more, as f32 rounds by that;
    /// and the second, by which steps round whatever they leave.
    Share(f64, f64),
    /// Grids, types and classes alone: several interpolations became one.
    Kinds,
}

/// Share of an image's range by which reading between equal voxels may differ from them.
const ROUNDING: f64 = 2.5e-7;

/// The values as f64.
pub(crate) fn values(volume: &Volume) -> Vec<f64> {
    volume.to_f32().iter().map(|v| f64::from(*v)).collect()
}

/// Range of the finite values, and the largest of their magnitudes.
pub(crate) fn extent(values: &[f64]) -> f64 {
    let finite = values.iter().filter(|v| v.is_finite());
    let [low, high] = finite.fold([f64::MAX, f64::MIN], |[l, h], v| [l.min(*v), h.max(*v)]);
    match low <= high {
        true => (high - low).max(low.abs()).max(high.abs()),
        false => 0.0,
    }
}

/// The first voxel that differs by more than `most`, with both values.
pub(crate) fn first_difference(a: &[f64], b: &[f64], most: f64) -> Option<(usize, f64, f64)> {
    let differs = |x: f64, y: f64| match (x.is_finite(), y.is_finite()) {
        (true, true) => (x - y).abs() > most,
        // Infinities of one sign, or both no number.
        _ => !(x == y || x.is_nan() && y.is_nan()),
    };
    let found = a.iter().zip(b).position(|(x, y)| differs(*x, *y))?;
    Some((found, a[found], b[found]))
}

/// Returns `true` if f32 images differ by [`ROUNDING`] alone, and only in voxels that equal a neighbour in `b`.
fn differs_by_rounding(a: &Volume, b: &Volume) -> bool {
    let (Some(found), Some(wanted)) = (a.as_slice::<f32>(), b.as_slice::<f32>()) else {
        return false;
    };
    let [nx, ny, nz] = b.grid().shape_xyz();
    let most = ROUNDING * extent(&values(b));
    (0..wanted.len()).all(|i| {
        let at = [i % nx, i / nx % ny, i / nx / ny];
        let neighbours = [(0, nx, 1), (1, ny, nx), (2, nz, nx * ny)];
        let has_equal = |(axis, length, step): (usize, usize, usize)| {
            at[axis] > 0 && wanted[i - step] == wanted[i]
                || at[axis] + 1 < length && wanted[i + step] == wanted[i]
        };
        let distance = (f64::from(found[i]) - f64::from(wanted[i])).abs();
        found[i].to_bits() == wanted[i].to_bits()
            || distance <= most && neighbours.into_iter().any(has_equal)
    })
}

fn volume(name: &str, role: Role, a: &Volume, b: &Volume, within: Within) -> Result<(), String> {
    let kind = |v: &Volume| format!("{} {:?} {:?}", v.dtype(), v.scaling(), v.grid());
    if kind(a) != kind(b) {
        return Err(format!("{role:?} `{name}`: {} / {}", kind(a), kind(b)));
    }
    let told = |(i, x, y): (usize, f64, f64), most: f64| {
        let [nx, ny, _] = a.grid().shape_xyz();
        let at = [i % nx, i / nx % ny, i / nx / ny];
        Err(format!(
            "{role:?} `{name}` ({}, {:?} voxels) at {at:?}: {x} / {y}, allowed {most:e}",
            a.dtype(),
            a.grid().shape_xyz(),
        ))
    };
    match (within, role) {
        (Within::Bits | Within::Unchanged, _) => {
            let rounds = matches!((within, role), (Within::Unchanged, Role::Image));
            if a.buffer() != b.buffer() && !(rounds && differs_by_rounding(a, b)) {
                let found = first_difference(&values(a), &values(b), 0.0);
                return told(found.unwrap_or((0, f64::NAN, f64::NAN)), 0.0);
            }
            if role == Role::Image && a.lowest_bits() != b.lowest_bits() {
                return Err(format!(
                    "`{name}`: outside stands {:x} / {:x}",
                    a.lowest_bits(),
                    b.lowest_bits()
                ));
            }
            Ok(())
        }
        (Within::Share(..), Role::Label) => match a.buffer() == b.buffer() {
            true => Ok(()),
            false => {
                let found = first_difference(&values(a), &values(b), 0.0);
                told(found.unwrap_or((0, f64::NAN, f64::NAN)), 0.0)
            }
        },
        (Within::Share(share, rounding), Role::Image) => {
            let (a, b) = (values(a), values(b));
            let most = share * extent(&b) + rounding + 1e-30;
            first_difference(&a, &b, most).map_or(Ok(()), |found| told(found, most))
        }
        (Within::Kinds, _) => Ok(()),
    }
}

fn channels(role: Role, a: &[Channel], b: &[Channel], within: Within) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("{} / {} {role:?} channels", a.len(), b.len()));
    }
    for (a, b) in a.iter().zip(b) {
        match (&a.volume, &b.volume) {
            _ if a.name != b.name => return Err(format!("`{}` / `{}`", a.name, b.name)),
            (Some(one), Some(other)) => volume(&a.name, role, one, other, within)?,
            (None, None) => {}
            (one, _) => {
                return Err(format!("`{}`: present {}", a.name, one.is_some()));
            }
        }
    }
    Ok(())
}

/// Says how rows differ.
pub(crate) fn rows(a: &[Row], b: &[Row], within: Within) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("{} / {} rows", a.len(), b.len()));
    }
    for (a, b) in a.iter().zip(b) {
        let facts = |r: &Row| format!("{} {} {} {:?}", r.subject, r.sample, r.view, r.history);
        if facts(a) != facts(b) {
            return Err(format!("{} / {}", facts(a), facts(b)));
        }
        if a.draws != b.draws && !matches!(within, Within::Kinds) {
            return Err(format!("draws {:?} / {:?}", a.draws, b.draws));
        }
        if a.quality != b.quality && matches!(within, Within::Bits | Within::Unchanged) {
            return Err(format!("quality {:?} / {:?}", a.quality, b.quality));
        }
        channels(Role::Image, &a.images, &b.images, within)?;
        channels(Role::Label, &a.labels, &b.labels, within)?;
    }
    Ok(())
}
