//! Runs the `tests` of a pipeline: sends a subject through it and compares.

use super::counters::Counters;
use super::prepare::Preparer;
use super::trace::{Stop, Trace, trace};
use crate::cache::CacheError;
use crate::plan::Plan;
use crate::plan::expectations::{DIGEST_DIGITS, Expectation, SOURCE, TestCase};
use crate::source::Cohort;
use crate::spec::At;
use crate::volume::{Row, Volume};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Relative difference up to which voxel sizes are one.
const SAME_SPACING: f64 = 1e-4;
/// Relative difference up to which drawn numbers are one.
const SAME_DRAW: f64 = 1e-6;

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Place of the expectation in the file.
    pub at: At,
    /// Step and column.
    pub place: String,
    /// What was expected, and what was found.
    pub problem: String,
    /// Place of a stored digest in the file and the one that was found, if only that differs.
    pub digest: Option<(At, String)>,
}

/// What a test found; it holds where there is no difference.
#[derive(Debug, Clone, PartialEq)]
pub struct TestOutcome {
    /// Things that were expected.
    pub expected: usize,
    /// What is not as expected.
    pub differences: Vec<Difference>,
}

/// Sends a subject of a cohort through the plan and compares what it becomes with the test.
///
/// The plan should be [`Plan::unoptimized`] with the test's seed, see [`trace()`].
///
/// **Errors** if the plan's cache folder cannot be used. A subject that cannot be read is a difference
/// like any other.
pub fn expect(
    plan: &Arc<Plan>,
    cohort: Arc<dyn Cohort>,
    subject: usize,
    case: &TestCase,
    memory: u64,
) -> Result<TestOutcome, CacheError> {
    let preparer = Preparer::new(plan, cohort, memory, &Counters::default())?;
    let traced = trace(plan, &Arc::new(preparer), subject, case.section.epoch);
    let mut outcome = TestOutcome {
        expected: 0,
        differences: Vec::new(),
    };
    for (expectation, place) in case.section.expect.iter().zip(&case.places) {
        outcome.expected += expectation.count();
        let found = match &traced {
            Ok(trace) => compare(trace, expectation),
            Err(failure) if failed_as_expected(expectation, &failure.stage, &failure.cause) => {
                Vec::new()
            }
            Err(failure) => vec![Found::other(format!(
                "the subject cannot be read: {}: {}",
                failure.stage, failure.cause
            ))],
        };
        let column = expectation.column.iter().map(|c| format!(" {c}"));
        let shown = format!("{}{}", expectation.at, column.collect::<String>());
        let differences = found.into_iter().map(|found| Difference {
            at: place.at,
            place: shown.clone(),
            problem: found.problem,
            digest: place.digest.zip(found.digest),
        });
        outcome.differences.extend(differences);
    }
    Ok(outcome)
}

struct Found {
    problem: String,
    digest: Option<String>,
}

impl Found {
    fn other(problem: String) -> Self {
        Self {
            problem,
            digest: None,
        }
    }
}

fn failed_as_expected(expectation: &Expectation, stage: &str, cause: &str) -> bool {
    let message = expectation.fails.as_deref();
    expectation.at == stage && message.is_some_and(|m| cause.contains(m))
}

/// What behind a step is not as expected.
fn compare(trace: &Trace, expectation: &Expectation) -> Vec<Found> {
    let at = &expectation.at;
    if let Some(failure) = trace.failure.as_ref().filter(|f| f.stage == *at) {
        return match failed_as_expected(expectation, &failure.stage, &failure.cause) {
            true => Vec::new(),
            false => vec![Found::other(format!(
                "the subject fails here: {}",
                failure.cause
            ))],
        };
    }
    if trace.left_out.as_ref() == Some(at) {
        return match expectation.rows {
            Some(0) => Vec::new(),
            _ => vec![Found::other("the step leaves the subject out".to_owned())],
        };
    }
    let stops = trace.stops();
    let stop = stops.iter().find(|(stop, _)| stop.path == *at);
    let (row, stop) = match stop {
        Some((stop, _)) => (&stop.row, Some(*stop)),
        None if at == SOURCE => (&trace.source, None),
        None => {
            let why = match (&trace.failure, &trace.left_out) {
                (Some(f), _) => format!("it fails in `{}`: {}", f.stage, f.cause),
                (_, Some(step)) => format!("`{step}` leaves it out"),
                _ => "the pipeline has no views".to_owned(),
            };
            let problem = format!("the subject does not come here: {why}");
            return vec![Found::other(problem)];
        }
    };
    let mut found: Vec<Found> = of_step(stop, expectation)
        .into_iter()
        .map(Found::other)
        .collect();
    if let Some(column) = &expectation.column {
        match volume(row, column) {
            Some(volume) => {
                found.extend(of_volume(volume, expectation).into_iter().map(Found::other));
                found.extend(of_digest(volume, expectation));
            }
            None => found.push(Found::other("the subject has no such volume".to_owned())),
        }
    }
    found
}

fn volume<'a>(row: &'a Row, column: &str) -> Option<&'a Volume> {
    let (_, _, volume) = row.columns().find(|(name, _, _)| name == column)?;
    Some(volume)
}

fn of_step(stop: Option<&Stop>, expectation: &Expectation) -> Vec<String> {
    let mut found = Vec::new();
    let rows = stop.map_or(1, |stop| stop.rows);
    if let Some(expected) = expectation.rows.filter(|expected| *expected != rows) {
        found.push(format!("rows: expected {expected}, found {rows}"));
    }
    if let Some(expected) = &expectation.fails {
        found.push(format!("fails: expected `{expected}`, found no failure"));
    }
    let drawn = stop.and_then(|stop| stop.drawn.as_ref());
    match (&expectation.drawn, drawn) {
        (None, _) => {}
        (Some(Value::String(word)), None) if word == "nothing" => {}
        (Some(expected), None) => {
            found.push(format!("drawn: expected {expected}, found nothing"));
        }
        (Some(expected), Some(drawn)) => differences("drawn", expected, drawn, &mut found),
    }
    found
}

/// Where drawn values differ from those that are named.
fn differences(path: &str, expected: &Value, drawn: &Value, found: &mut Vec<String>) {
    match (expected, drawn) {
        (Value::Object(expected), Value::Object(drawn)) => {
            for (key, value) in expected {
                let path = format!("{path}.{key}");
                match drawn.get(key) {
                    Some(drawn) => differences(&path, value, drawn, found),
                    None => {
                        let keys: Vec<&str> = drawn.keys().map(String::as_str).collect();
                        let keys = keys.join(", ");
                        found.push(format!("{path}: expected {value}, found only {keys}"));
                    }
                }
            }
        }
        (Value::Array(expected), Value::Array(drawn)) if expected.len() == drawn.len() => {
            for (i, (expected, drawn)) in expected.iter().zip(drawn).enumerate() {
                differences(&format!("{path}[{i}]"), expected, drawn, found);
            }
        }
        _ => {
            let numbers = expected.as_f64().zip(drawn.as_f64());
            let alike = |(a, b): (f64, f64)| (a - b).abs() <= SAME_DRAW * a.abs().max(b.abs());
            if !numbers.map_or(expected == drawn, alike) {
                found.push(format!("{path}: expected {expected}, found {drawn}"));
            }
        }
    }
}

fn of_volume(volume: &Volume, expectation: &Expectation) -> Vec<String> {
    let grid = volume.grid();
    let mut found = Vec::new();
    let mut compare = |name: &str, expected: Option<String>, is: String, same: bool| {
        if let Some(expected) = expected.filter(|_| !same) {
            found.push(format!("{name}: expected {expected}, found {is}"));
        }
    };
    let (shape, spacing) = (grid.shape_xyz(), grid.spacing_mm());
    let e = expectation;
    compare(
        "shape",
        e.shape.map(|s| format!("{s:?}")),
        format!("{shape:?}"),
        e.shape == Some(shape),
    );
    let near = |s: [f64; 3]| (0..3).all(|a| (s[a] - spacing[a]).abs() <= SAME_SPACING * s[a]);
    compare(
        "spacing_mm",
        e.spacing_mm.map(|s| format!("{s:?}")),
        format!("{spacing:?}"),
        e.spacing_mm.is_some_and(near),
    );
    let orientation = grid.orientation();
    let same = e.orientation.as_ref() == Some(&orientation);
    compare("orientation", e.orientation.clone(), orientation, same);
    let dtype = volume.dtype().to_string();
    let same = e.dtype.as_ref() == Some(&dtype);
    compare("dtype", e.dtype.clone(), dtype, same);
    if e.range.is_none() && e.mean.is_none() && e.classes.is_none() {
        return found;
    }
    let values = volume.to_f32();
    if let Some([low, high]) = e.range {
        let outside = |v: &f32| !(low..=high).contains(&f64::from(*v));
        let wrong: Vec<usize> = (0..values.len()).filter(|i| outside(&values[*i])).collect();
        if let Some(&first) = wrong.first() {
            let [x, y, z] = [
                first % shape[0],
                first / shape[0] % shape[1],
                first / (shape[0] * shape[1]),
            ];
            let finite = values.iter().filter(|v| v.is_finite());
            let (least, most) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| {
                (l.min(*v), h.max(*v))
            });
            found.push(format!(
                "range: expected {low} to {high}, found {least} to {most}; {} of {} voxels are outside, the first at x {x}, y {y}, z {z}: {}",
                wrong.len(),
                values.len(),
                values[first]
            ));
        }
    }
    if let Some([low, high]) = e.mean {
        let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
        let mean = sum / values.len() as f64;
        if !(low..=high).contains(&mean) {
            found.push(format!("mean: expected {low} to {high}, found {mean}"));
        }
    }
    if let Some(classes) = &e.classes {
        let expected: BTreeSet<i64> = classes.iter().copied().collect();
        let present: BTreeSet<i64> = values.iter().map(|v| v.round() as i64).collect();
        if expected != present {
            found.push(format!("classes: expected {expected:?}, found {present:?}"));
        }
    }
    found
}

fn of_digest(volume: &Volume, expectation: &Expectation) -> Option<Found> {
    let expected = expectation.digest.as_ref()?;
    let is = digest(volume);
    if expected.eq_ignore_ascii_case(&is) {
        return None;
    }
    let expected = if expected.is_empty() {
        "none stored"
    } else {
        expected
    };
    Some(Found {
        problem: format!("digest: expected {expected}, found {is}; `--update` stores it"),
        digest: Some(is),
    })
}

/// The digest of a volume's stored type, scaling, shape and voxels: the first 128 bits of BLAKE3.
pub fn digest(volume: &Volume) -> String {
    let mut hasher = blake3::Hasher::new();
    let scaling = volume.scaling();
    let shape = volume.grid().shape_xyz();
    let head = format!(
        "{} {} {} {shape:?}",
        volume.dtype(),
        scaling.slope,
        scaling.intercept
    );
    hasher.update(head.as_bytes());
    hasher.update(volume.buffer());
    hasher.finalize().to_hex()[..DIGEST_DIGITS].to_owned()
}
