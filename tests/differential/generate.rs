//! Cases drawn from a seed, with degenerate ones favoured.

use super::case::{Case, Content, GridCase, Step, VolumeCase};
use super::parameters::parameters;
use voxstream::draw::{DrawKey, SampleRng};
use voxstream::registry::STAGES;
use voxstream::volume::{Dtype, Role};

pub(super) const MODALITIES: [&str; 3] = ["ct", "mr", "pet"];

/// Voxel sizes in mm whose ratios make halves, thirds and neither.
pub(super) const SPACINGS_MM: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 1.25, 0.7];

/// One of these.
pub(super) fn one_of<T: Clone>(rng: &mut SampleRng, of: &[T]) -> T {
    of[rng.below(of.len())].clone()
}

/// The `index`th case of a seed.
pub(crate) fn case(seed: u64, index: u64) -> Case {
    let key = DrawKey {
        seed,
        epoch: index,
        subject: "case",
        sample: 0,
    };
    let rng = &mut key.rng("differential");
    let mut grids = vec![grid(rng)];
    if rng.chance(0.3) {
        let other = second_grid(rng, &grids[0]);
        grids.push(other);
    }
    let mut case = Case {
        seed: rng.next_seed() % 1000,
        volumes: volumes(rng, grids.len()),
        grids,
        steps: Vec::new(),
    };
    let names: Vec<Option<&str>> = match index.is_multiple_of(5) {
        true => preparation(rng),
        false => vec![None; 1 + rng.below(6)],
    };
    for name in names {
        let name = match name {
            // Geometry is what the planner reorders, so it is drawn more often than by its share.
            None if rng.chance(0.35) => Some(one_of(rng, &GEOMETRY)),
            name => name,
        };
        let entry = match name {
            Some(name) => STAGES.iter().find(|e| e.name == name).unwrap(),
            None => &STAGES[rng.below(STAGES.len())],
        };
        let parameters = parameters(rng, entry, &case);
        case.steps.push(Step {
            stage: entry.name.to_owned(),
            parameters,
        });
    }
    case
}

/// Steps that turn, cut and pad.
const GEOMETRY: [&str; 6] = [
    "orient",
    "resample",
    "crop",
    "pad",
    "flip",
    "crop_foreground",
];

/// What pipelines begin with, which the planner makes in one pass; each step may be left out.
fn preparation(rng: &mut SampleRng) -> Vec<Option<&'static str>> {
    let values = one_of(rng, &["window", "zscore"]);
    let size = one_of(rng, &["pad", "crop"]);
    let all = ["orient", "resample", values, "crop_foreground", size];
    (all.into_iter().filter(|_| rng.chance(0.8)).map(Some)).collect()
}

fn grid(rng: &mut SampleRng) -> GridCase {
    let mut shape_xyz = [0; 3].map(|_| 4 + rng.below(8));
    if rng.chance(0.15) {
        shape_xyz[rng.below(3)] = 1 + rng.below(2);
    }
    let isotropic = rng.chance(0.4);
    let first = one_of(rng, &SPACINGS_MM);
    let spacing_mm = [0; 3].map(|_| match isotropic {
        true => first,
        false => one_of(rng, &SPACINGS_MM),
    });
    GridCase {
        shape_xyz,
        spacing_mm,
        order: rng.below(48),
        tilt_deg: match rng.chance(0.3) {
            true => one_of(rng, &[0.001, 0.5, 8.0, 25.0]),
            false => 0.0,
        },
        centre_mm: match rng.chance(0.5) {
            true => [0.0; 3],
            false => [0.0; 3].map(|_| one_of(rng, &[0.0, 0.25, -1.5, 0.3])),
        },
    }
}

/// A grid that shares some of the first one's properties.
fn second_grid(rng: &mut SampleRng, first: &GridCase) -> GridCase {
    let mut other = grid(rng);
    if rng.chance(0.4) {
        other.spacing_mm = first.spacing_mm;
    }
    if rng.chance(0.4) {
        (other.shape_xyz, other.order) = (first.shape_xyz, first.order);
        other.tilt_deg = first.tilt_deg;
    }
    other
}

fn volumes(rng: &mut SampleRng, grids: usize) -> Vec<VolumeCase> {
    let images = 1 + rng.below(3);
    let mut volumes: Vec<VolumeCase> = (MODALITIES[..images].iter())
        .map(|name| image(rng, name, grids))
        .collect();
    if images > 1 && rng.chance(0.2) {
        volumes[rng.below(images)].missing = true;
    }
    // One map for all modalities, one for the first alone, or none.
    if let Some(name) = one_of(rng, &[Some(""), Some(""), Some(""), Some("ct"), None]) {
        volumes.push(label(rng, name, grids));
    }
    volumes
}

fn image(rng: &mut SampleRng, name: &str, grids: usize) -> VolumeCase {
    let scaled = rng.chance(0.5);
    VolumeCase {
        name: name.to_owned(),
        role: Role::Image,
        dtype: one_of(rng, &Dtype::ALL),
        slope: match scaled {
            true => one_of(rng, &[0.5, 2.0, -1.0, 0.1, 1.0]),
            false => 1.0,
        },
        intercept: match scaled {
            true => one_of(rng, &[0.0, -1024.0, 0.3, 10.0]),
            false => 0.0,
        },
        grid: rng.below(grids),
        missing: false,
        content: one_of(
            rng,
            &[
                Content::Body,
                Content::Body,
                Content::Body,
                Content::Noise,
                Content::Constant,
                Content::NotFinite,
            ],
        ),
    }
}

fn label(rng: &mut SampleRng, name: &str, grids: usize) -> VolumeCase {
    let usual = rng.chance(0.8);
    VolumeCase {
        name: name.to_owned(),
        role: Role::Label,
        dtype: match usual {
            true => one_of(rng, &[Dtype::U8, Dtype::U8, Dtype::U16]),
            false => one_of(rng, &Dtype::ALL),
        },
        slope: 1.0,
        intercept: match !usual && rng.chance(0.3) {
            true => 1.0,
            false => 0.0,
        },
        grid: rng.below(grids),
        missing: rng.chance(0.1),
        content: one_of(rng, &[Content::Body, Content::Noise, Content::Constant]),
    }
}
