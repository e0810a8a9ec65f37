//! Steps carried out the slow way: in f64, one voxel at a time, each step by itself, from the words
//! of its documentation and none of its code.

use super::case::Step;
use super::compare::{extent, first_difference, values};
use super::naive::Naive;
use glam::{DAffine3, DVec3};
use serde_json::Value;
use voxstream::volume::{Grid, Role, Row};

/// Differences of this share of an image's range are rounding to f32.
const ROUNDING: f64 = 4e-6;

/// Spread of this share of the mean is rounding to f32.
const ROUNDING_SHARE: f64 = 1.0 / (1 << 22) as f64;

fn numbers<const N: usize>(value: &Value) -> Option<[Option<f64>; N]> {
    serde_json::from_value::<Vec<Option<f64>>>(value.clone())
        .ok()?
        .try_into()
        .ok()
}

/// What a step makes of one volume; `None` for steps and parameters that have no reference here.
fn made(step: &Step, row: &Row, after: &Row, name: &str, volume: &Naive) -> Option<Naive> {
    let parameters = &step.parameters;
    let named = &parameters["modalities"];
    let is_named = named
        .as_array()
        .is_none_or(|names| names.iter().any(|n| n == name));
    let is_changed = volume.role == Role::Image && is_named;
    match step.stage.as_str() {
        "orient" => Some(oriented(volume, parameters["to"].as_str().unwrap_or("RAS"))),
        "flip" => {
            let draws = &after.draws[row.draws.len()..];
            let axes = draws
                .first()
                .map_or(Value::Null, |d| d.draw["axes"].clone());
            let has = |axis: &str| {
                axes.as_array()
                    .is_some_and(|axes| axes.iter().any(|a| a == axis))
            };
            Some(volume.flipped(["x", "y", "z"].map(has)))
        }
        "crop" => Some(cropped(parameters, volume)),
        "pad" => {
            let least = numbers::<3>(&parameters["size"]).unwrap_or([Some(1.0); 3]);
            let multiple = parameters["multiple_of"].as_u64().unwrap_or(1) as usize;
            let shape = [0, 1, 2].map(|a| {
                let length = volume.shape[a].max(least[a].unwrap() as usize);
                length.div_ceil(multiple) * multiple
            });
            let offset = [0, 1, 2].map(|a| -(((shape[a] - volume.shape[a]) / 2) as i64));
            let fill = &parameters["fill"];
            let number = fill.as_f64().or_else(|| fill[name].as_f64());
            let outside = match (volume.role, number) {
                (Role::Image, Some(number)) => number,
                _ => volume.outside,
            };
            let filled = Naive {
                outside,
                ..volume.clone()
            };
            Some(filled.window(offset, shape))
        }
        "window" | "zscore" if !is_changed => Some(volume.clone()),
        "window" => {
            let [low, high] = numbers::<2>(&parameters["range"])?.map(Option::unwrap);
            let [first, last] =
                numbers::<2>(&parameters["to"]).map_or([0.0, 1.0], |to| to.map(Option::unwrap));
            Some(volume.changed(|v| {
                let inside = if v.is_nan() { low } else { v.clamp(low, high) };
                first + (inside - low) / (high - low) * (last - first)
            }))
        }
        "zscore" => Some(standardised(parameters, volume)),
        "resample" => resampled(parameters, row, volume),
        _ => None,
    }
}

fn oriented(volume: &Naive, to: &str) -> Naive {
    let columns = volume.affine.matrix3.to_cols_array_2d();
    let axes: Vec<(usize, bool)> = to
        .chars()
        .map(|letter| {
            let world = ["LR", "PA", "IS"]
                .iter()
                .position(|pair| pair.contains(letter))
                .unwrap();
            let grows = "RAS".contains(letter);
            // The axis that goes most along this direction of the world.
            let along = |a: usize| columns[a][world].abs() / DVec3::from(columns[a]).length();
            let axis = (0..3)
                .max_by(|a, b| along(*a).total_cmp(&along(*b)))
                .unwrap();
            (axis, (columns[axis][world] > 0.0) != grows)
        })
        .collect();
    volume.turned(axes.try_into().unwrap())
}

fn spacing_mm(affine: DAffine3) -> [f64; 3] {
    affine
        .matrix3
        .to_cols_array_2d()
        .map(|c| DVec3::from(c).length())
}

/// A length in voxels, or the half that it is within a millionth of.
fn exact_half(length: f64) -> f64 {
    let half = length.floor() + 0.5;
    match (length - half).abs() <= 1e-6 * length {
        true => half,
        false => length,
    }
}

fn cropped(parameters: &Value, volume: &Naive) -> Naive {
    let spacing_mm = spacing_mm(volume.affine);
    let (voxels, mm) = (
        numbers::<3>(&parameters["size"]),
        numbers::<3>(&parameters["size_mm"]),
    );
    let shape = [0, 1, 2].map(|a| {
        let from_mm = || Some((exact_half(mm?[a]? / spacing_mm[a]) + 0.5).floor().max(1.0));
        let wanted = voxels.and_then(|size| size[a]).or_else(from_mm);
        wanted.map_or(volume.shape[a], |n| (n as usize).min(volume.shape[a]))
    });
    let given = numbers::<3>(&parameters["offset"]);
    let offset = [0, 1, 2].map(|a| match given {
        Some(given) => given[a].unwrap() as i64,
        None => ((volume.shape[a] - shape[a]) / 2) as i64,
    });
    volume.window(offset, shape)
}

fn standardised(parameters: &Value, volume: &Naive) -> Naive {
    let finite = volume.values.iter().copied().filter(|v| v.is_finite());
    let low = finite.clone().fold(f64::INFINITY, f64::min);
    // The threshold is a number of the image's type, as its law says.
    let above = f64::from((low + low.abs() * ROUNDING_SHARE * 2.0) as f32);
    let kind = parameters["foreground"].as_str().unwrap_or("above_min");
    let is_foreground = |v: f64| {
        v.is_finite()
            && match kind {
                "above_min" => v > above,
                "nonzero" => v != 0.0,
                _ => true,
            }
    };
    let tissue: Vec<f64> = finite.filter(|v| is_foreground(*v)).collect();
    if tissue.is_empty() {
        return volume.changed(|_| 0.0);
    }
    let count = tissue.len() as f64;
    let mean = tissue.iter().sum::<f64>() / count;
    let sd = (tissue.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
    let clip = parameters["clip"].as_f64().unwrap_or(5.0);
    let spread = sd > mean.abs() * ROUNDING_SHARE;
    let scaled = |v: f64| match spread {
        true => ((v - mean) / sd).clamp(-clip, clip),
        false => 0.0,
    };
    let background = parameters["background"].as_str().unwrap_or("below");
    volume.changed(|v| match background {
        _ if is_foreground(v) => scaled(v),
        "scaled" if v.is_finite() => scaled(v),
        "zero" => 0.0,
        _ => -clip,
    })
}

fn resampled(parameters: &Value, row: &Row, volume: &Naive) -> Option<Naive> {
    let is = |name: &str, default: &str| {
        let value = &parameters[name];
        value.is_null() || value == default
    };
    let plain = is("images", "linear") && is("labels", "nearest") && is("separate_z", "never");
    if !plain || parameters["antialias"] == true {
        return None;
    }
    let like = row
        .images
        .iter()
        .find(|c| parameters["like"] == c.name.as_str());
    let like = like.and_then(|c| c.volume.as_ref());
    let from: Grid = *like.or_else(|| Some(row.volumes().next()?.1))?.grid();
    let wanted = numbers::<3>(&parameters["spacing_mm"]).unwrap_or_default();
    let (mut shape, mut affine) = (from.shape_xyz(), from.world_from_voxel());
    let old = spacing_mm(affine);
    for a in 0..3 {
        if let Some(new) = wanted[a].filter(|new| (new - old[a]).abs() > 1e-3) {
            let length = (shape[a] as f64 - 1.0) * old[a] / new + 1.0;
            shape[a] = exact_half(length).round_ties_even().max(1.0) as usize;
            *affine.matrix3.col_mut(a) *= new / old[a];
        }
    }
    let corner_mm = |corner: usize| {
        let at = [0, 1, 2].map(|a| (corner >> a & 1) as f64 * (shape[a] as f64 - 1.0));
        let at = DVec3::from(at);
        affine
            .transform_point3(at)
            .distance(volume.affine.transform_point3(at))
    };
    // The corners of an axis of one voxel coincide whatever its size.
    let column_mm = |a: usize| affine.matrix3.col(a).distance(volume.affine.matrix3.col(a));
    let is_there = shape == volume.shape
        && (0..8).all(|corner| corner_mm(corner) <= 0.01)
        && (0..3).all(|a| shape[a] > 1 || column_mm(a) <= 0.01);
    Some(match is_there {
        true => volume.clone(),
        false => volume.sampled(shape, affine),
    })
}

/// The largest number that is rounded to f32 on the way: of both images, and of a window's ends.
fn rounded(step: &Step, source: &Naive, expected: &Naive) -> f64 {
    let ends = match step.stage.as_str() {
        "window" => numbers::<2>(&step.parameters["to"]).unwrap_or([Some(0.0), Some(1.0)]),
        _ => [None; 2],
    };
    let ends = ends
        .into_iter()
        .flatten()
        .fold(0.0, |m: f64, end| m.max(end.abs()));
    extent(&source.values)
        .max(extent(&expected.values))
        .max(ends)
}

/// Compares what a step made of a row with the reference; rows it has none for pass.
pub(crate) fn compared(step: &Step, before: &Row, after: &Row) -> Result<bool, String> {
    let mut compared = false;
    for role in [Role::Image, Role::Label] {
        let of = |row: &Row| match role {
            Role::Image => row.images.clone(),
            Role::Label => row.labels.clone(),
        };
        for (old, new) in of(before).iter().zip(&of(after)) {
            let (Some(old_volume), Some(new)) = (&old.volume, &new.volume) else {
                continue;
            };
            let source = Naive::of(role, old_volume);
            let Some(expected) = made(step, before, after, &old.name, &source) else {
                continue;
            };
            compared = true;
            let told =
                |problem: String| format!("{} of {role:?} `{}`: {problem}", step.stage, old.name);
            let grid = Grid::try_new(expected.shape, expected.affine).unwrap();
            if grid.shape_xyz() != new.grid().shape_xyz() || !grid.is_same(new.grid(), 1e-6) {
                return Err(told(format!("{:?}, reference {grid:?}", new.grid())));
            }
            let found = match role {
                Role::Image => values(new),
                Role::Label => Naive::of(role, new).values,
            };
            let most = match role {
                Role::Image => ROUNDING * rounded(step, &source, &expected),
                Role::Label => 0.0,
            };
            if let Some((i, found, wanted)) = first_difference(&found, &expected.values, most) {
                return Err(told(format!(
                    "voxel {i}: {found}, reference {wanted} (allowed {most:e})"
                )));
            }
        }
    }
    Ok(compared)
}
