//! Smaller cases that still fail.

use super::case::{Case, Content};
use serde_json::{Value, json};
use voxstream::volume::{Dtype, Role};

/// Attempts at most: a case is small long before.
const ATTEMPTS: usize = 600;

/// The smallest case found that fails, and how it fails.
pub(crate) fn shrunk(
    case: &Case,
    problem: String,
    check: fn(&Case) -> Result<(), String>,
) -> (Case, String) {
    let (mut best, mut problem, mut left) = (case.clone(), problem, ATTEMPTS);
    loop {
        let mut improved = false;
        for smaller in candidates(&best) {
            if left == 0 {
                return (best, problem);
            }
            left -= 1;
            // A case that cannot be read is another fault: that of the shrinking.
            match check(&smaller) {
                Err(found) if !found.starts_with(super::execute::UNREADABLE) => {
                    (best, problem, improved) = (smaller, found, true);
                    break;
                }
                _ => {}
            }
        }
        if !improved {
            return (best, problem);
        }
    }
}

/// Cases that are simpler by one thing each, those that leave out most first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let mut add = |change: &dyn Fn(&mut Case)| {
        let mut next = case.clone();
        change(&mut next);
        if next != *case {
            found.push(next);
        }
    };
    for i in 0..case.steps.len() {
        add(&|c| {
            c.steps.remove(i);
        });
    }
    let images = case.volumes.iter().filter(|v| v.role == Role::Image);
    let images = images.count();
    for (i, volume) in case.volumes.iter().enumerate() {
        if volume.role == Role::Label || images > 1 {
            add(&|c| {
                c.volumes.remove(i);
            });
        }
        add(&|c| c.volumes[i].grid = 0);
        add(&|c| c.volumes[i].missing = false);
        add(&|c| (c.volumes[i].slope, c.volumes[i].intercept) = (1.0, 0.0));
        add(&|c| {
            c.volumes[i].dtype = match volume.role {
                Role::Image => Dtype::F32,
                Role::Label => Dtype::U8,
            }
        });
        add(&|c| c.volumes[i].content = Content::Noise);
    }
    if case.volumes.iter().all(|v| v.grid == 0) {
        add(&|c| c.grids.truncate(1));
    }
    for i in 0..case.grids.len() {
        add(&|c| c.grids[i].tilt_deg = 0.0);
        add(&|c| c.grids[i].order = 0);
        add(&|c| c.grids[i].centre_mm = [0.0; 3]);
        add(&|c| c.grids[i].spacing_mm = [1.0; 3]);
        for axis in 0..3 {
            add(&|c| {
                let n = &mut c.grids[i].shape_xyz[axis];
                *n = n.div_ceil(2);
            });
            add(&|c| {
                let n = &mut c.grids[i].shape_xyz[axis];
                *n = (*n - 1).max(1);
            });
        }
    }
    for (i, step) in case.steps.iter().enumerate() {
        let names = step.parameters.as_object().map(|fields| fields.keys());
        for name in names.into_iter().flatten() {
            // Left out, a field has its default; a field that is needed keeps the case unreadable.
            add(&|c| {
                if let Value::Object(fields) = &mut c.steps[i].parameters {
                    fields.remove(name);
                }
            });
            if name == "p" {
                add(&|c| c.steps[i].parameters["p"] = json!(1.0));
            }
        }
    }
    add(&|c| c.seed = 0);
    found
}
